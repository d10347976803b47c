"""The open database: transactions whole or not at all, readers that can't write, limits."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.store import database as database_module
from appliance.store.check import BUSY_S, connect
from appliance.store.database import BEGIN_STEP_S, Database
from appliance.store.errors import StorageError, StoreFailedError, StoreReadonlyError, StoreSlowError
from appliance.store.opening import prepare
from appliance.store.statements import STATEMENTS


@pytest.fixture
async def commits() -> list[float]:
    return []


@pytest.fixture
async def database(tmp_path: Path, commits: list[float]) -> AsyncIterator[Database]:
    await asyncio.to_thread(prepare, tmp_path / "db")
    made = await Database.open(tmp_path / "db", commits.append)
    yield made
    await made.close()


async def add_run(database: Database, token: int) -> int:
    async with database.transaction() as transaction:
        ((run,),) = await transaction.execute("begin_run", {"started_at": 0.0, "token": token})
    return int(run)


async def tokens(database: Database) -> set[int]:
    return {row["token"] for row in await database.read("list_open_runs", {"run": -1})}


async def test_transaction_when_it_ends_then_read_by_others_and_its_commit_is_timed(
    database: Database, commits: list[float]
) -> None:
    commits.clear()
    await add_run(database, 7)
    assert await tokens(database) == {7}
    assert len(commits) == 1
    assert 0 < commits[0] < 10


async def test_transaction_when_its_block_raises_then_nothing_of_it_is_there(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as transaction:
            await transaction.execute("begin_run", {"started_at": 0.0, "token": 7})
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await tokens(database) == set()
    await add_run(database, 8)
    assert await tokens(database) == {8}


@pytest.mark.parametrize("turns", range(12))
async def test_transaction_when_cancelled_anywhere_then_whole_or_gone_and_the_next_one_works(
    database: Database, turns: int
) -> None:
    task = asyncio.create_task(add_run(database, 7))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await add_run(database, 8)
    assert await tokens(database) in ({8}, {7, 8})


async def test_transaction_when_another_process_writes_then_a_cancel_is_obeyed_long_before_its_turn(
    database: Database, tmp_path: Path
) -> None:
    with contextlib.closing(connect(tmp_path / "db")) as other:
        other.execute("BEGIN IMMEDIATE")
        begun_s = time.monotonic()
        task = asyncio.create_task(add_run(database, 7))
        await asyncio.wait([task], timeout=BEGIN_STEP_S)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert time.monotonic() - begun_s < BUSY_S / 2
        other.execute("ROLLBACK")
    await add_run(database, 8)
    assert await tokens(database) == {8}


async def test_reader_when_it_is_to_write_then_it_can_not(database: Database) -> None:
    with pytest.raises(StoreReadonlyError):
        await database.read("begin_run", {"started_at": 0.0, "token": 7})


async def test_reader_when_it_takes_too_long_then_stopped_and_the_next_one_reads(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    monkeypatch.setitem(STATEMENTS, "endless", endless)
    monkeypatch.setattr(database_module, "READ_LIMIT_S", 0.05)
    with pytest.raises(StoreSlowError):
        await database.read("endless")
    assert await tokens(database) == set()


async def test_database_when_closed_then_a_storage_error(database: Database) -> None:
    await database.close()
    with pytest.raises(StoreFailedError):
        await database.read("count_requests")
    with pytest.raises(StorageError):
        await add_run(database, 7)


async def test_files_when_one_is_removed_then_named_and_what_it_held_is_saved(
    database: Database, tmp_path: Path
) -> None:
    await add_run(database, 7)
    assert await database.missing_files() == []
    await asyncio.to_thread((tmp_path / "db-wal").unlink)
    assert await database.missing_files() == ["db-wal"]
    await database.rescue()
    await database.close()
    with connect(tmp_path / "db", mode="ro") as connection:
        assert connection.execute("SELECT token FROM runs").fetchall() == [(7,)]
    connection.close()
