"""What happens to the database's file before anybody works with it.

Owns: the order of the start: lock, check, broken files moved aside, the newest backup put back, migration.
Refuses to know: asyncio (`database`), and who is told. Everything here blocks.

    no file, none expected ─────────────────────────────────────────────▶ made new            ok
    whole ──────────────────────────────▶ (backup, migration) ──────────▶ opened              ok
    broken, or gone ─▶ moved aside as …corrupt-<UTC time> ─▶ a whole backup is put back       restored
                                                          └▶ there is none: made new          lost

That a broken one is moved aside is noted beside the file before, and then what takes its place, until
somebody has said it: whatever is killed or fails meanwhile, the next opening returns `restored` or `lost`
again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path

from appliance.errors import ConfigurationError
from appliance.lifecycle import read_json, write_json
from appliance.store.backups import (
    PARTIAL_SUFFIX,
    create_backup,
    list_backups,
    newest_whole,
    put_back,
    put_in_place,
    time_stamp,
    verify_backup,
)
from appliance.store.check import (
    check_database,
    check_file,
    check_floor,
    connect,
    count_rows,
    forget_floor,
    note_floor,
)
from appliance.store.errors import (
    StorageError,
    StoreBusyError,
    StoreCorruptError,
    storage_error,
    storage_errors,
)
from appliance.store.migrations import SCHEMA_VERSION, migrate
from appliance.store.statements import STATEMENTS
from appliance.store_settings import BACKUPS_NAME
from appliance.voice_folders import sync

LOCK_SUFFIX = ".lock"
REPLACED_SUFFIX = ".replaced.json"
CORRUPT_SUFFIX = ".corrupt-"
FILE_SUFFIXES = ("", "-wal", "-shm")
"""Of the files that make up a database in WAL mode."""
CORRUPT_KEPT = 3
"""Broken databases that are kept for whoever wants to look into them."""
MIGRATION = "migration"
REPLACING = "replacing"
"""Noted before a broken database is moved aside: nothing has its place yet."""
REPLACED_STATES = ("restored", "lost")


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of the file."""

    state: str
    """`ok`, `restored` (from a backup) or `lost` (nothing could be put back); `REPLACING` in a note only."""
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


def prepare(database: Path, *, is_suspect: bool = False) -> Opened:
    """See that there is a whole database of the newest schema; the caller holds its `StoreLock`.

    Args:
        database: Its file.
        is_suspect: Whether somebody has met damage in it: its indexes are checked, too, which takes longer.

    Returns:
        What became of it, `restored` and `lost` anew with each call until `forget_replaced`.

    Raises:
        ConfigurationError: A later version of the appliance has made it.
        StorageError: The disk is full or can't be written to, or a backup can't be read; to be tried again.
    """
    backups = database.parent / BACKUPS_NAME
    with storage_errors(database.parent):
        try:
            with storage_errors(database.parent):
                if _is_there(database, is_suspect=is_suspect):
                    _migrate(database, backups)
                else:
                    _make_new(database)
        except StoreCorruptError as error:
            _replace(database, backups, error.message)
    return _read_replaced(database) or Opened("ok")


def forget_replaced(database: Path) -> None:
    """Forget what `prepare` has put in a broken one's place: it has been said, or another takes its place.

    Raises:
        OSError: It can't be removed.
    """
    _replaced_path(database).unlink(missing_ok=True)


def _read_replaced(database: Path) -> Opened | None:
    found = read_json(_replaced_path(database))
    if found.get("state") not in (REPLACING, *REPLACED_STATES):
        return None
    return Opened(**{each.name: str(found.get(each.name, "")) for each in fields(Opened)})


def _note_replaced(database: Path, opened: Opened) -> None:
    path = _replaced_path(database)
    write_json(path, asdict(opened))
    sync(path)
    sync(path.parent)


def _replaced_path(database: Path) -> Path:
    return database.with_name(database.name + REPLACED_SUFFIX)


def _is_there(database: Path, *, is_suspect: bool) -> bool:
    """Check a database; return False where there is none and never was one.

    Raises:
        StoreCorruptError: It isn't whole, or is gone.
    """
    before = _read_replaced(database)
    if not database.exists():
        if before:  # nothing could be put in its place yet
            raise StoreCorruptError(before.reason)
        check_floor(database, {})
        return False
    is_left = before is not None and before.state == REPLACING
    check_file(database)
    with contextlib.closing(connect(database)) as connection:
        check_database(connection)
        if is_suspect or is_left:
            (found,) = connection.execute(STATEMENTS["check_wholly"]).fetchone()
            if found != "ok":
                raise StoreCorruptError(f"it is damaged: {found[:200]}")
        rows = count_rows(connection)
    check_floor(database, rows)
    if is_left:  # it was taken for broken, and hasn't been moved aside
        forget_replaced(database)
    return True


def _replace(database: Path, backups: Path, reason: str) -> None:
    """Move what is broken aside and put the newest whole backup, or an empty database, in its place."""
    backup = newest_whole(backups)
    before = _read_replaced(database)
    moved_to = _move_aside(database, reason) or (before.moved_to if before else "")
    if backup is None:
        _note_replaced(database, Opened("lost", reason, moved_to))
        _make_new(database)
    else:
        _note_replaced(database, Opened("restored", reason, moved_to, backup.path.name))
        put_back(backup, database)
    # Only now: until something is in place, the floor says that a missing database is no new one.
    forget_floor(database)
    _migrate(database, backups)


def _move_aside(database: Path, reason: str) -> str:
    """Rename a database's files to `…corrupt-<UTC time>`; return the new name, or nothing if none was there.

    That is noted before: without it a killed start would leave no database, which looks like the first start.
    Only the newest few of such databases stay.

    Raises:
        OSError: It can't be noted, and nothing has moved; or a file can't be renamed.
    """
    if not any(os.path.lexists(database.with_name(database.name + suffix)) for suffix in FILE_SUFFIXES):
        return ""
    base = f"{database.name}{CORRUPT_SUFFIX}"
    new_name = f"{base}{time_stamp(datetime.now(UTC))}"
    _note_replaced(database, Opened(REPLACING, reason, new_name))
    # The log goes first: without its database it is nothing, but beside a new one it would be taken for its.
    for suffix in reversed(FILE_SUFFIXES):
        with contextlib.suppress(FileNotFoundError):
            database.with_name(database.name + suffix).rename(database.with_name(new_name + suffix))
    kept = {path.name.partition("Z")[0] for path in database.parent.glob(f"{base}*")}
    for old_name in sorted(kept)[:-CORRUPT_KEPT]:
        for path in database.parent.glob(f"{old_name}Z*"):
            path.unlink(missing_ok=True)
    return new_name


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
    """Bring a whole database to the newest schema, after a backup if that changes anything.

    Raises:
        StoreCorruptError: It is damaged where `check_database` doesn't look.
    """
    with contextlib.closing(connect(database)) as connection:
        (version,) = connection.execute(STATEMENTS["read_schema_version"]).fetchone()
        if version < SCHEMA_VERSION:
            if not _is_kept(connection, version, backups):
                create_backup(database, backups, MIGRATION)
            migrate(connection)
            # So that the file itself says its schema, for those who look at its first bytes only.
            connection.execute(STATEMENTS["write_log_into_database"]).fetchall()
        note_floor(database, count_rows(connection))


def _is_kept(connection: sqlite3.Connection, version: int, backups: Path) -> bool:
    """Tell whether a whole backup of a database's present rows was made before a migration that has failed.

    A migration that fails is tried again each second: with a backup for each the disk would fill up.
    """
    rows = count_rows(connection)
    for backup in list_backups(backups):
        manifest = backup.manifest
        if (manifest.reason, manifest.user_version, manifest.rows) == (MIGRATION, version, rows):
            try:
                verify_backup(backup)
            except (ConfigurationError, StorageError):
                continue
            with contextlib.closing(connect(backup.path, mode="immutable")) as copy:
                if all(_has_same_rows(connection, copy, name) for name in rows):
                    return True
    return False


def _has_same_rows(one: sqlite3.Connection, other: sqlite3.Connection, table: str) -> bool:
    """Compare the rows of a table, one by one in its own order."""
    # A name of ours, from the schema, and quoted.
    rows, others = (each.execute(f'SELECT * FROM "{table}"') for each in (one, other))  # noqa: S608
    return all(row == same for row, same in zip_longest(rows, others))
