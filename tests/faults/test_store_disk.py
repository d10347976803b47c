"""Rows D3 and D4: a full disk, a disk that can't be written to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.store.ballast import BALLAST_NAME
from tests.parts.appliance import Appliance, eventually
from tests.parts.asked import asked, database_state, spoken
from tests.parts.disks import Disk, file_disk, memory_disk
from tests.parts.rounds import allowance_s
from tests.parts.scrape import scrape

pytestmark = pytest.mark.timeout(180)

BACK_S = 5.0
"""Seconds from space to a database that takes rows (faults.md, D3)."""
BALLAST_BYTES = 4_194_304


@contextlib.contextmanager
def started(base: Path, disk: Disk, **settings: Any) -> Iterator[Appliance]:
    """An appliance whose data lie on a disk of their own."""
    made = Appliance(base, DATA_DIR=disk.folder / "data", VOICES_DEFAULT="tone-low", **settings)
    with contextlib.closing(made):
        made.wait_until_ready()
        yield made


@pytest.fixture
def disk(run_dir: Path) -> Iterator[Disk]:
    with memory_disk(run_dir / "disk", "24m") as made:
        yield made


def disk_state(appliance: Appliance) -> str:
    return str(asked(appliance, "/health")["disk"]["state"])


def recorded(appliance: Appliance, request_id: str) -> bool:
    return bool(asked(appliance, f"/v1/history?request_id={request_id}&state=completed").get("data"))


def test_disk_when_full_then_speech_goes_on_and_the_rows_follow_when_there_is_space(
    run_dir: Path, disk: Disk
) -> None:
    with started(run_dir, disk) as appliance:
        appliance.wait_for("store_open")
        spoken(appliance, "before")
        eventually(lambda: recorded(appliance, "before"))
        filler = disk.fill()
        eventually(lambda: spoken(appliance, "filling") and database_state(appliance) == "full")
        for number in range(20):
            assert len(spoken(appliance, f"meanwhile-{number}")) > 1000
        assert asked(appliance, "/health")["status"] == "degraded"
        assert recorded(appliance, "before")
        assert scrape(appliance.base_url)[("tts_db_errors_total", "full")] > 0
        appliance.wait_for("store_failed")
        assert [line["event"] for line in appliance.lines].count("store_failed") == 1
        filler.unlink()
        eventually(lambda: database_state(appliance) == "ok", limit_s=BACK_S + allowance_s())
        eventually(lambda: all(recorded(appliance, f"meanwhile-{number}") for number in range(20)))
        assert asked(appliance, "/v1/history")["unrecorded"] == 0
        assert appliance.stop() == 0


def test_disk_when_full_and_there_is_ballast_then_it_goes_first_and_comes_back(
    run_dir: Path, disk: Disk
) -> None:
    with started(run_dir, disk, STORE_BALLAST_BYTES=BALLAST_BYTES) as appliance:
        appliance.wait_for("store_open")
        ballast = disk.folder / "data" / BALLAST_NAME
        eventually(lambda: ballast.exists() and ballast.stat().st_size == BALLAST_BYTES)
        filler = disk.fill()
        eventually(lambda: spoken(appliance, "filling") and not ballast.exists())
        appliance.wait_for("ballast_dropped", bytes=BALLAST_BYTES)
        spoken(appliance, "meanwhile")
        eventually(lambda: recorded(appliance, "meanwhile"))
        assert database_state(appliance) == "ok"
        filler.unlink()
        assert appliance.stop() == 0
        assert ballast.stat().st_size == BALLAST_BYTES  # it is made anew once a minute, and at a stop


def test_disk_when_full_at_the_start_then_speech_comes_up_and_the_store_follows(
    run_dir: Path, disk: Disk
) -> None:
    (disk.folder / "data").mkdir()
    filler = disk.fill()
    with started(run_dir, disk) as appliance:
        eventually(lambda: database_state(appliance) == "full")
        assert len(spoken(appliance, "meanwhile")) > 1000
        assert asked(appliance, "/health")["status"] == "degraded"
        filler.unlink()
        eventually(lambda: database_state(appliance) == "ok", limit_s=BACK_S + allowance_s())
        eventually(lambda: recorded(appliance, "meanwhile"))
        assert asked(appliance, "/health")["status"] == "ok"


def test_disk_when_read_only_at_the_start_then_speech_comes_up_and_the_store_follows(
    run_dir: Path, disk: Disk
) -> None:
    disk.remount("ro")
    with started(run_dir, disk) as appliance:
        eventually(lambda: database_state(appliance) == "readonly")
        assert asked(appliance, "/v1/history")["error"]["code"] == "storage_failed"
        eventually(lambda: disk_state(appliance) == "readonly")
        assert scrape(appliance.base_url)[("tts_disk_refusing",)] == 1
        spoken(appliance, "meanwhile")
        disk.remount("rw")
        eventually(lambda: database_state(appliance) == "ok", limit_s=BACK_S + allowance_s())
        eventually(lambda: disk_state(appliance) == "ok", limit_s=BACK_S + allowance_s())
        eventually(lambda: recorded(appliance, "meanwhile"))


def test_disk_when_it_fails_and_gets_read_only_then_speech_goes_on_and_health_says_so(run_dir: Path) -> None:
    with (
        file_disk(run_dir / "disk", run_dir / "image", 32 << 20) as disk,
        started(run_dir, disk) as appliance,
    ):
        appliance.wait_for("store_open")
        spoken(appliance, "before")
        eventually(lambda: recorded(appliance, "before"))
        disk.remount("abort")
        eventually(lambda: spoken(appliance, "failing") and database_state(appliance) == "readonly")
        eventually(lambda: disk_state(appliance) == "readonly")
        for number in range(100):
            assert len(spoken(appliance, f"meanwhile-{number}")) > 1000
        assert asked(appliance, "/health")["status"] == "degraded"
        assert appliance.stop() == 0


@pytest.mark.slow
def test_disk_when_it_hangs_then_health_says_so_and_the_rows_follow_when_it_goes_on(run_dir: Path) -> None:
    with (
        file_disk(run_dir / "disk", run_dir / "image", 32 << 20) as disk,
        started(run_dir, disk) as appliance,
    ):
        appliance.wait_for("store_open")
        spoken(appliance, "before")
        with disk.frozen():
            spoken(appliance, "meanwhile")
            eventually(lambda: database_state(appliance) == "stalled")
            assert asked(appliance, "/health")["status"] == "degraded"
            assert scrape(appliance.base_url)[("tts_db_up",)] == 0
            appliance.wait_for("store_stalled")
        eventually(lambda: database_state(appliance) == "ok")
        appliance.wait_for("store_recovered")
        eventually(lambda: recorded(appliance, "before") and recorded(appliance, "meanwhile"))
        assert scrape(appliance.base_url)[("tts_db_up",)] == 1
        assert appliance.stop() == 0


def test_disk_when_it_fills_up_then_each_share_is_said_and_all_ends_by_itself(
    run_dir: Path, disk: Disk
) -> None:
    with started(run_dir, disk) as appliance:
        appliance.wait_for("store_open")
        for share, state, alert, refusing in (
            (0.77, "evict", 0, 0),
            (0.85, "alert", 1, 0),
            (0.97, "refuse", 1, 1),
            (0.5, "ok", 0, 0),
        ):
            seen = len(appliance.lines)
            disk.fill_to(share)
            appliance.wait_for("disk_state", after=seen, state=state, limit_s=BACK_S + allowance_s())
            assert disk_state(appliance) == state
            samples = scrape(appliance.base_url)
            assert (samples[("tts_disk_alert",)], samples[("tts_disk_refusing",)]) == (alert, refusing)
            assert len(spoken(appliance, f"at-{share}")) > 1000
        assert database_state(appliance) == "ok"
