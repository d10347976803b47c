"""What a look at the disk finds when a promise was broken."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.store.database import Database
from appliance.store.jobs import DoneUtterance, NewJob, add_job, change_job, record_utterances
from appliance.store.opening import prepare
from loadtests.durability.look import DATABASE, Seen, look
from loadtests.durability.orders import Order
from loadtests.ledger.reference import texts
from processes.gateway.job_folder import PACK_NAME, SPOKEN_NAME, TEXT_NAME, JobFolder
from processes.gateway.job_pack import SpokenUtterance
from tests.parts.packs import opened

ID = "0" * 32
PACK = f"{SPOKEN_NAME}/{PACK_NAME}"


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """A job that was acknowledged and is being spoken, as it lies on the disk."""
    order = Order(0, ID)
    folder = JobFolder(tmp_path, ID, 1.0)
    folder.make()
    folder.upload_path.touch()
    folder.put_text(texts()[0])
    with opened(folder.path / PACK) as pack:
        stored = pack.put("one", SpokenUtterance(b"\x01\x00", 22_050))
    prepare(tmp_path / DATABASE)
    asyncio.run(_put_rows(tmp_path / DATABASE, order, stored.sha256))
    return order


async def _put_rows(path: Path, order: Order, sha256: str) -> None:
    database = await Database.open(path)
    new = NewJob(
        ID,
        "",
        order.stored_key,
        "",
        "v",
        "wav",
        1.0,
        0.0,
        1.0,
        "text",
        True,
        True,
        False,
        False,
        9,
        100,
        50,
        "",
    )
    row, _ = await add_job(database, new)
    await change_job(database, "begin", ID)
    await record_utterances(database, row["job"], [DoneUtterance(0, "one", sha256, 1.0)], 1, 1.0)
    await database.close()


def found(folder: Path, order: Order) -> list[str]:
    """Return what a look finds, by the names of its kinds."""
    seen = Seen()
    look(folder, [order], seen)
    return [name for name, found in vars(seen).items() if found]


def test_look_when_all_is_there_then_nothing_is_found(tmp_path: Path, order: Order) -> None:
    assert found(tmp_path, order) == []


def _in_database(statement: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with contextlib.closing(sqlite3.connect(folder / DATABASE)) as connection, connection:
            connection.execute(statement)

    return change


def _in_file(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (JobFolder(folder, ID, 1.0).path / name).write_bytes(b"other")

    return change


@pytest.mark.parametrize(
    ("spoil", "kinds"),
    [
        (_in_database("DELETE FROM jobs"), ["lost"]),
        (_in_database("UPDATE jobs SET idempotency_key = 'of nobody'"), ["strange"]),
        (_in_database("UPDATE jobs SET state = 'completed'"), ["files"]),
        (_in_file(TEXT_NAME), ["files"]),
        (_in_file(PACK), ["files"]),
        (_in_database("DROP TABLE requests"), ["databases"]),
    ],
)
def test_look_when_something_is_wrong_then_found(
    tmp_path: Path, order: Order, spoil: Callable[[Path], None], kinds: list[str]
) -> None:
    spoil(tmp_path)
    assert found(tmp_path, order) == kinds


def test_look_when_a_job_had_ended_then_another_state_is_found(tmp_path: Path, order: Order) -> None:
    order.ended_as = "completed"
    assert found(tmp_path, order) == ["changed"]


def test_look_when_a_deleted_job_is_back_then_found(tmp_path: Path, order: Order) -> None:
    order.is_deleted = True
    assert found(tmp_path, order) == ["strange"]
