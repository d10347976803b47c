"""Kept answers as files."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.cache_settings import CacheSettings
from processes.gateway import answer_files
from processes.gateway.answer_files import MAX_WAITING_BYTES, AnswerFiles
from processes.gateway.answer_form import HEADER
from processes.gateway.audio_memory import Audio, finished_audio
from tests.parts.appliance import eventually

Opened = Callable[..., "asyncio.Future[AnswerFiles]"]
DATA_BYTES = 1_000
FILE_BYTES = HEADER.size + len("audio/mpeg") + DATA_BYTES


def key_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def audio_of(number: int) -> Audio:
    return finished_audio(bytes([number]) * DATA_BYTES, "audio/mpeg", audio_s=1.5)


@pytest.fixture
def limits_s() -> dict[str, float]:
    """The age limit that counts `now` whatever the settings say, if there is one."""
    return {}


@pytest.fixture
async def opened(tmp_path: Path, limits_s: dict[str, float]) -> AsyncIterator[Opened]:
    """A function that opens the files of one folder as a gateway does."""
    made: list[AnswerFiles] = []

    async def open_files(evict_ratio: float = 1.0, **settings: object) -> AnswerFiles:
        chosen = CacheSettings.model_validate(settings)
        made.append(
            AnswerFiles(tmp_path / "cache", chosen, evict_ratio, lambda kept_s: limits_s.get("now", kept_s))
        )
        await made[-1].open()
        return made[-1]

    yield lambda **settings: asyncio.ensure_future(open_files(**settings))
    for files in made:
        files.close()


def paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("cache/*/*"))


async def test_read_when_another_gateway_has_written_then_the_same_audio_comes(opened: Opened) -> None:
    await (await opened()).write(key_of(1), audio_of(1))
    later = await opened()
    assert later.has(key_of(1))
    assert not later.has(key_of(2))
    assert await later.read(key_of(1)) == audio_of(1)
    assert later.bytes == FILE_BYTES


async def test_read_when_the_audio_has_words_then_they_come_with_it_and_count(opened: Opened) -> None:
    audio = replace(audio_of(1), words=b'[["word",0,4,true,0.0,0.5]]')
    await (await opened()).write(key_of(1), audio)
    later = await opened()
    assert await later.read(key_of(1)) == audio
    assert later.bytes == FILE_BYTES + len(audio.words)


@pytest.mark.parametrize("place", [0, 9, 12, 20, 40, 70, HEADER.size + 2, HEADER.size + 20, -1])
async def test_read_when_a_byte_is_wrong_then_nothing_comes_and_the_file_is_gone(
    opened: Opened, tmp_path: Path, place: int
) -> None:
    files = await opened()
    await files.write(key_of(1), audio_of(1))
    [path] = paths(tmp_path)
    data = bytearray(path.read_bytes())
    data[place] ^= 0x80
    path.write_bytes(data)
    assert await files.read(key_of(1)) is None
    assert paths(tmp_path) == []
    assert not files.has(key_of(1))


@pytest.mark.parametrize("length", [0, 10, HEADER.size, HEADER.size + 5, FILE_BYTES - 1])
async def test_read_when_a_file_is_cut_then_nothing_comes_and_it_is_gone(
    opened: Opened, tmp_path: Path, length: int
) -> None:
    files = await opened()
    await files.write(key_of(1), audio_of(1))
    os.truncate(paths(tmp_path)[0], length)
    assert await files.read(key_of(1)) is None
    assert paths(tmp_path) == []
    assert files.bytes == 0


async def test_write_when_there_is_too_much_then_the_least_recently_used_goes(
    opened: Opened, tmp_path: Path
) -> None:
    files = await opened(disk_bytes=3 * FILE_BYTES)
    for number in range(3):
        await files.write(key_of(number), audio_of(number))
    await files.read(key_of(0))
    await files.write(key_of(3), audio_of(3))
    assert [files.has(key_of(number)) for number in range(4)] == [True, False, True, True]
    assert (len(paths(tmp_path)), files.evicted, files.bytes) == (3, 1, 3 * FILE_BYTES)


async def test_write_when_there_is_far_too_much_then_it_removes_some_and_the_minutes_run_the_rest(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_files, "MANY_FILES", 2)
    earlier = await opened()
    for number in range(8):
        await earlier.write(key_of(number), audio_of(number))
    await earlier.pin(key_of(0), b"{}")
    earlier._settings = CacheSettings(disk_bytes=2 * FILE_BYTES)
    await earlier.write(key_of(8), audio_of(8))
    assert len(earlier) == 7  # the first three were looked at, of which one is pinned
    await earlier.tidy()
    assert set(earlier.keys()) == {key_of(0), key_of(8)}


async def test_tidy_when_a_file_was_used_then_its_own_time_says_so(opened: Opened, tmp_path: Path) -> None:
    await (await opened()).write(key_of(1), audio_of(1))
    [path] = paths(tmp_path)
    os.utime(path, (time.time() - 10_000,) * 2)
    files = await opened()
    files.use(key_of(1))
    await files.tidy()
    assert time.time() - path.stat().st_mtime < 5_000


async def test_open_when_files_were_used_at_different_times_then_the_order_lasts(
    opened: Opened, tmp_path: Path
) -> None:
    earlier = await opened()
    for number in range(3):
        await earlier.write(key_of(number), audio_of(number))
        path = tmp_path / "cache" / key_of(number)[:2] / key_of(number)[2:]
        os.utime(path, (time.time() - 100 * (number + 1),) * 2)
    later = await opened(disk_bytes=FILE_BYTES)
    assert [later.has(key_of(number)) for number in range(3)] == [True, False, False]


async def test_open_when_a_file_is_older_than_it_may_be_then_it_goes_unless_pinned(
    opened: Opened, tmp_path: Path
) -> None:
    earlier = await opened()
    for number in range(2):
        await earlier.write(key_of(number), audio_of(number))
    await earlier.pin(key_of(1), b"{}")
    for path in paths(tmp_path):
        os.utime(path, (time.time() - 3 * 86_400,) * 2)
    later = await opened(days=2)
    assert [later.has(key_of(number)) for number in range(2)] == [False, True]
    assert await later.unpin(key_of(1))
    await later.tidy()
    assert not later.has(key_of(1))


async def test_tidy_when_the_clock_is_not_trusted_then_no_file_is_too_old_and_bytes_count_all_the_same(
    opened: Opened, tmp_path: Path, limits_s: dict[str, float]
) -> None:
    earlier = await opened()
    for number in range(2):
        await earlier.write(key_of(number), audio_of(number))
    for path in paths(tmp_path):
        os.utime(path, (time.time() - 300 * 86_400,) * 2)
    limits_s["now"] = math.inf
    assert len(await opened(days=2)) == 2
    assert len(await opened(days=2, disk_bytes=FILE_BYTES)) == 1


async def test_write_when_the_disk_is_fuller_than_it_may_be_then_files_go_and_none_come(
    opened: Opened, tmp_path: Path
) -> None:
    await (await opened()).write(key_of(1), audio_of(1))
    files = await opened(evict_ratio=1e-9)
    assert not files.has(key_of(1))
    await files.write(key_of(2), audio_of(2))
    assert paths(tmp_path) == []
    assert files.state == "ok"


async def test_open_when_a_write_was_killed_then_what_it_left_is_gone(opened: Opened, tmp_path: Path) -> None:
    await (await opened()).write(key_of(1), audio_of(1))
    [path] = paths(tmp_path)
    path.rename(path.with_suffix(".new"))
    assert not (await opened()).has(key_of(1))
    assert paths(tmp_path) == []


async def test_open_when_one_entry_is_bad_then_the_others_and_the_pins_are_known(
    opened: Opened, tmp_path: Path
) -> None:
    earlier = await opened()
    await earlier.write(key_of(1), audio_of(1))
    await earlier.pin(key_of(1), b"{}")
    folder = tmp_path / "cache"
    (folder / "zz").write_bytes(b"a file in a folder's place")
    bad = folder / key_of(2)[:2]
    bad.mkdir(exist_ok=True)
    (bad / f"{key_of(2)[2:]}.new").mkdir()
    (bad / key_of(2)[2:]).symlink_to("nowhere")
    os.mkfifo(folder / key_of(1)[:2] / key_of(3)[2:])
    later = await opened()
    assert later.keys() == [key_of(1)]
    assert later.pins == {key_of(1)}


async def test_purge_when_one_is_pinned_then_it_alone_stays(opened: Opened) -> None:
    files = await opened()
    for number in range(3):
        await files.write(key_of(number), audio_of(number))
    await files.pin(key_of(2), b"{}")
    assert await files.purge() == ({key_of(0), key_of(1)}, True)
    assert [files.has(key_of(number)) for number in range(3)] == [False, False, True]


async def test_pin_when_it_was_idle_then_a_purge_leaves_it(opened: Opened) -> None:
    files = await opened()
    await files.write(key_of(1), audio_of(1))
    await files.pin(key_of(1), b"{}")
    files.note_idle(key_of(1), is_idle=True)
    await files.pin(key_of(1), b"{}")
    assert await files.purge() == (set(), True)
    assert files.pins == {key_of(1)}


async def test_write_when_the_folder_cannot_be_made_then_nothing_is_raised_and_it_rests(
    opened: Opened, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_bytes(b"")
    files = await opened()
    await files.write(key_of(1), audio_of(1))
    assert files.state != "ok"
    assert not files.has(key_of(1))


async def test_write_when_the_disk_hangs_then_it_is_given_up_and_counts_once_it_is_written_after_all(
    opened: Opened, tmp_path: Path
) -> None:
    files = await opened()
    await files.write(key_of(0), audio_of(0))
    pipe = tmp_path / "cache" / key_of(1)[:2] / f"{key_of(1)[2:]}.new"
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)  # hangs whoever opens it to write until somebody reads
    await files.write(key_of(1), audio_of(1))
    assert files.state == "stalled"
    assert not files.has(key_of(1))
    assert await files.read(key_of(0)) == audio_of(0)
    await files.write(key_of(2), audio_of(2))  # not even tried
    assert not files.has(key_of(2))
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    await asyncio.to_thread(eventually, lambda: files.has(key_of(1)))
    assert files.state == "ok"
    assert len(os.read(reader, 2 * FILE_BYTES)) == FILE_BYTES
    os.close(reader)


async def test_write_when_the_disk_hangs_then_little_waits_for_it(opened: Opened, tmp_path: Path) -> None:
    files = await opened()
    pipe = tmp_path / "cache" / key_of(0)[:2] / f"{key_of(0)[2:]}.new"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    large = finished_audio(bytes(MAX_WAITING_BYTES // 2), "audio/mpeg")
    audio = {0: audio_of(0), 1: large, 2: large, 3: audio_of(3)}
    await asyncio.gather(*(files.write(key_of(number), each) for number, each in audio.items()))
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    await asyncio.to_thread(eventually, lambda: files.has(key_of(3)))
    assert [files.has(key_of(number)) for number in audio] == [True, True, False, True]
    os.close(reader)


async def test_read_when_one_file_cannot_be_read_then_the_others_are_and_it_is_written_anew(
    opened: Opened, tmp_path: Path
) -> None:
    files = await opened()
    for number in range(2):
        await files.write(key_of(number), audio_of(number))
    path = files._path(key_of(0))
    path.unlink()
    path.symlink_to(path)  # an error of the system that isn't a missing file
    assert await files.read(key_of(0)) is None
    assert [files.has(key_of(number)) for number in range(2)] == [False, True]
    assert await files.read(key_of(1)) == audio_of(1)
    await files.write(key_of(0), audio_of(0))
    assert await files.read(key_of(0)) == audio_of(0)


async def test_read_when_it_works_again_then_the_disk_is_well(opened: Opened, tmp_path: Path) -> None:
    files = await opened()
    for number in range(2):
        await files.write(key_of(number), audio_of(number))
    path = files._path(key_of(0))
    path.unlink()
    os.mkfifo(path)  # hangs whoever opens it to read until somebody writes
    try:
        assert await files.read(key_of(0)) is None
        assert files.state == "stalled"
        assert not files.has(key_of(1))
        assert await files.read(key_of(1)) == audio_of(1)
        assert files.state == "ok"
    finally:
        os.close(os.open(path, os.O_RDWR))  # never hangs itself


async def test_purge_when_the_disk_hangs_then_it_ends_soon(opened: Opened, tmp_path: Path) -> None:
    files = await opened()
    for number in range(3):
        await files.write(key_of(number), audio_of(number))
    pipe = tmp_path / "cache" / key_of(9)[:2] / f"{key_of(9)[2:]}.new"
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)
    await files.write(key_of(9), audio_of(9))
    assert await files.purge() == (set(), False)
    assert len(files) == 3
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    await asyncio.to_thread(eventually, lambda: files.has(key_of(9)))
    os.close(reader)


async def test_files_when_switched_off_then_none_are_made(opened: Opened, tmp_path: Path) -> None:
    files = await opened(disk_bytes=0)
    await files.write(key_of(1), audio_of(1))
    assert paths(tmp_path) == []
