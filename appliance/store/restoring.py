"""A backup put in the place of a database by an operator, and the way back.

Owns: the restore point, the swap in one rename, what is left of a restore for the next gateway to say.
Refuses to know: how the gateway is stopped and started. The caller holds the `StoreLock`; everything blocks.

    begin: log written into the file ─▶ restore point ─▶ swap: one rename ─▶ rows compared ─▶ migrated
                                                                  any error, also the gateway's ─▶ give_back

Until the rename the old database is there, whole; from then on the new one. A broken one is linked to another
name before, and a log that belongs to it goes there, too, so that it never lies beside another database.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.errors import ConfigurationError
from appliance.lifecycle import read_json, write_json
from appliance.store.backups import Backup, create_backup, put_back, put_in_place, time_stamp
from appliance.store.check import check_database, check_file, connect, count_rows, forget_floor
from appliance.store.errors import StoreCorruptError, storage_error
from appliance.store.manifests import Contents
from appliance.store.opening import FILE_SUFFIXES, prepare
from appliance.store.statements import STATEMENTS

NOTE_SUFFIX = ".restore.json"
REPLACED_SUFFIX = ".replaced-"
REPLACED_KEPT = 3
"""Databases without a restore point that are kept beside."""


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """What was there; nothing of both where there was no database."""

    backup: Backup | None = None
    """A backup of it, where it was whole and of a schema that this version knows."""
    replaced: str = ""
    """Else its new name."""


def begin(database: Path, folder: Path, contents: Contents) -> RestorePoint:
    """Keep what is there so that it can come back; it stays in its place.

    Args:
        database: Nobody has it open.
        folder: Of the backups.
        contents: As of any backup.

    Raises:
        StorageError: It can't be kept, for example because there is no room.
    """
    try:
        if _is_whole(database):
            return RestorePoint(backup=create_backup(database, folder, "restore", contents))
        return RestorePoint(replaced=_set_aside(database))
    except (OSError, sqlite3.Error) as error:
        raise storage_error(error, database.parent) from error


def swap(backup: Backup, database: Path) -> dict[str, int]:
    """Put a verified backup in the database's place and bring it to the newest schema; return its rows.

    Raises:
        StorageError: It can't be written, or isn't what the manifest says; `give_back` is due.
    """
    try:
        write_note(database, "begun", backup)
        forget_floor(database)
        put_back(backup, database)
        with contextlib.closing(connect(database, mode="immutable")) as connection:
            rows = count_rows(connection)
        if rows != backup.manifest.rows:
            raise StoreCorruptError(f"{backup.path.name}: its rows aren't those of its manifest")
        opened = prepare(database)
        if opened.state != "ok":
            raise StoreCorruptError(opened.reason)
        write_note(database, "swapped", backup)
    except (OSError, sqlite3.Error) as error:
        raise storage_error(error, database.parent) from error
    return rows


def give_back(point: RestorePoint, backup: Backup, database: Path, reason: str) -> None:
    """Put what was there before in its place again.

    Args:
        point: As `begin` returned it.
        backup: What was to take its place.
        database: Nobody has it open.
        reason: For the log.

    Raises:
        StorageError: It can't be written; the restore point is still there.
    """
    try:
        forget_floor(database)
        _write_log(database)
        _remove_log(database)
        if point.backup is not None:
            put_back(point.backup, database)
        elif point.replaced:
            _bring_back(point.replaced, database)
        else:
            database.unlink(missing_ok=True)
        write_note(database, "returned", backup, reason)
    except (OSError, sqlite3.Error) as error:
        raise storage_error(error, database.parent) from error


def write_note(database: Path, state: str, backup: Backup, reason: str = "") -> None:
    """Leave a note for the gateway that opens the database next.

    Args:
        database: Its file.
        state: `begun`, `swapped` or `returned`.
        backup: What is put back.
        reason: Why it returned.

    Raises:
        OSError: It can't be written.
    """
    write_json(_note_path(database), {"state": state, "backup": backup.path.name, "reason": reason})


def take_note(database: Path) -> dict[str, Any]:
    """Return what a restore has left to say, once; nothing where there was none.

    Raises:
        OSError: It can't be removed.
    """
    path = _note_path(database)
    note = read_json(path)
    path.unlink(missing_ok=True)
    return note


def _note_path(database: Path) -> Path:
    return database.with_name(database.name + NOTE_SUFFIX)


def _is_whole(database: Path) -> bool:
    """Tell whether a backup can be made of it, after its log was written into its file."""
    if not database.exists():
        return False
    _write_log(database)
    try:
        check_file(database)
        with contextlib.closing(connect(database)) as connection:
            check_database(connection)
    except (StoreCorruptError, ConfigurationError, sqlite3.DatabaseError):
        return False
    return not any(_beside(database, suffix).exists() for suffix in FILE_SUFFIXES[1:])


def _write_log(database: Path) -> None:
    """Have everything in the database's own file, as far as it can be read; the log is gone then."""
    if database.exists():
        with contextlib.suppress(sqlite3.Error), contextlib.closing(connect(database)) as connection:
            connection.execute(STATEMENTS["write_log_into_database"]).fetchall()


def _set_aside(database: Path) -> str:
    """Give what is there a second name, and its log only that; return the name, or nothing."""
    base = f"{database.name}{REPLACED_SUFFIX}"
    name = ""
    while not name or database.with_name(name).exists():  # two within a millisecond
        name = f"{base}{time_stamp(datetime.now(UTC))}"
    if database.exists():
        os.link(database, database.with_name(name))
    for suffix in FILE_SUFFIXES[1:]:
        with contextlib.suppress(FileNotFoundError):
            _beside(database, suffix).rename(database.with_name(name + suffix))
    kept = sorted({path.name.partition("Z")[0] for path in database.parent.glob(f"{base}*")})
    for old in kept[:-REPLACED_KEPT]:
        for path in database.parent.glob(f"{old}Z*"):
            path.unlink(missing_ok=True)
    return name if database.with_name(name).exists() else ""


def _bring_back(name: str, database: Path) -> None:
    for suffix in FILE_SUFFIXES[1:]:
        with contextlib.suppress(FileNotFoundError):
            database.with_name(name + suffix).rename(_beside(database, suffix))
    put_in_place(database.with_name(name), database)


def _remove_log(database: Path) -> None:
    for suffix in FILE_SUFFIXES[1:]:
        _beside(database, suffix).unlink(missing_ok=True)


def _beside(database: Path, suffix: str) -> Path:
    return database.with_name(database.name + suffix)
