"""The disk of kept answers hangs or is full while they are asked for: rows D3 and D11."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.parts.appliance import Appliance, eventually
from tests.parts.disks import Disk, file_disk, memory_disk
from tests.parts.scrape import scrape

pytestmark = pytest.mark.timeout(180)

MEMORY_BYTES = 600_000
"""Room for some answers of `TEXT` as wav, in memory and while they are made."""
TEXT = "This is said while nobody knows whether the disk will ever answer. " * 4
AT_ONCE = 6


@pytest.fixture
def disk(run_dir: Path) -> Iterator[Disk]:
    (run_dir / "data").mkdir()
    with file_disk(run_dir / "data" / "cache", run_dir / "image", 32 << 20) as made:
        yield made


@contextlib.contextmanager
def started(base: Path) -> Iterator[Appliance]:
    """An appliance whose cache lies on the disk, and whose memory holds few answers."""
    made = Appliance(
        base,
        CACHE_SPEECH="true",
        CACHE_MEMORY_BYTES=MEMORY_BYTES,
        CACHE_ANSWER_BYTES=MEMORY_BYTES,
        VOICES_DEFAULT="tone-low",
        TONE_DELAY_S=0.1,
    )
    with contextlib.closing(made):
        made.wait_until_ready()
        yield made


def spoken(appliance: Appliance, text: str, times: int = 1) -> set[tuple[str, bytes]]:
    """Ask for a text so often at once; return which answers came, with what the cache said."""

    async def ask(session: ClientSession) -> tuple[str, bytes]:
        body = {"input": text, "response_format": "wav"}
        async with session.post("/v1/audio/speech", json=body) as answer:
            assert answer.status == 200, await answer.text()
            # A stream's header doesn't say the sizes yet that a kept one's does.
            return answer.headers["X-Cache"], (await answer.read())[44:]

    async def ask_all() -> set[tuple[str, bytes]]:
        async with ClientSession(appliance.base_url) as session:
            return set(await asyncio.gather(*(ask(session) for _ in range(times))))

    return asyncio.run(ask_all())


def counted(appliance: Appliance, result: str) -> float:
    return scrape(appliance.base_url)["tts_cache_requests_total", result]


def file_bytes(appliance: Appliance) -> float:
    return scrape(appliance.base_url)["tts_cache_bytes", "files"]


def test_cache_when_its_disk_hangs_then_equal_requests_are_spoken_once_as_ever_and_it_mends(
    run_dir: Path, disk: Disk
) -> None:
    with started(run_dir) as appliance:
        [(first, audio)] = spoken(appliance, TEXT + "Before.")
        eventually(lambda: file_bytes(appliance) > 0)
        with disk.frozen():
            # Far more than there is room for, if what waits for the disk were held.
            for number in range(8):
                assert [result for result, _ in spoken(appliance, f"{TEXT} {number}")] == ["miss"]
            appliance.wait_for("cache_disk_failed", reason="stalled")
            shared = counted(appliance, "shared")
            [(_, once)] = spoken(appliance, TEXT + "All at once.", AT_ONCE)
            assert counted(appliance, "shared") == shared + AT_ONCE - 1
            assert spoken(appliance, TEXT + "All at once.") == {("hit", once)}
            # Long gone from memory, and who only reads doesn't wait behind those who can't write.
            assert (first, spoken(appliance, TEXT + "Before.")) == ("miss", {("hit", audio)})
        appliance.wait_for("cache_disk_recovered")
        assert [line["event"] for line in appliance.lines].count("cache_disk_failed") == 1
        before = file_bytes(appliance)
        numbers = iter(range(100, 1_000))
        eventually(lambda: spoken(appliance, f"After {next(numbers)}.") and file_bytes(appliance) > before)
        assert appliance.stop() == 0


def kept_on(disk: Disk) -> list[Path]:
    return [path for path in disk.folder.rglob("*") if path.is_file() and path.name != "others"]


def speak_until_one_is_kept(appliance: Appliance) -> None:
    """Ask for one text after the other until the disk has an answer."""
    numbers = iter(range(100, 1_000))
    eventually(lambda: spoken(appliance, f"After {next(numbers)}.") and file_bytes(appliance) > 0)


def test_cache_when_its_disk_is_full_then_requests_are_spoken_and_later_kept(run_dir: Path) -> None:
    (run_dir / "data").mkdir()
    with memory_disk(run_dir / "data" / "cache", "16m") as disk:
        filler = disk.fill()
        with started(run_dir) as appliance:
            for number in range(3):
                assert [result for result, _ in spoken(appliance, f"{TEXT} {number}")] == ["miss"]
            assert (kept_on(disk), file_bytes(appliance)) == ([], 0)
            filler.unlink()
            speak_until_one_is_kept(appliance)
            assert kept_on(disk)


@pytest.mark.slow
def test_cache_when_no_answer_fits_on_its_disk_then_requests_are_spoken_and_later_kept(run_dir: Path) -> None:
    (run_dir / "data").mkdir()
    with memory_disk(run_dir / "data" / "cache", "64k") as disk, started(run_dir) as appliance:
        for number in range(3):
            assert [result for result, _ in spoken(appliance, f"{TEXT} {number}")] == ["miss"]
        appliance.wait_for("cache_disk_failed", reason="No space left on device")
        assert (kept_on(disk), file_bytes(appliance)) == ([], 0)
        disk.remount("size=16m")
        speak_until_one_is_kept(appliance)
        appliance.wait_for("cache_disk_recovered")
