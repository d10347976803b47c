"""Nightly backups: when they are due, and what follows from one."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.metrics import GatewayMetrics
from appliance.settings import Settings, load_settings
from appliance.store.backups import create_backup, list_backups
from appliance.store.check import connect
from appliance.store.errors import StorageError, StoreBusyError, StoreCorruptError
from appliance.store.manifests import manifest_path_of
from appliance.store.opening import prepare
from processes.gateway import backups, store_keeper
from processes.gateway.backup_schedule import CATCH_UP, DAY, Schedule, next_time
from processes.gateway.backups import Backups
from processes.gateway.store_keeper import StoreKeeper
from tests.parts.databases import damage_an_index

AT = time(3, 30)
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def due_hours(schedule: Schedule, now: datetime) -> float:
    return (schedule.due - now) / HOUR


def test_time_when_it_is_still_to_come_then_today_else_tomorrow() -> None:
    assert next_time(AT, NOON) == datetime(2026, 3, 5, 3, 30, tzinfo=UTC)
    assert next_time(time(12, 1), NOON) == NOON + timedelta(minutes=1)
    assert next_time(time(12, 0), NOON) == NOON + DAY


def test_schedule_when_last_nights_backup_is_there_then_the_next_night() -> None:
    assert due_hours(Schedule(AT, NOON - 8 * HOUR, NOON), NOON) == 15.5


@pytest.mark.parametrize("newest", [None, NOON - 9 * HOUR])
def test_schedule_when_last_nights_backup_is_missing_then_soon(newest: datetime | None) -> None:
    assert Schedule(AT, newest, NOON).due == NOON + CATCH_UP


def test_schedule_when_due_then_once_a_day_whatever_becomes_of_it() -> None:
    schedule = Schedule(AT, NOON, NOON)
    minutes = [NOON + timedelta(minutes=number) for number in range(3 * 24 * 60)]
    made = [moment for moment in minutes if schedule.is_due(moment)]
    assert made == [datetime(2026, 3, day, 3, 30, tzinfo=UTC) for day in (5, 6, 7)]


def test_schedule_when_the_clock_is_moved_back_then_it_doesnt_wait_for_the_old_time() -> None:
    schedule = Schedule(AT, NOON, NOON)
    assert not schedule.is_due(NOON - 30 * DAY)
    assert due_hours(schedule, NOON - 30 * DAY) == 15.5


def test_schedule_when_the_clock_is_moved_on_by_a_month_then_one_backup() -> None:
    schedule = Schedule(AT, NOON, NOON)
    assert schedule.is_due(NOON + 30 * DAY)
    assert not schedule.is_due(NOON + 30 * DAY)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        {
            "APPLIANCE_DATA_DIR": str(tmp_path / "data"),
            "APPLIANCE_STORE_BALLAST_BYTES": "0",
            "APPLIANCE_STORE_BACKUP_DAILY": "2",
        }
    )


@pytest.fixture
async def store(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StoreKeeper]:
    """A store that is open."""
    monkeypatch.setattr(store_keeper, "FLUSH_S", 0.01)
    monkeypatch.setattr(backups, "LOOK_S", 0.01)
    keeper = StoreKeeper(settings, GatewayMetrics(["/"]), None)
    async with running(keeper.run()):
        await until(lambda: keeper.state == "ok")
        yield keeper


@contextlib.asynccontextmanager
async def running(life: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(life)
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def until(check: Callable[[], object]) -> None:
    while True:
        if check():
            return
        await asyncio.sleep(0.01)


def value_of(metrics: GatewayMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def has_made(metrics: GatewayMetrics, result: str, count: int) -> bool:
    return value_of(metrics, "tts_backups_total", result=result) == count


async def names_in(settings: Settings) -> list[str]:
    found = await asyncio.to_thread(list_backups, settings.backups_path())
    return [each.manifest.reason for each in found]


async def test_nights_when_they_come_then_one_backup_each_and_the_newest_stay(
    settings: Settings, store: StoreKeeper
) -> None:
    metrics, clock = GatewayMetrics(["/"]), Clock()
    made = Backups(settings, metrics, store, clock)
    assert made.as_dict() == {"newest": None, "last": None, "next": None}
    async with running(made.run()):
        await until(lambda: made.as_dict()["next"])
        for night in range(1, 5):
            clock.now += DAY
            await until(functools.partial(has_made, metrics, "ok", night))
    assert made.as_dict()["last"] == "ok"
    newest = value_of(metrics, "tts_backup_last_success_timestamp_seconds")
    assert newest == datetime.fromisoformat(_newest(settings)).timestamp()
    await until(lambda: not made._works)
    # To those who look at the real clock all nights are one or two days; the last may be unpruned.
    assert len(await names_in(settings)) in (1, 2, 3)


def _newest(settings: Settings) -> str:
    manifest = max(settings.backups_path().glob("*.json"))
    return str(json.loads(manifest.read_text())["created_at"])


async def test_night_when_its_backup_fails_then_said_and_the_next_night_is_tried(
    settings: Settings, store: StoreKeeper
) -> None:
    metrics, clock = GatewayMetrics(["/"]), Clock()
    made = Backups(settings, metrics, store, clock)
    folder = settings.backups_path()
    folder.write_bytes(b"")  # no folder can be made here
    async with running(made.run()):
        await until(lambda: made.as_dict()["next"])
        clock.now += DAY
        await until(functools.partial(has_made, metrics, "failed", 1))
        assert value_of(metrics, "tts_backup_last_ok") == 0
        assert value_of(metrics, "tts_backup_damaged") == 0
        next_night = "2026-03-06T03:30:00+00:00"
        assert made.as_dict() == {"newest": None, "last": "failed", "next": next_night}
        folder.unlink()
        clock.now += DAY
        await until(functools.partial(has_made, metrics, "ok", 1))
    assert value_of(metrics, "tts_backup_last_ok") == 1


@pytest.fixture
def damaged(settings: Settings) -> Path:
    """A database that looks whole at the start."""
    path = settings.store_path()
    path.parent.mkdir()
    prepare(path)
    damage_an_index(path)
    return path


async def test_backup_when_it_finds_the_database_damaged_then_said_until_one_is_made(
    settings: Settings, damaged: Path, store: StoreKeeper
) -> None:
    assert store.state == "ok"
    metrics, folder = GatewayMetrics(["/"]), settings.backups_path()
    made = Backups(settings, metrics, store)
    with pytest.raises(StoreCorruptError, match=f"{damaged.name}: its pages, indexes"):
        await made.create("manual")
    assert value_of(metrics, "tts_db_errors_total", state="corrupt") == 1
    assert value_of(metrics, "tts_backup_last_ok") == 0
    assert value_of(metrics, "tts_backup_damaged") == 1
    await asyncio.to_thread(shutil.rmtree, folder)
    folder.write_bytes(b"")  # no folder can be made here
    with pytest.raises(StorageError):
        await made.create("manual")
    assert (made.as_dict()["last"], made.is_well) == ("damaged", False)
    assert value_of(metrics, "tts_backup_damaged") == 1
    folder.unlink()
    await asyncio.to_thread(mend, damaged)
    await made.create("manual")
    assert (made.as_dict()["last"], made.is_well) == ("ok", True)
    assert value_of(metrics, "tts_backup_damaged") == 0


def mend(path: Path) -> None:
    with contextlib.closing(connect(path)) as connection:
        connection.execute("REINDEX")


async def test_night_when_there_is_no_room_then_old_backups_go_first(
    settings: Settings, store: StoreKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.backups_path()
    for _ in range(3):
        await asyncio.to_thread(create_backup, store.database.path, folder)
    full = os.statvfs(store.database.path)

    def look(path: Path) -> os.statvfs_result:
        """A disk that has room only once some of the backups are gone."""
        has_room = len(list(folder.glob("*.sqlite"))) < 3
        fields = list(full)
        fields[4] = fields[4] if has_room else 0
        return os.statvfs_result(fields)

    monkeypatch.setattr(os, "statvfs", look)
    metrics, clock = GatewayMetrics(["/"]), Clock()
    made = Backups(settings, metrics, store, clock)
    async with running(made.run()):
        await until(lambda: made.as_dict()["next"])
        clock.now += 2 * DAY
        await until(lambda: made.as_dict()["last"])
    assert made.as_dict()["last"] == "ok"


async def test_gateway_when_it_starts_then_it_knows_the_newest_backup(
    settings: Settings, store: StoreKeeper
) -> None:
    backup = await asyncio.to_thread(create_backup, store.database.path, settings.backups_path())
    metrics = GatewayMetrics(["/"])
    made = Backups(settings, metrics, store)
    async with running(made.run()):
        await until(lambda: made.as_dict()["newest"] is not None)
    newest = datetime.fromisoformat(backup.manifest.created_at)
    assert value_of(metrics, "tts_backup_last_success_timestamp_seconds") == newest.timestamp()


@pytest.mark.parametrize(("at", "is_scheduled"), [("03:30", 1), ("", 0)])
async def test_gateway_when_nightly_backups_are_set_or_not_then_its_metric_says_so(
    settings: Settings, store: StoreKeeper, at: str, is_scheduled: int
) -> None:
    metrics = GatewayMetrics(["/"])
    metrics.backup_scheduled.set(1 - is_scheduled)
    chosen = settings.model_copy(update={"store": settings.store.model_copy(update={"backup_at": at})})
    async with running(Backups(chosen, metrics, store).run()):
        await until(lambda: value_of(metrics, "tts_backup_scheduled") == is_scheduled)


async def test_gateway_when_a_backups_time_has_no_zone_then_it_is_none(
    settings: Settings, store: StoreKeeper
) -> None:
    backup = await asyncio.to_thread(create_backup, store.database.path, settings.backups_path())
    manifest = manifest_path_of(backup.path)
    values = json.loads(manifest.read_text())
    values["created_at"] = values["created_at"].removesuffix("+00:00")
    manifest.write_text(json.dumps(values))
    assert await names_in(settings) == []


async def test_backup_when_the_gateway_stops_then_it_is_left_and_none_is_there(
    settings: Settings, store: StoreKeeper
) -> None:
    made = Backups(settings, GatewayMetrics(["/"]), store)
    made.stop()
    with pytest.raises(StoreBusyError):
        await made.create("manual")
    assert await names_in(settings) == []
