"""The store's life in the gateway: rows beside the tidying, a history that takes long to count, bad disks."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from loguru import logger

from appliance.metrics import GatewayMetrics
from appliance.settings import Settings, load_settings
from appliance.store import database as database_module
from appliance.store import history as stored
from appliance.store.accepted import AcceptedCounter
from appliance.store.ballast import BALLAST_NAME
from appliance.store.check import BUSY_S, connect
from appliance.store.errors import StoreBusyError, StoreCorruptError
from appliance.store.history import HistoryRow
from appliance.store.migrations import HEADER_BYTES
from appliance.store.opening import prepare
from appliance.store.statements import STATEMENTS
from processes.gateway import history as history_module
from processes.gateway import store_keeper
from processes.gateway.history import History
from processes.gateway.store_keeper import StoreKeeper
from tests.parts.disks import Disk, memory_disk

OLD_ROWS = 60
PAGE_BYTES = 4096
LEAF = 0x0D
"""First byte of a page that has rows of a table. Source: sqlite.org/fileformat2.html, 1.6."""
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
ROW = HistoryRow(
    "new", 4e9, 4e9, "completed", "completed", "tone-low", "wav", 4, 1, 0.0, 0.0, 0.1, 0.1, 0.1, 1, "w", None
)


def settings_for(folder: Path, ballast_bytes: int = 0) -> Settings:
    return load_settings(
        {"APPLIANCE_DATA_DIR": str(folder), "APPLIANCE_STORE_BALLAST_BYTES": str(ballast_bytes)}
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path)


def fill(path: Path, accepted_at: float = 0.0) -> None:
    """Make a database with requests, by default of long ago."""
    prepare(path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        old = ROW._replace(request_id="old", accepted_at=accepted_at)
        connection.executemany(STATEMENTS["put_request"], [(number, *old) for number in range(OLD_ROWS)])


@contextlib.asynccontextmanager
async def kept(settings: Settings) -> AsyncIterator[tuple[StoreKeeper, History]]:
    """A store that is being kept, with a history."""
    history = History(AcceptedCounter(settings.store_path()), keeps_text=False)
    keeper = StoreKeeper(settings, GatewayMetrics(["/"]), history)
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper, history
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(check: Callable[[], Awaitable[object]]) -> None:
    while True:
        if await check():
            return
        await asyncio.sleep(0.01)


def is_in(keeper: StoreKeeper, state: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return keeper.state == state

    return check


async def rows_in(keeper: StoreKeeper) -> int:
    ((count,),) = await keeper.database.read("count_requests")
    return int(count)


async def is_one_more_written(history: History) -> None:
    """Have a row written, after whatever the keeper does first."""

    async def is_written() -> bool:
        return not history.is_waiting

    history.end(history.accept(lambda: ROW), ROW)
    await until(is_written)


def damage_rows(path: Path) -> None:
    """Make every page of requests unreadable, while somebody has the database open."""
    with contextlib.closing(connect(path)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    content = bytearray(path.read_bytes())
    for start in range(0, len(content), PAGE_BYTES):
        if content[start] == LEAF and b"tone-low" in content[start : start + PAGE_BYTES]:
            content[start] = 0xFF
    path.write_bytes(content)


async def test_damage_when_only_a_list_meets_it_then_said_and_replaced_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = await asyncio.to_thread(settings_for, tmp_path, ballast_bytes=1)
    monkeypatch.setattr(store_keeper, "FLUSH_S", 0.01)
    await asyncio.to_thread(fill, settings.store_path(), time.time())
    async with kept(settings) as (keeper, _):
        await until(is_in(keeper, "ok"))

        async def has_looked() -> bool:  # it ends with the ballast; the next one is a minute off
            return await asyncio.to_thread((tmp_path / BALLAST_NAME).exists)

        await until(has_looked)
        await asyncio.to_thread(damage_rows, settings.store_path())
        with pytest.raises(StoreCorruptError):
            await stored.list_requests(keeper.database, stored.Filter())
        await until(is_in(keeper, "lost"))
        assert not keeper.is_well
        assert await stored.list_requests(keeper.database, stored.Filter()) == []


async def test_damage_when_told_and_none_is_found_then_opened_again_and_not_for_a_while(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_keeper, "FLUSH_S", 0.01)
    monkeypatch.setattr(store_keeper, "LOOK_S", 0.01)
    async with kept(settings) as (keeper, history):
        await until(is_in(keeper, "ok"))
        before = keeper.database

        async def is_opened_again() -> bool:
            return keeper.is_well and keeper._database not in (None, before)

        keeper.tell(StoreBusyError())
        for _ in range(2):  # the first may be of a round that had begun before
            await is_one_more_written(history)
        assert keeper.database is before
        keeper.tell(StoreCorruptError())
        await until(is_in(keeper, "corrupt"))
        await until(is_opened_again)
        before = keeper.database
        keeper.tell(StoreCorruptError())
        for _ in range(2):
            await is_one_more_written(history)
        assert keeper.database is before
        monkeypatch.setattr(store_keeper, "DOUBT_S", 0.0)
        await until(is_opened_again)


async def test_history_when_much_of_it_is_too_old_then_rows_are_written_between_what_is_deleted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_keeper, "FLUSH_S", 0.01)
    monkeypatch.setattr(stored, "DELETED_AT_ONCE", 1)
    await asyncio.to_thread(fill, settings.store_path())
    async with kept(settings) as (keeper, history):
        await until(is_in(keeper, "ok"))

        async def are_some_deleted() -> bool:
            return await rows_in(keeper) < OLD_ROWS

        async def is_written() -> bool:
            return not history.is_waiting

        async def is_it_the_only_one() -> bool:
            return await rows_in(keeper) == 1

        await until(are_some_deleted)
        history.end(history.accept(lambda: ROW), ROW)
        await until(is_written)
        assert await rows_in(keeper) > 1
        await until(is_it_the_only_one)


async def test_history_when_the_clock_is_weeks_ahead_at_the_start_then_only_the_number_of_rows_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_keeper, "FLUSH_S", 0.01)
    environ = {"APPLIANCE_DATA_DIR": str(tmp_path), "APPLIANCE_STORE_HISTORY_ROWS": str(OLD_ROWS - 1)}
    settings = await asyncio.to_thread(load_settings, environ)
    newest_at = time.time() - 40 * store_keeper.DAY_S
    await asyncio.to_thread(fill, settings.store_path(), newest_at)
    async with kept(settings) as (keeper, _):
        await until(is_in(keeper, "ok"))

        async def is_one_deleted() -> bool:
            return await rows_in(keeper) < OLD_ROWS

        await until(is_one_deleted)
        assert await rows_in(keeper) == OLD_ROWS - 1


async def test_history_when_it_takes_too_long_to_count_then_left_for_now_and_the_database_stays_open(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STATEMENTS, "count_old_requests", ENDLESS)
    monkeypatch.setattr(database_module, "READ_LIMIT_S", 0.05)
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]))
    try:
        async with kept(settings) as (keeper, history):
            await until(is_in(keeper, "ok"))
            database = keeper.database

            async def is_said() -> bool:
                return "history_not_tidied" in said

            async def is_written() -> bool:
                return not history.is_waiting

            await until(is_said)
            history.end(history.accept(lambda: ROW), ROW)
            await until(is_written)
            assert (keeper.state, keeper.database) == ("ok", database)
            assert await rows_in(keeper) == 1
    finally:
        logger.remove(sink)
    assert said.count("history_not_tidied") == 1


async def test_rows_when_the_history_is_being_counted_then_they_are_written_meanwhile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STATEMENTS, "count_old_requests", ENDLESS)
    monkeypatch.setattr(database_module, "READ_LIMIT_S", math.inf)
    async with kept(settings) as (keeper, history):

        async def is_counting() -> bool:
            return keeper.state == "ok" and keeper.database._read_turn.locked()

        await until(is_counting)
        for _ in range(3):
            await is_one_more_written(history)
        assert keeper.database._read_turn.locked()


async def test_rows_when_they_come_then_they_are_written_sooner_than_the_next_look(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_keeper, "LOOK_S", math.inf)
    async with kept(settings) as (keeper, history):
        await until(is_in(keeper, "ok"))
        for _ in range(3):
            await is_one_more_written(history)


async def test_rows_when_there_are_more_than_a_batch_then_all_are_written_without_further_news(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_keeper, "LOOK_S", math.inf)
    monkeypatch.setattr(history_module, "BATCH", 2)
    async with kept(settings) as (keeper, history):
        await until(is_in(keeper, "ok"))
        for _ in range(6):
            history.accept(lambda: ROW)
        await is_one_more_written(history)


def test_stalled_when_two_writers_each_wait_for_another_process_then_that_is_no_hang() -> None:
    longest_s = BUSY_S + database_module.BEGIN_STEP_S
    assert 2 * longest_s < store_keeper.STALLED_S


async def test_write_when_another_one_takes_too_long_then_stalled_until_that_has_ended(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("FLUSH_S", 0.01), ("LOOK_S", 0.05), ("STALLED_S", 0.1)):
        monkeypatch.setattr(store_keeper, name, seconds)
    async with kept(settings) as (keeper, _):
        await until(is_in(keeper, "ok"))
        async with keeper.database.transaction():
            await until(is_in(keeper, "stalled"))
            assert not keeper.is_well
        await until(is_in(keeper, "ok"))


async def test_opening_when_the_disk_gives_no_answer_then_not_well_until_it_does(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("FLUSH_S", 0.01), ("LOOK_S", 0.05), ("STALLED_S", 0.1)):
        monkeypatch.setattr(store_keeper, name, seconds)
    path = settings.store_path()
    os.mkfifo(path)  # whoever reads it waits for somebody who writes
    async with kept(settings) as (keeper, _):

        async def is_ill() -> bool:
            return not keeper.is_well

        try:
            await until(is_ill)
            assert keeper.state == "opening"
        finally:
            with path.open("r+b", buffering=0) as file:
                file.write(bytes(HEADER_BYTES))
                await until(is_in(keeper, "lost"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with memory_disk(tmp_path / "disk", "8m") as made:
        yield made


@pytest.fixture
def disk_settings(disk: Disk) -> Settings:
    return settings_for(disk.folder, ballast_bytes=1 << 20)


def fill_but_for(disk: Disk, pages: int) -> Path:
    filler = disk.fill()
    with filler.open("ab") as file:
        file.truncate(filler.stat().st_size - pages * PAGE_BYTES)
    return filler


@pytest.mark.parametrize("pages", [0, 8, 9, 10, 16])
async def test_disk_when_only_some_pages_are_left_at_the_opening_then_the_ballast_gives_its_space(
    disk: Disk, disk_settings: Settings, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    monkeypatch.setattr(store_keeper, "LOOK_S", 0.05)
    ballast = disk.folder / BALLAST_NAME

    async def is_there() -> bool:
        return ballast.exists()

    async with kept(disk_settings):
        await until(is_there)
    await asyncio.to_thread(fill_but_for, disk, pages)
    async with kept(disk_settings) as (keeper, _):
        await until(is_in(keeper, "ok"))
        (disk.folder / "others").unlink()
