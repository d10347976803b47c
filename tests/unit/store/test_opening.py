"""What happens to the database's file at the start."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import ConfigurationError
from appliance.store import backups
from appliance.store.backups import create_backup, list_backups, verify_backup
from appliance.store.check import FLOOR_SUFFIX, connect, lower_floor, note_floor, read_floor, rows_of
from appliance.store.database import WRITER_PRAGMAS
from appliance.store.errors import StorageError, StoreBusyError, StoreCorruptError, StoreFailedError
from appliance.store.migrations import APPLICATION_ID, HEADER_BYTES, SCHEMA_VERSION
from appliance.store.opening import CORRUPT_KEPT, REPLACED_SUFFIX, Opened, StoreLock, forget_replaced, prepare
from appliance.voice_folders import locked
from tests.parts.databases import damage_an_index, job_row, make_old, spoil_a_name

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
    forget_replaced(database)
    assert prepare(database).state == "ok"


@pytest.mark.parametrize("how", BREAKS)
def test_database_when_broken_and_without_backup_then_an_empty_one_takes_its_place(
    database: Path, how: str
) -> None:
    BREAKS[how](database)
    assert prepare(database).state == "lost"
    assert runs_in(database) == 0
    forget_replaced(database)
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
    spoil_a_name(database)
    with pytest.raises(StoreCorruptError):  # as the gateway does all along
        rows_of(database)
    assert prepare(database).state == "lost"


def test_database_when_its_backup_cannot_be_put_back_then_tried_again_and_never_empty(database: Path) -> None:
    create_backup(database, database.parent / "backups")
    BREAKS["text"](database)
    blocked = database.with_name(database.name + backups.PARTIAL_SUFFIX)
    blocked.mkdir()
    for has_floor in (True, True, False):
        if not has_floor:
            floor_path(database).unlink()
        with pytest.raises(StorageError):
            prepare(database)
        assert not database.exists()
    blocked.rmdir()
    opened = prepare(database)
    assert (opened.state, opened.reason) == ("restored", "it isn't a database")
    assert (database.parent / opened.moved_to).read_bytes().startswith(b"no database")
    assert runs_in(database) == RUNS


def floor_path(database: Path) -> Path:
    return database.with_name(database.name + FLOOR_SUFFIX)


def test_database_when_a_backup_is_put_back_and_what_follows_fails_then_the_next_opening_says_it(
    database: Path,
) -> None:
    backup = create_backup(database, database.parent / "backups")
    BREAKS["text"](database)
    blocked = floor_path(database).with_name(f"{floor_path(database).name}.{os.getpid()}")
    blocked.mkdir()
    with pytest.raises(StorageError):
        prepare(database)
    assert runs_in(database) == RUNS
    blocked.rmdir()
    for _ in range(2):  # nobody has said it after the first
        opened = prepare(database)
        assert (opened.state, opened.backup) == ("restored", backup.path.name)
        assert (database.parent / opened.moved_to).exists()
    forget_replaced(database)
    assert prepare(database) == Opened("ok")


def test_database_when_broken_and_that_cannot_be_noted_then_it_stays_until_it_can(database: Path) -> None:
    backup = create_backup(database, database.parent / "backups")
    BREAKS["text"](database)
    floor_path(database).unlink()  # as where no table has rows that last
    blocked = database.with_name(f"{database.name}{REPLACED_SUFFIX}.{os.getpid()}")
    blocked.mkdir()
    for _ in range(2):
        with pytest.raises(StorageError):
            prepare(database)
        assert database.exists()
    blocked.rmdir()
    opened = prepare(database)
    assert (opened.state, opened.backup) == ("restored", backup.path.name)
    assert (database.parent / opened.moved_to).exists()


def make_unreadable(path: Path) -> bytes:
    """Have the system refuse whoever opens it, also root; return what it held."""
    content = path.read_bytes()
    path.unlink()
    path.symlink_to(path.name)
    return content


def test_database_when_broken_and_a_backup_cannot_be_read_then_an_older_one_is_put_back(
    database: Path,
) -> None:
    older, newest = (create_backup(database, database.parent / "backups") for _ in range(2))
    make_unreadable(newest.path)
    BREAKS["text"](database)
    opened = prepare(database)
    assert (opened.state, opened.backup) == ("restored", older.path.name)
    assert runs_in(database) == RUNS


def test_database_when_broken_and_the_only_backup_cannot_be_read_then_tried_again_and_never_empty(
    database: Path,
) -> None:
    backup = create_backup(database, database.parent / "backups")
    content = make_unreadable(backup.path)
    BREAKS["text"](database)
    with pytest.raises(StoreFailedError, match=backup.path.name):
        prepare(database)
    assert database.exists()
    backup.path.unlink()
    backup.path.write_bytes(content)
    assert prepare(database).state == "restored"
    assert runs_in(database) == RUNS


@pytest.fixture(params=range(1, SCHEMA_VERSION))
def old_database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One of each older version, with rows."""
    path = tmp_path / "appliance.sqlite"
    make_old(path, request.param, RUNS)
    return path


def version_of(path: Path) -> int:
    """As its first bytes say. Source: sqlite.org/fileformat2.html, 1.3."""
    return int.from_bytes(path.read_bytes()[60:64], "big")


def test_database_when_of_an_older_version_then_backed_up_and_brought_to_the_newest_with_all_rows(
    old_database: Path,
) -> None:
    version = version_of(old_database)
    assert prepare(old_database) == Opened("ok")
    assert (version_of(old_database), runs_in(old_database)) == (SCHEMA_VERSION, RUNS)
    assert read_floor(old_database)["runs"] == RUNS // 2
    assert prepare(old_database) == Opened("ok")
    [backup] = list_backups(old_database.parent / "backups")
    verify_backup(backup)
    assert (backup.manifest.reason, backup.manifest.user_version) == ("migration", version)
    assert (backup.manifest.rows["runs"], runs_in(backup.path)) == (RUNS, RUNS)


@pytest.mark.parametrize("has_backup", [True, False])
def test_database_when_of_an_older_version_and_damaged_in_an_index_then_as_any_broken_one(
    old_database: Path, *, has_backup: bool
) -> None:
    folder, version = old_database.parent / "backups", version_of(old_database)
    if has_backup:
        create_backup(old_database, folder)
    damage_an_index(old_database)
    opened = prepare(old_database)
    assert opened.state == ("restored" if has_backup else "lost")
    assert version_of(old_database.with_name(opened.moved_to)) == version
    assert (version_of(old_database), runs_in(old_database)) == (SCHEMA_VERSION, RUNS if has_backup else 0)
    reasons = [each.manifest.reason for each in list_backups(folder)]
    assert reasons == (["migration", "manual"] if has_backup else [])


def test_migration_when_it_fails_again_and_again_then_one_backup_for_each_state_of_the_rows(
    tmp_path: Path,
) -> None:
    path, folder = tmp_path / "appliance.sqlite", tmp_path / "backups"
    make_old(path, 1, RUNS)

    def change(statement: str) -> None:
        with contextlib.closing(connect(path)) as connection:
            connection.execute(statement)

    def fail_thrice() -> int:
        for _ in range(3):
            with pytest.raises(StorageError):
                prepare(path)
        assert (version_of(path), runs_in(path)) == (1, RUNS)
        return len(list_backups(folder))

    change("CREATE TABLE jobs (in_the_way)")
    assert fail_thrice() == 1
    change("UPDATE runs SET token = 4711 WHERE run = 1")  # the version before has worked with it
    assert fail_thrice() == 2
    flip(list_backups(folder)[0].path, 5000, 1)
    assert fail_thrice() == 3
    change("DROP TABLE jobs")
    assert prepare(path) == Opened("ok")
    assert (version_of(path), runs_in(path), len(list_backups(folder))) == (SCHEMA_VERSION, RUNS, 4)


def test_broken_databases_when_there_are_many_then_the_newest_few_stay(database: Path) -> None:
    for _ in range(CORRUPT_KEPT + 2):
        database.write_bytes(b"")
        prepare(database)
    assert len(list(database.parent.glob("*.corrupt-*Z"))) == CORRUPT_KEPT


@pytest.mark.parametrize("count", [1, 5])
def test_database_when_it_has_lost_its_jobs_then_a_backup_is_put_back(database: Path, count: int) -> None:
    with contextlib.closing(connect(database)) as connection:
        for number in range(count):
            connection.execute(job_row(str(number)))
    assert prepare(database).state == "ok"
    create_backup(database, database.parent / "backups")
    with contextlib.closing(connect(database)) as connection:
        connection.execute("DELETE FROM jobs")
    assert prepare(database).state == "restored"
    assert rows_of(database)["jobs"] == count


def test_floor_when_it_cant_be_lowered_then_forgotten(database: Path) -> None:
    floor = database.with_name(database.name + FLOOR_SUFFIX)
    floor.with_name(f"{floor.name}.{os.getpid()}").mkdir()  # where it is written first
    lower_floor(database, "runs", 2 * RUNS)
    assert read_floor(database)["runs"] == RUNS // 2
    lower_floor(database, "runs", 0)
    assert read_floor(database) == {}


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
    assert backup.manifest.rows == {
        "job_utterances": 0,
        "jobs": 0,
        "pronunciations": 0,
        "requests": 0,
        "runs": RUNS,
    }
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
