"""What happens to the database's file at the start."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import ConfigurationError
from appliance.store import backups
from appliance.store.backups import create_backup, list_backups, verify_backup
from appliance.store.check import connect, note_floor, read_floor
from appliance.store.database import WRITER_PRAGMAS
from appliance.store.errors import StorageError, StoreBusyError, StoreCorruptError
from appliance.store.migrations import APPLICATION_ID, HEADER_BYTES
from appliance.store.opening import CORRUPT_KEPT, StoreLock, prepare
from appliance.voice_folders import locked

RUNS = 40


def flip(path: Path, start: int, count: int) -> None:
    data = bytearray(path.read_bytes())
    for place in range(start, start + count):
        data[place] ^= 0xFF
    path.write_bytes(data)


def emptied_of_rows(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM runs")


def without_a_table(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE requests")


def somebody_elses(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE runs (x)")


BREAKS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "cut at a page": lambda path: path.write_bytes(path.read_bytes()[:8192]),
    "cut in the header": lambda path: path.write_bytes(path.read_bytes()[:50]),
    "header of zeros": lambda path: path.write_bytes(bytes(100) + path.read_bytes()[100:]),
    "text": lambda path: path.write_bytes(b"no database at all\n" * 1000),
    "page flipped": lambda path: flip(path, 4096, 64),
    "id flipped": lambda path: flip(path, 68, 4),
    "rows gone": emptied_of_rows,
    "table gone": without_a_table,
    "another program's": somebody_elses,
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """One with rows, closed, whose number of rows is noted."""
    path = tmp_path / "appliance.sqlite"
    assert prepare(path).state == "ok"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO runs (started_at, token) VALUES (?, 0)", [(n,) for n in range(RUNS)]
        )
    assert prepare(path).state == "ok"
    assert read_floor(path)["runs"] == RUNS // 2
    return path


def runs_in(path: Path) -> int:
    with contextlib.closing(connect(path, mode="ro")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM runs").fetchone()
    return int(count)


@pytest.mark.parametrize("how", BREAKS)
def test_database_when_broken_then_moved_aside_and_the_newest_whole_backup_is_put_back(
    database: Path, how: str
) -> None:
    create_backup(database, database.parent / "backups")
    newest = create_backup(database, database.parent / "backups")
    newest.path.write_bytes(newest.path.read_bytes()[:-1])
    BREAKS[how](database)
    opened = prepare(database)
    assert opened.state == "restored"
    assert opened.backup != newest.path.name
    assert runs_in(database) == RUNS
    if how != "gone":
        assert (database.parent / opened.moved_to).exists()
    assert prepare(database).state == "ok"


@pytest.mark.parametrize("how", BREAKS)
def test_database_when_broken_and_without_backup_then_an_empty_one_takes_its_place(
    database: Path, how: str
) -> None:
    BREAKS[how](database)
    assert prepare(database).state == "lost"
    assert runs_in(database) == 0
    assert prepare(database).state == "ok"


def takes_all_rows(path: Path) -> bool:
    """Whether a database can be written to as the gateway does it, and has every row."""
    with contextlib.closing(connect(path)) as connection:
        for pragma in WRITER_PRAGMAS:
            connection.execute(pragma)
        return connection.execute("UPDATE runs SET accepted = 1").rowcount == RUNS


@pytest.mark.parametrize("other", [0x01, 0x07, 0xFF])
def test_header_when_a_byte_of_it_is_another_then_seen_or_harmless(database: Path, other: int) -> None:
    assert takes_all_rows(database)  # and is one with a log from here on
    whole = database.read_bytes()
    path = database.parent / "damaged" / database.name
    for place in range(HEADER_BYTES):
        path.parent.mkdir()
        path.write_bytes(whole[:place] + bytes([whole[place] ^ other]) + whole[place + 1 :])
        try:
            state = prepare(path).state
        except ConfigurationError:  # its schema's number, which may be that of a later version
            state = "refused" if 60 <= place < 64 else "failed"
        assert state in ("lost", "refused") or (state == "ok" and takes_all_rows(path)), place
        shutil.rmtree(path.parent)


def test_schema_when_a_name_in_it_is_no_text_then_damaged(database: Path) -> None:
    database.write_bytes(database.read_bytes().replace(b"tablejobsjobs", b"table\xffobsjobs"))
    assert prepare(database).state == "lost"


def test_database_when_its_backup_cannot_be_put_back_then_tried_again_and_never_empty(database: Path) -> None:
    create_backup(database, database.parent / "backups")
    BREAKS["text"](database)
    blocked = database.with_name(database.name + backups.PARTIAL_SUFFIX)
    blocked.mkdir()
    for _ in range(2):
        with pytest.raises((StorageError, OSError)):
            prepare(database)
        assert not database.exists()
    blocked.rmdir()
    assert prepare(database).state == "restored"
    assert runs_in(database) == RUNS


def test_broken_databases_when_there_are_many_then_the_newest_few_stay(database: Path) -> None:
    for _ in range(CORRUPT_KEPT + 2):
        database.write_bytes(b"")
        prepare(database)
    assert len(list(database.parent.glob("*.corrupt-*Z"))) == CORRUPT_KEPT


def test_floor_when_rows_are_deleted_as_announced_then_well(database: Path) -> None:
    note_floor(database, {"runs": 0})
    emptied_of_rows(database)
    assert prepare(database).state == "ok"


def test_lock_when_somebody_has_it_then_busy_until_it_is_released(database: Path) -> None:
    lock = StoreLock(database)
    with pytest.raises(StoreBusyError):
        StoreLock(database)
    lock.release()
    StoreLock(database).release()


def test_backup_when_made_then_verified_and_what_it_says_is_true(database: Path) -> None:
    backup = create_backup(database, database.parent / "backups", "manual")
    verify_backup(backup)
    assert backup.manifest.rows == {"job_utterances": 0, "jobs": 0, "requests": 0, "runs": RUNS}
    assert backup.manifest.application_id == APPLICATION_ID
    assert [each.path for each in list_backups(database.parent / "backups")] == [backup.path]
    assert backup.path.stat().st_mode & 0o777 == 0o600


def test_backup_when_a_byte_is_another_then_it_is_refused(database: Path) -> None:
    backup = create_backup(database, database.parent / "backups")
    flip(backup.path, backup.path.stat().st_size - 5000, 1)
    with pytest.raises(StoreCorruptError):
        verify_backup(backup)


def test_backup_when_another_is_being_made_then_busy(database: Path) -> None:
    folder = database.parent / "backups"
    folder.mkdir()
    with locked(folder), pytest.raises(StoreBusyError):
        create_backup(database, folder)
    create_backup(database, folder)


def test_backup_when_a_killed_one_left_parts_then_the_next_removes_them(database: Path) -> None:
    folder = database.parent / "backups"
    kept = create_backup(database, folder)
    left = [
        folder / f"appliance-20200101T000000.000Z.sqlite{backups.PARTIAL_SUFFIX}",
        folder / "appliance-20200101T000000.000Z.json",
        folder / "appliance-20200101T000000.000Z.json.4711",
    ]
    for path in left:
        path.write_bytes(b"{}")
    own = folder / "appliance-before-the-move.sqlite"
    own.write_bytes(b"somebody's own")
    create_backup(database, folder)
    assert [path for path in left if path.exists()] == []
    assert own.exists()
    assert len(list_backups(folder)) == 2
    verify_backup(kept)
