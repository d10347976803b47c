"""Backups of the database: made, verified, listed, thinned out, put back.

Owns: the files `appliance-<UTC time>.sqlite` and `.json` (the manifest) of a folder, and the folder's lock.
Refuses to know: when a backup is due, who asks for one, and what else it is to cover (`Contents` says that).
Everything here blocks.

A copy is made with SQLite's own backup, checked, written through to the disk, and renamed at last, its
manifest before it: whatever stands under a final name is whole. What a kill leaves behind has another name,
and goes with the next backup. The lock is the kernel's and ends with its holder, so it can't get stale.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO

import appliance
from appliance.errors import ConfigurationError
from appliance.lifecycle import write_json
from appliance.store.check import check_file, connect, count_rows
from appliance.store.errors import (
    StorageError,
    StoreBusyError,
    StoreCorruptError,
    StoreFullError,
    storage_errors,
)
from appliance.store.manifests import (
    NOTHING_BESIDE,
    Contents,
    Manifest,
    beside,
    config_sha256,
    manifest_path_of,
    read_manifest,
)
from appliance.store.migrations import APPLICATION_ID, refuse_newer
from appliance.store.statements import STATEMENTS
from appliance.voice_folders import locked, sync

NAME = re.compile(r"appliance-(\d{8}T\d{6}\.\d{3}Z)\.sqlite")
PARTIAL_SUFFIX = ".partial"
BESIDE = re.compile(r"(appliance-\d{8}T\d{6}\.\d{3}Z)(\.json(?:\.\d+)?|\.sqlite\.partial[\w-]*)")
"""Names of all other files that a backup makes: the manifest, and both before they have their names."""
MARGIN = 1.1
"""Free space that a copy needs, in sizes of the database."""
READ_BYTES = 1 << 20
STEP_PAGES = 256
"""Pages that are copied at once: a megabyte."""
PAUSE_S = 0.002
"""Seconds between two steps, for everybody else who wants the disk."""
CHECK_INSTRUCTIONS = 100_000
"""Of SQLite's machine, between two looks whether a check is to stop."""
SPARED = ("migration", "restore")
SPARED_COUNT = 2
"""So many of the newest that were made before a migration or a restore stay, whatever else is pruned."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that has both of its files; whether they are whole is for `verify_backup` to say."""

    path: Path
    manifest: Manifest


def create_backup(
    database: Path,
    folder: Path,
    reason: str = "manual",
    contents: Contents = NOTHING_BESIDE,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Backup:
    """Copy a database that may be in use; blocks until the copy is on the disk.

    It is copied in steps with pauses between them, from one state: who writes meanwhile isn't held up.

    Args:
        database: The database's file.
        folder: Where backups lie; it is made if it isn't there.
        reason: Stands in the manifest.
        contents: Likewise.
        is_stopped: Is asked at each step whether to leave it.

    Raises:
        StoreBusyError: Another backup is being made, or this one was stopped.
        StoreFullError: There is no room for it.
        StoreCorruptError: The database is damaged, perhaps in its indexes only, which the start doesn't see.
        StorageError: It can't be made.
    """
    with storage_errors(folder), _owned(folder):
        _sweep(folder)
        _check_room(database, folder)
        now = datetime.now(UTC)
        final = folder / f"appliance-{time_stamp(now)}.sqlite"
        partial = final.with_name(final.name + PARTIAL_SUFFIX)
        try:
            _copy(database, partial, is_stopped)
            found = _described(partial, database.name, now, reason, is_stopped)
            manifest = replace(found, file=final.name, **beside(contents))
            _refuse_stopped(is_stopped)
            _publish(partial, final, manifest)
        finally:
            partial.unlink(missing_ok=True)
    return Backup(final, manifest)


def list_backups(folder: Path) -> list[Backup]:
    """Return the backups of a folder, newest first; none where there is no folder.

    Raises:
        StorageError: The folder can't be read.
    """
    with storage_errors(folder):
        if not folder.exists():
            return []
        names = sorted((path.name for path in folder.iterdir() if NAME.fullmatch(path.name)), reverse=True)
    found = ((folder / name, read_manifest(folder / name)) for name in names)
    return [Backup(path, manifest) for path, manifest in found if manifest is not None]


def verify_backup(backup: Backup) -> None:
    """Read all of a backup and compare it with its manifest.

    Raises:
        ConfigurationError: A later version of the appliance has made it.
        StoreCorruptError: What is wrong with it.
        StorageError: It can't be read, and which it is.
    """
    path, manifest = backup.path, backup.manifest
    with storage_errors(path.parent, path.name):
        if path.stat().st_size != manifest.bytes or _sha256(path) != manifest.sha256:
            raise StoreCorruptError(f"{path.name}: it isn't the file that its manifest was written for")
        if config_sha256(manifest.config) != manifest.config_sha256:
            raise StoreCorruptError(f"{path.name}: its copy of the configuration is damaged")
        check_file(path)
        with contextlib.closing(connect(path, mode="immutable")) as copy:
            found = _checked(copy, path.name)
    if found != (manifest.application_id, manifest.user_version, manifest.rows):
        raise StoreCorruptError(f"{path.name}: it doesn't hold what its manifest says")


def newest_whole(folder: Path) -> Backup | None:
    """Return the newest backup that is whole and of no later version; None where each is damaged.

    Raises:
        StorageError: None is whole, but one can't be read now, and may be.
    """
    unread: StorageError | None = None
    for backup in list_backups(folder):
        try:
            verify_backup(backup)
        except (ConfigurationError, StoreCorruptError):
            continue
        except StorageError as error:
            unread = unread or error
            continue
        return backup
    if unread is not None:
        raise unread
    return None


def put_back(backup: Backup, database: Path) -> None:
    """Put a verified backup in a database's place in one step.

    Raises:
        StorageError: It can't be written, and what was there is as before.
    """
    partial = database.with_name(database.name + PARTIAL_SUFFIX)
    with storage_errors(database.parent):
        try:
            with backup.path.open("rb") as source, _private(partial) as target:
                while part := source.read(READ_BYTES):
                    target.write(part)
            put_in_place(partial, database)
        finally:
            partial.unlink(missing_ok=True)


def put_in_place(made: Path, final: Path) -> None:
    """Write a file through to the disk and give it its final name.

    Raises:
        OSError: It can't be written.
    """
    sync(made)
    made.replace(final)
    sync(final.parent)


def prune(folder: Path, daily: int, weekly: int) -> list[str]:
    """Delete old backups; return the names of what is gone.

    Of each of the last days and weeks that have any the newest stays, whoever made it, and the newest
    `SPARED_COUNT` that were made before a migration or a restore. Days and weeks are local ones.

    Args:
        folder: Where backups lie.
        daily: How many days, at least 1.
        weekly: How many weeks, from Monday on.

    Raises:
        StoreBusyError: A backup is being made.
        StorageError: One can't be deleted.
    """
    found = list_backups(folder)
    kept = [each for each in found if each.manifest.reason in SPARED][:SPARED_COUNT]
    kept += _last_of(found, lambda day: day, max(1, daily))
    kept += _last_of(found, lambda day: day.isocalendar()[:2], weekly)
    old = [each for each in found if each not in kept]
    if old:
        with storage_errors(folder), _owned(folder):
            for backup in old:
                # The copy first: a manifest without one is nothing.
                backup.path.unlink(missing_ok=True)
                manifest_path_of(backup.path).unlink(missing_ok=True)
    return [backup.path.name for backup in old]


def _last_of(found: list[Backup], span_of: Callable[[date], object], count: int) -> list[Backup]:
    """Return the newest backup of each of the last spans of time that have any; the newest come first."""
    last: dict[object, Backup] = {}
    for backup in found:
        made = datetime.fromisoformat(backup.manifest.created_at)
        last.setdefault(span_of(made.astimezone().date()), backup)
    return list(last.values())[:count]


def time_stamp(now: datetime) -> str:
    """Return a UTC time as it stands in the names of files: the later one sorts behind the earlier."""
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z"


@contextlib.contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Hold a folder that has to be there or can be made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder) as is_ours:
        if not is_ours:
            raise StoreBusyError("Another backup is being made")
        yield


def _sweep(folder: Path) -> None:
    """Remove what a killed backup has left: parts, and a manifest whose copy never came."""
    for path in folder.iterdir():
        found = BESIDE.fullmatch(path.name)
        if found is not None and (found[2] != ".json" or not (folder / f"{found[1]}.sqlite").exists()):
            path.unlink(missing_ok=True)


def _check_room(database: Path, folder: Path) -> None:
    files = (database, database.with_name(f"{database.name}-wal"))
    if not has_room(folder, sum(path.stat().st_size for path in files if path.exists())):
        raise StoreFullError("There is no room for a backup")


def has_room(folder: Path, copied_bytes: int) -> bool:
    """Tell whether a folder's disk takes copies of so many bytes, and `MARGIN` for what goes with them.

    Raises:
        OSError: The disk can't be asked.
    """
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize >= MARGIN * copied_bytes


def _copy(database: Path, target: Path, is_stopped: Callable[[], bool]) -> None:
    """Copy a database in one read transaction, which holds up no writer and sees none."""

    def rest(_status: int, _remaining: int, _total: int) -> None:
        _refuse_stopped(is_stopped)
        time.sleep(PAUSE_S)

    with _private(target):
        pass
    with (
        contextlib.closing(connect(database, mode="ro")) as source,
        contextlib.closing(connect(target)) as copy,
    ):
        source.execute(STATEMENTS["begin_reading"])
        source.execute(STATEMENTS["read_schema_version"]).fetchall()
        source.backup(copy, pages=STEP_PAGES, progress=rest)


def _refuse_stopped(is_stopped: Callable[[], bool]) -> None:
    if is_stopped():
        raise StoreBusyError("The backup was left, as the appliance stops")


def _described(
    partial: Path, name: str, now: datetime, reason: str, is_stopped: Callable[[], bool]
) -> Manifest:
    """Check a copy of what is called `name`; return its manifest, without what it covers beside that."""
    with contextlib.closing(connect(partial, mode="immutable")) as copy:
        copy.set_progress_handler(is_stopped, CHECK_INSTRUCTIONS)
        try:
            application_id, user_version, rows = _checked(copy, name)
        except sqlite3.OperationalError:
            _refuse_stopped(is_stopped)
            raise
    return Manifest(
        file=name,
        created_at=now.isoformat(timespec="milliseconds"),
        reason=reason,
        sha256=_sha256(partial),
        bytes=partial.stat().st_size,
        user_version=user_version,
        application_id=application_id,
        rows=rows,
        sqlite=sqlite3.sqlite_version,
        appliance=appliance.__version__,
        config={},
        config_sha256="",
        voices={},
    )


def _checked(copy: sqlite3.Connection, name: str) -> tuple[int, int, dict[str, int]]:
    """Check all of a copy; return its application id, schema and number of rows by table."""
    (application_id,) = copy.execute(STATEMENTS["read_application_id"]).fetchone()
    (user_version,) = copy.execute(STATEMENTS["read_schema_version"]).fetchone()
    if application_id != APPLICATION_ID:
        raise StoreCorruptError(f"{name}: it is another program's database")
    refuse_newer(user_version, name)
    (found,) = copy.execute(STATEMENTS["check_wholly"]).fetchone()
    if found != "ok" or copy.execute(STATEMENTS["check_references"]).fetchone() is not None:
        raise StoreCorruptError(f"{name}: its pages, indexes or references are damaged")
    return application_id, user_version, count_rows(copy)


def _publish(partial: Path, final: Path, manifest: Manifest) -> None:
    manifest_path = manifest_path_of(final)
    write_json(manifest_path, asdict(manifest))
    sync(manifest_path)
    put_in_place(partial, final)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _private(path: Path) -> BinaryIO:
    """Make an empty file that only its owner can read, and open it for writing."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")
