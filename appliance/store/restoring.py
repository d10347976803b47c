"""A backup put in the place of a database by an operator, and the way back.

Owns: the restore point, the swap in one rename, what is left of a restore for the next gateway to say.
Refuses to know: how the gateway is stopped and started. The caller holds the `StoreLock`; everything blocks.

    begin: log written into the file ─▶ restore point ─▶ swap: one rename ─▶ rows compared ─▶ migrated
                                                                  any error, also the gateway's ─▶ give_back

Until the rename the old database is there, whole; from then on the new one. A broken one is linked to another
name before, and a log that belongs to it goes there, too, so that it never lies beside another database.
Nothing is begun without room for the way back.
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
from appliance.store.backups import Backup, create_backup, has_room, put_back, put_in_place, time_stamp
from appliance.store.check import check_database, check_file, connect, count_rows, forget_floor
from appliance.store.errors import StoreCorruptError, StoreFullError, storage_errors
from appliance.store.manifests import Contents
from appliance.store.migrations import SCHEMA_VERSION
from appliance.store.opening import CORRUPT_SUFFIX, FILE_SUFFIXES, forget_replaced, prepare
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
    file_id: tuple[int, ...] = ()
    """With a backup: what tells the file that was there from any other that has taken its place since."""


def begin(backup: Backup, database: Path, contents: Contents) -> RestorePoint:
    """Keep what is there so that it can come back; it stays in its place.

    Args:
        backup: What is to take its place; the restore point lies beside it.
        database: Nobody has it open.
        contents: As of any backup.

    Raises:
        StoreFullError: There is no room for the restore point and all that follows.
        StorageError: It can't be kept.
    """
    with storage_errors(database.parent):
        is_whole = _is_whole(database)
        _check_room(backup, database, is_copied=is_whole)
        if is_whole:
            with contextlib.suppress(StoreCorruptError):  # damage that only a copy's check sees
                point = create_backup(database, backup.path.parent, "restore", contents)
                return RestorePoint(backup=point, file_id=_file_id(database))
        return RestorePoint(replaced=_set_aside(database))


def swap(backup: Backup, database: Path) -> dict[str, int]:
    """Put a verified backup in the database's place and bring it to the newest schema; return its rows.

    Raises:
        StorageError: It can't be written, or isn't what the manifest says; `give_back` is due.
    """
    with storage_errors(database.parent):
        write_note(database, "begun", backup)
        _forget_notes(database)
        put_back(backup, database)
        with contextlib.closing(connect(database, mode="immutable")) as connection:
            rows = count_rows(connection)
        if rows != backup.manifest.rows:
            raise StoreCorruptError(f"{backup.path.name}: its rows aren't those of its manifest")
        opened = prepare(database)
        if opened.state != "ok":
            raise StoreCorruptError(opened.reason)
        write_note(database, "swapped", backup)
    return rows


def give_back(point: RestorePoint, backup: Backup, database: Path, reason: str) -> None:
    """Put what was there before in its place again; where it still is, that takes no room.

    Args:
        point: As `begin` returned it.
        backup: What was to take its place.
        database: Nobody has it open.
        reason: For the log.

    Raises:
        StorageError: It can't be written; the restore point is still there.
    """
    with storage_errors(database.parent):
        is_there = bool(point.file_id) and point.file_id == _file_id(database)
        _forget_notes(database)
        _write_log(database)
        _remove_log(database)
        if point.backup is not None:
            if not is_there:
                put_back(point.backup, database)
        elif point.replaced:
            _bring_back(point.replaced, database)
        else:
            database.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it is for the log only, and everything is as it was without it
            write_note(database, "returned", backup, reason)


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


def find_aside(database: Path) -> str:
    """Return the name of a file of a database that was moved aside; nothing where there is none.

    As long as one lies there, rows that only it has may be wanted back. Blocks.

    Raises:
        OSError: The folder can't be read.
    """
    aside = tuple(f"{database.name}{suffix}" for suffix in (CORRUPT_SUFFIX, REPLACED_SUFFIX))
    return max((path.name for path in database.parent.iterdir() if path.name.startswith(aside)), default="")


def _note_path(database: Path) -> Path:
    return database.with_name(database.name + NOTE_SUFFIX)


def _forget_notes(database: Path) -> None:
    """Forget what was noted of the database that is there: another one takes its place."""
    forget_floor(database)
    forget_replaced(database)


def _check_room(backup: Backup, database: Path, *, is_copied: bool) -> None:
    """Refuse a restore that a full disk would stop half-way.

    Args:
        backup: Takes the database's place; one of an older schema is backed up again before it is migrated.
        database: Its way back needs what the restore point takes, once the database itself is gone.
        is_copied: Whether it becomes a restore point.
    """
    copied_bytes = backup.manifest.bytes * (2 if backup.manifest.user_version < SCHEMA_VERSION else 1)
    if is_copied and database.stat().st_dev == backup.path.stat().st_dev:
        copied_bytes += database.stat().st_size
    if not has_room(database.parent, copied_bytes):
        raise StoreFullError("There is no room for this backup beside what is there, which is to be kept")


def _file_id(database: Path) -> tuple[int, ...]:
    """Return what tells a database's file from any other; nothing where there is none."""
    with contextlib.suppress(FileNotFoundError):
        status = database.stat()
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
    return ()


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
        with (
            contextlib.suppress(sqlite3.Error, UnicodeDecodeError),
            contextlib.closing(connect(database)) as connection,
        ):
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
