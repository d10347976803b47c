"""What was spoken for a job, in one file: cut short at every byte, damaged, full disks, opened again."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.speech import WordMark
from processes.gateway import job_pack
from processes.gateway.job_pack import HEAD_BYTES, MAGIC, SpokenPack, SpokenUtterance, _Index
from tests.parts.packs import opened, whole_in

SPOKEN = {
    "a" * 64: SpokenUtterance(b"\x01\x00\x02\x00", 22_050, (WordMark(0, 3, 0.5),)),
    "b" * 32: SpokenUtterance(b"", 16_000),
    "c" * 64: SpokenUtterance(MAGIC * 2, 24_000),
}
"""With marks, without a sound, and with what looks like another's beginning."""
NEW = SpokenUtterance(b"\x07\x00", 8_000)
PIECE_BYTES = len(MAGIC) + 2
"""Searched at a time, so that a head begins in the last bytes of one piece."""
MANY = 10_000
"""Utterances of a million characters."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spoken" / "pack"


def ends_of(path: Path) -> list[int]:
    """Write the three; return where each ends."""
    ends = []
    with opened(path) as pack:
        for name, spoken in SPOKEN.items():
            pack.put(name, spoken)
            ends.append(path.stat().st_size)
    return ends


def put(path: Path, name: str, spoken: SpokenUtterance) -> None:
    with opened(path) as pack:
        pack.put(name, spoken)
        pack.sync()


def test_spoken_when_put_then_found_as_it_was_and_by_no_other_name(path: Path) -> None:
    with opened(path) as pack:
        stored = {name: pack.put(name, spoken) for name, spoken in SPOKEN.items()}
        pack.sync()
        for name, spoken in SPOKEN.items():
            assert pack.find(name) == stored[name]
            assert pack.read(name, stored[name].sha256) == spoken
            assert stored[name].audio_s == spoken.audio_s
        assert pack.find("d" * 64) is None
        assert not pack.has("d" * 64)


def test_spoken_when_opened_again_then_found_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_pack, "INDEXED", 2)  # the third in a go of its own
    with opened(path) as pack:
        stored = {name: pack.put(name, spoken) for name, spoken in SPOKEN.items()}
    with opened(path) as pack:
        assert {name: pack.find(name) for name in SPOKEN} == stored
        assert {name: pack.read(name, each.sha256) for name, each in stored.items()} == SPOKEN


def test_spoken_when_its_row_says_something_else_then_it_is_not_read_and_stays(path: Path) -> None:
    ends_of(path)
    with opened(path) as pack:
        assert pack.read("a" * 64, "0" * 64) is None
        assert pack.has("a" * 64)


@pytest.mark.parametrize("is_zeros", [False, True], ids=["cut", "zeros"])
def test_open_when_the_file_ends_at_any_byte_then_what_is_whole_stays_and_the_next_follows_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, is_zeros: bool
) -> None:
    """A kill cuts it short; a power cut may leave the size and no data."""
    monkeypatch.setattr(job_pack, "SEARCHED_BYTES", PIECE_BYTES)
    ends = ends_of(path)
    data = path.read_bytes()
    for at_byte in range(len(data) + 1):
        path.write_bytes(data[:at_byte] + (bytes(len(data) - at_byte) if is_zeros else b""))
        whole = {
            name: spoken for (name, spoken), end in zip(SPOKEN.items(), ends, strict=True) if end <= at_byte
        }
        if is_zeros:  # where what is missing was zeros, nothing is
            whole |= {name: each for name, each in whole_in(path).items() if each == SPOKEN[name]}
        assert whole_in(path) == whole
        put(path, "d" * 64, NEW)
        assert whole_in(path) == {**whole, "d" * 64: NEW}
        if not is_zeros:
            kept = max((end for end in ends if end <= at_byte), default=0)
            assert path.stat().st_size == kept + HEAD_BYTES + len(NEW.pcm)


def test_read_when_any_byte_is_damaged_then_that_record_alone_is_lost_and_can_be_put_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_pack, "SEARCHED_BYTES", PIECE_BYTES)
    ends = ends_of(path)
    data = path.read_bytes()
    for at_byte in range(len(data)):
        changed = bytearray(data)
        changed[at_byte] ^= 1
        path.write_bytes(changed)
        [name] = [name for name, end in zip(reversed(SPOKEN), reversed(ends), strict=True) if at_byte < end][
            -1:
        ]
        whole = {other: spoken for other, spoken in SPOKEN.items() if other != name}
        assert whole_in(path) == whole
        put(path, name, SPOKEN[name])
        assert whole_in(path) == SPOKEN


def test_read_when_its_audio_is_damaged_then_found_no_more(path: Path) -> None:
    name = "a" * 64
    ends = ends_of(path)
    with path.open("r+b") as file:
        file.seek(ends[0] - 1)
        file.write(b"\xff")
    with opened(path) as pack:
        stored = pack.find(name)
        assert stored is not None
        assert pack.read(name, stored.sha256) is None
        assert pack.find(name) is None
        assert pack.put(name, SPOKEN[name]) == stored
        assert pack.read(name, stored.sha256) == SPOKEN[name]


def test_spoken_when_put_again_then_the_newest_is_found_then_and_after_it_was_opened_again(
    path: Path,
) -> None:
    with opened(path) as pack:
        pack.put("a" * 64, SPOKEN["a" * 64])
        stored = pack.put("a" * 64, NEW)
        assert pack.read("a" * 64, stored.sha256) == NEW
    with opened(path) as pack:
        assert pack.read("a" * 64, stored.sha256) == NEW


@contextmanager
def full_at(size_bytes: int) -> Iterator[None]:
    """Let no file grow further: the system writes as much as goes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_put_when_the_disk_takes_only_some_of_it_then_nothing_is_left_of_it_and_the_next_follows(
    path: Path,
) -> None:
    size_bytes = ends_of(path)[-1]
    with opened(path) as pack:
        for room_bytes in (0, 1, HEAD_BYTES, HEAD_BYTES + 1):
            with full_at(size_bytes + room_bytes), pytest.raises(OSError, match="too large"):
                pack.put("d" * 64, NEW)
            assert path.stat().st_size == size_bytes
            assert not pack.has("d" * 64)
        pack.put("d" * 64, NEW)
    assert whole_in(path) == {**SPOKEN, "d" * 64: NEW}


def test_sync_when_it_fails_then_what_was_put_since_the_last_one_is_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    size_bytes = ends_of(path)[-1]
    with opened(path) as pack:
        pack.put("d" * 64, NEW)
        pack.sync()
        pack.put("e" * 64, NEW)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            with pytest.raises(OSError, match="Input/output"):
                pack.sync()
        assert (pack.has("d" * 64), pack.has("e" * 64)) == (True, False)
        assert path.stat().st_size == size_bytes + HEAD_BYTES + len(NEW.pcm)
        pack.put("f" * 64, NEW)
        pack.sync()
    assert whole_in(path) == {**SPOKEN, "d" * 64: NEW, "f" * 64: NEW}


def test_sync_when_nothing_was_put_then_the_disk_is_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_of(path)
    with opened(path) as pack:
        monkeypatch.delattr(os, "fdatasync")
        pack.sync()


def test_head_when_it_says_more_than_an_utterance_can_have_then_it_is_none_of_ours(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_of(path)
    monkeypatch.setattr(job_pack, "MAX_BODY_BYTES", 0)
    assert set(whole_in(path)) == {"b" * 32}


def test_open_when_something_else_has_its_name_then_it_is_as_empty(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(os.urandom(2 * job_pack.SEARCHED_BYTES))
    put(path, "d" * 64, NEW)
    assert whole_in(path) == {"d" * 64: NEW}
    assert path.stat().st_size == HEAD_BYTES + len(NEW.pcm)


def test_index_when_a_million_characters_are_spoken_then_it_is_small() -> None:
    index = _Index()
    for number in range(MANY):
        index.put(f"{number:064}", number)
    assert [index.find(f"{number:064}") for number in range(MANY)] == list(range(MANY))
    sizes = [each.__sizeof__() for each in (index._hashes, index._at_bytes)]
    assert sum(sizes) < 20 * MANY


def test_close_when_it_was_never_opened_then_nothing_happens(path: Path) -> None:
    SpokenPack(path).close()
    assert not path.parent.exists()
