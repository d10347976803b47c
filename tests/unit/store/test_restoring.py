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


def begun(database: Path) -> RestorePoint:
    return begin(database, database.parent / "backups", Contents())


def test_restore_when_done_then_the_backups_rows_and_a_restore_point_with_the_others(
    database: Path, backup: Backup
) -> None:
    point = begun(database)
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
    point = begun(database)
    swap(backup, database)
    assert point.backup is not None
    assert point.backup.manifest.rows["runs"] == NOW + 1
    assert runs_in(database) == THEN


def test_restore_when_given_back_then_everything_is_as_before(database: Path, backup: Backup) -> None:
    point = begun(database)
    swap(backup, database)
    add_runs(database, 3)
    give_back(point, backup, database, "why")
    assert runs_in(database) == NOW
    assert prepare(database).state == "ok"
    assert take_note(database) == {"state": "returned", "backup": backup.path.name, "reason": "why"}


def test_restore_when_the_backup_isnt_what_its_manifest_says_then_it_comes_back(
    database: Path, backup: Backup
) -> None:
    point = begun(database)
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
}


@pytest.mark.parametrize("how", BREAKS)
def test_restore_when_the_database_is_broken_then_it_is_kept_and_comes_back_as_it_was(
    database: Path, backup: Backup, how: str
) -> None:
    BREAKS[how](database)
    broken = database.read_bytes()
    point = begun(database)
    assert point.backup is None
    assert database.with_name(point.replaced).read_bytes() == broken
    swap(backup, database)
    assert runs_in(database) == THEN
    give_back(point, backup, database, "why")
    assert database.read_bytes() == broken


def test_restore_when_the_database_is_a_later_versions_then_it_is_kept_and_comes_back(
    database: Path, backup: Backup
) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    point = begun(database)
    assert point.replaced
    swap(backup, database)
    assert runs_in(database) == THEN
    give_back(point, backup, database, "why")
    assert runs_in(database) == NOW


def test_restore_when_there_is_no_database_then_the_backup_and_nothing_after_the_way_back(
    database: Path, backup: Backup
) -> None:
    database.unlink()
    point = begun(database)
    assert point == RestorePoint()
    swap(backup, database)
    assert runs_in(database) == THEN
    give_back(point, backup, database, "why")
    assert not database.exists()


def test_replaced_databases_when_there_are_many_then_the_newest_few_stay(database: Path) -> None:
    for _ in range(REPLACED_KEPT + 2):
        database.write_bytes(b"")
        begun(database)
    assert len(list(database.parent.glob("*.replaced-*"))) == REPLACED_KEPT


def test_restore_point_when_restored_itself_then_as_before(database: Path, backup: Backup) -> None:
    point = begun(database)
    swap(backup, database)
    assert point.backup is not None
    verify_backup(point.backup)
    begun(database)
    swap(point.backup, database)
    assert runs_in(database) == NOW
    assert len(list_backups(database.parent / "backups")) == 3
