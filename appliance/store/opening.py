"""What happens to the database's file before anybody works with it.

Owns: the order of the start: lock, check, broken files moved aside, the newest backup put back, migration.
Refuses to know: asyncio (`database`), and who is told. Everything here blocks.

    no file, none expected ─────────────────────────────────────────────▶ made new            ok
    whole ──────────────────────────────▶ (backup, migration) ──────────▶ opened              ok
    broken, or gone ─▶ moved aside as …corrupt-<UTC time> ─▶ a whole backup is put back       restored
                                                          └▶ there is none: made new          lost
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.store.backups import PARTIAL_SUFFIX, create_backup, put_in_place, restore_newest, time_stamp
from appliance.store.check import (
    check_database,
    check_file,
    check_floor,
    connect,
    count_rows,
    forget_floor,
    note_floor,
)
from appliance.store.errors import StoreBusyError, StoreCorruptError, storage_error
from appliance.store.migrations import SCHEMA_VERSION, migrate
from appliance.store.statements import STATEMENTS
from appliance.store_settings import BACKUPS_NAME

LOCK_SUFFIX = ".lock"
FILE_SUFFIXES = ("", "-wal", "-shm")
"""Of the files that make up a database in WAL mode."""
CORRUPT_KEPT = 3
"""Broken databases that are kept for whoever wants to look into them."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of the file."""

    state: str
    """`ok`, `restored` (from a backup) or `lost` (nothing could be put back)."""
    reason: str = ""
    """What was wrong with the one before."""
    moved_to: str = ""
    """Where that lies now."""
    backup: str = ""
    """The backup that took its place."""


class StoreLock:
    """The right to write to a database: held by one process at a time, ended with it by the kernel."""

    def __init__(self, database: Path) -> None:
        """Take it.

        Raises:
            StoreBusyError: Another process has it.
            StorageError: The lock's file can't be opened.
        """
        path = database.with_name(database.name + LOCK_SUFFIX)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise storage_error(error, path.parent) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise StoreBusyError("Another process works with the database") from None

    def release(self) -> None:
        """Let the next one have it."""
        os.close(self._descriptor)


def prepare(database: Path) -> Opened:
    """See that there is a whole database of the newest schema; the caller holds its `StoreLock`.

    Raises:
        ConfigurationError: A later version of the appliance has made it.
        StorageError: The disk is full or can't be written to; nothing was moved.
    """
    backups = database.parent / BACKUPS_NAME
    try:
        try:
            rows = _checked(database)
        except StoreCorruptError as error:
            return _replaced(database, backups, error.message)
        if rows is None:
            _make_new(database)
        else:
            _migrate(database, backups)
    except (sqlite3.Error, OSError) as error:
        raise storage_error(error, database.parent) from error
    return Opened("ok")


def _checked(database: Path) -> dict[str, int] | None:
    """Return the number of rows by table, or None where there is no database and never was one.

    Raises:
        StoreCorruptError: It isn't whole, or is gone.
    """
    if not database.exists():
        check_floor(database, {})
        return None
    check_file(database)
    try:
        with contextlib.closing(connect(database)) as connection:
            check_database(connection)
            rows = count_rows(connection)
    except sqlite3.DatabaseError as error:
        ours = storage_error(error, database.parent)
        if isinstance(ours, StoreCorruptError):
            raise ours from error
        raise
    check_floor(database, rows)
    return rows


def _replaced(database: Path, backups: Path, reason: str) -> Opened:
    """Move what is broken aside and put the newest whole backup, or an empty database, in its place."""
    moved_to = move_aside(database)
    backup = restore_newest(backups, database)
    if backup is None:
        _make_new(database)
    # Only now: until something is in place, the floor says that a missing database is no new one.
    forget_floor(database)
    if backup is None:
        return Opened("lost", reason, moved_to)
    _migrate(database, backups)
    return Opened("restored", reason, moved_to, backup.path.name)


def move_aside(database: Path) -> str:
    """Rename a database's files to `…corrupt-<UTC time>`; return the new name, or nothing if none was there.

    Only the newest few of such databases stay.

    Raises:
        OSError: One can't be renamed.
    """
    base = f"{database.name}.corrupt-"
    new_name = f"{base}{time_stamp(datetime.now(UTC))}"
    # The log goes first: without its database it is nothing, but beside a new one it would be taken for its.
    moved = [suffix for suffix in reversed(FILE_SUFFIXES) if _rename(database, suffix, new_name)]
    kept = {path.name.partition("Z")[0] for path in database.parent.glob(f"{base}*")}
    for old_name in sorted(kept)[:-CORRUPT_KEPT]:
        for path in database.parent.glob(f"{old_name}Z*"):
            path.unlink(missing_ok=True)
    return new_name if moved else ""


def _rename(database: Path, suffix: str, new_name: str) -> bool:
    try:
        database.with_name(database.name + suffix).rename(database.with_name(new_name + suffix))
    except FileNotFoundError:
        return False
    return True


def _make_new(database: Path) -> None:
    """Make an empty database under another name first, so that a kill never leaves half of one."""
    partial = database.with_name(database.name + PARTIAL_SUFFIX)
    for suffix in FILE_SUFFIXES:
        partial.with_name(partial.name + suffix).unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with contextlib.closing(connect(partial)) as connection:
        migrate(connection)
    for suffix in FILE_SUFFIXES[1:]:  # of a database that somebody has deleted
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    put_in_place(partial, database)


def _migrate(database: Path, backups: Path) -> None:
    """Bring a whole database to the newest schema, after a backup if that changes anything."""
    with contextlib.closing(connect(database)) as connection:
        (version,) = connection.execute(STATEMENTS["read_schema_version"]).fetchone()
        if version < SCHEMA_VERSION:
            create_backup(database, backups, "migration")
            migrate(connection)
            # So that the file itself says its schema, for those who look at its first bytes only.
            connection.execute(STATEMENTS["write_log_into_database"]).fetchall()
        note_floor(database, count_rows(connection))
