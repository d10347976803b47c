"""A backup in the database's place, and every way back."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.store.backups import Backup, create_backup, list_backups, verify_backup
from appliance.store.check import connect, read_floor
from appliance.store.errors import StoreCorruptError
from appliance.store.manifests import Contents
from appliance.store.migrations import SCHEMA_VERSION
from appliance.store.opening import prepare
from appliance.store.restoring import REPLACED_KEPT, RestorePoint, begin, give_back, swap, take_note
from tests.parts.databases import damage_an_index, make_old, spoil_a_name

THEN, NOW = 20, 90


def add_runs(path: Path, count: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO runs (started_at, token) VALUES (0, ?)", [(n,) for n in range(count)]
        )


def runs_in(path: Path) -> int:
    with contextlib.closing(connect(path, mode="ro")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM runs").fetchone()
    return int(count)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "appliance.sqlite"
    path.parent.mkdir()
    prepare(path)
    return path


@pytest.fixture
def backup(database: Path) -> Backup:
    """Of `THEN` runs; the database has `NOW` meanwhile, and they are noted."""
    add_runs(database, THEN)
    made = create_backup(database, database.parent / "backups")
    add_runs(database, NOW - THEN)
    assert prepare(database).state == "ok"
    return made


def begun(backup: Backup, database: Path) -> RestorePoint:
    return begin(backup, database, Contents())


def test_restore_when_done_then_the_backups_rows_and_a_restore_point_with_the_others(
    database: Path, backup: Backup
) -> None:
    point = begun(backup, database)
    assert runs_in(database) == NOW
    assert swap(backup, database)["runs"] == THEN
    assert runs_in(database) == THEN
    assert read_floor(database)["runs"] == THEN // 2
    assert point.backup is not None
    assert (point.backup.manifest.reason, point.backup.manifest.rows["runs"]) == ("restore", NOW)
    assert take_note(database) == {"state": "swapped", "backup": backup.path.name, "reason": ""}
    assert take_note(database) == {}


def test_restore_when_the_gateway_was_killed_then_its_log_is_part_of_the_restore_point(
    database: Path, backup: Backup
) -> None:
    with contextlib.closing(sqlite3.connect(database)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        with writer:
            writer.execute("INSERT INTO runs (started_at, token) VALUES (0, 0)")
        killed = {path: path.read_bytes() for path in database.parent.glob("appliance.sqlite*")}
    for path, content in killed.items():  # closing has written the log into the file
        path.write_bytes(content)
    point = begun(backup, database)
    swap(backup, database)
    assert point.backup is not None
    assert point.backup.manifest.rows["runs"] == NOW + 1
    assert runs_in(database) == THEN


def test_restore_when_given_back_then_everything_is_as_before(database: Path, backup: Backup) -> None:
    point = begun(backup, database)
    swap(backup, database)
    add_runs(database, 3)
    give_back(point, backup, database, "why")
    assert runs_in(database) == NOW
    assert prepare(database).state == "ok"
    assert take_note(database) == {"state": "returned", "backup": backup.path.name, "reason": "why"}


def test_restore_when_the_backup_isnt_what_its_manifest_says_then_it_comes_back(
    database: Path, backup: Backup
) -> None:
    point = begun(backup, database)
    wrong = Backup(backup.path, replace(backup.manifest, rows={"runs": THEN + 1, "requests": 0}))
    with pytest.raises(StoreCorruptError, match="rows"):
        swap(wrong, database)
    give_back(point, wrong, database, "rows")
    assert (runs_in(database), prepare(database).state) == (NOW, "ok")


BREAKS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"no database\n" * 1000),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:9000]),
    "header of zeros": lambda path: path.write_bytes(bytes(100) + path.read_bytes()[100:]),
    "in an index only": damage_an_index,
    "in a name of its schema": spoil_a_name,
}


@pytest.mark.parametrize("how", BREAKS)
def test_restore_when_the_database_is_broken_then_it_is_kept_and_comes_back_as_it_was(
    database: Path, backup: Backup, how: str
) -> None:
    BREAKS[how](database)
    broken = database.read_bytes()
    point = begun(backup, database)
    assert point.backup is None
    assert database.with_name(point.replaced).read_bytes() == broken
    assert list_backups(backup.path.parent) == [backup]
    swap(backup, database)
    assert runs_in(database) == THEN
    give_back(point, backup, database, "why")
    assert database.read_bytes() == broken


def test_restore_when_the_database_is_a_later_versions_then_it_is_kept_and_comes_back(
    database: Path, backup: Backup
) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    point = begun(backup, database)
    assert point.replaced
    swap(backup, database)
    assert runs_in(database) == THEN
    give_back(point, backup, database, "why")
    assert runs_in(database) == NOW


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_restore_when_the_backup_is_an_older_versions_then_brought_to_the_newest_with_all_rows(
    database: Path, backup: Backup, version: int
) -> None:
    folder = backup.path.parent
    old = database.parent / "older" / "appliance.sqlite"
    make_old(old, version, THEN + 1)
    older = create_backup(old, folder)
    assert older.manifest.user_version == version
    point = begun(older, database)
    assert swap(older, database)["runs"] == THEN + 1
    assert (version_of(database), runs_in(database)) == (SCHEMA_VERSION, THEN + 1)
    newest = list_backups(folder)[0].manifest
    assert (newest.reason, newest.user_version, newest.rows) == ("migration", version, older.manifest.rows)
    assert prepare(database).state == "ok"
    give_back(point, older, database, "why")
    assert (version_of(database), runs_in(database), prepare(database).state) == (SCHEMA_VERSION, NOW, "ok")


def version_of(path: Path) -> int:
    with contextlib.closing(connect(path, mode="ro")) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def test_restore_when_there_is_no_database_then_the_backup_and_nothing_after_the_way_back(
    database: Path, backup: Backup
) -> None:
    database.unlink()
    point = begun(backup, database)
    assert point == RestorePoint()
    swap(backup, database)
    assert runs_in(database) == THEN
    give_back(point, backup, database, "why")
    assert not database.exists()


def test_replaced_databases_when_there_are_many_then_the_newest_few_stay(
    database: Path, backup: Backup
) -> None:
    for _ in range(REPLACED_KEPT + 2):
        database.write_bytes(b"")
        begun(backup, database)
    assert len(list(database.parent.glob("*.replaced-*"))) == REPLACED_KEPT


def test_restore_point_when_restored_itself_then_as_before(database: Path, backup: Backup) -> None:
    point = begun(backup, database)
    swap(backup, database)
    assert point.backup is not None
    verify_backup(point.backup)
    begun(point.backup, database)
    swap(point.backup, database)
    assert runs_in(database) == NOW
    assert len(list_backups(database.parent / "backups")) == 3
