"""The errors of the store, as `appliance.errors` describes them.

Owns: the classes, and which of them an error of SQLite or of the disk is.
Refuses to know: what is done about one.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from appliance.errors import ApplianceError

PRIMARY_CODE = 0xFF
"""The lower byte of SQLite's extended result codes. Source: sqlite.org/rescode.html."""


PROBE_NAME = ".probe"
PROBE_BYTES = 4096


class StorageError(ApplianceError):
    """The database couldn't be used."""

    status = 503
    retryable = True
    state: ClassVar[str] = "failed"
    """What `/health` calls a database with this error."""


class StoreBusyError(StorageError):
    """Another process holds the database; try again."""

    code = "storage_busy"
    state = "busy"


class StoreFullError(StorageError):
    """The disk is full."""

    code = "storage_full"
    status = 507
    state = "full"


class StoreReadonlyError(StorageError):
    """The disk can't be written to."""

    code = "storage_readonly"
    state = "readonly"


class StoreCorruptError(StorageError):
    """The database is damaged."""

    code = "storage_corrupt"
    status = 500
    retryable = False
    state = "corrupt"


class StoreSlowError(StorageError):
    """Reading from the database took too long."""

    code = "storage_slow"


class StoreFailedError(StorageError):
    """The database couldn't be opened, read or written."""

    code = "storage_failed"


STATES = ("busy", "full", "readonly", "corrupt", "failed")
"""Every `state` of an error."""
BY_SQLITE_CODE: dict[int, type[StorageError]] = {
    sqlite3.SQLITE_BUSY: StoreBusyError,
    sqlite3.SQLITE_LOCKED: StoreBusyError,
    sqlite3.SQLITE_FULL: StoreFullError,
    sqlite3.SQLITE_READONLY: StoreReadonlyError,
    sqlite3.SQLITE_CORRUPT: StoreCorruptError,
    sqlite3.SQLITE_NOTADB: StoreCorruptError,
    sqlite3.SQLITE_INTERRUPT: StoreSlowError,
}
BY_ERRNO: dict[int, type[StorageError]] = {
    errno.ENOSPC: StoreFullError,
    errno.EDQUOT: StoreFullError,
    errno.EROFS: StoreReadonlyError,
    errno.EACCES: StoreReadonlyError,
    errno.EPERM: StoreReadonlyError,
}


@contextlib.contextmanager
def storage_errors(place: Path, name: str = "") -> Iterator[None]:
    """Say in our own tree what SQLite or the system raises within the block; blocks a moment when it does.

    Args:
        place: As `storage_error` takes it.
        name: Of the file, to stand before the message; nothing where that is the database.
    """
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        ours = storage_error(error, place)
        raise (type(ours)(f"{name}: {ours.message}") if name else ours) from error


def storage_error(error: sqlite3.Error | OSError | UnicodeDecodeError, place: Path) -> StorageError:
    """Return which of our errors another one is; blocks a moment to try the disk.

    Args:
        error: What SQLite or the system said, or Python of what SQLite said: names in it that aren't UTF-8.
        place: The database's folder; what SQLite only calls an I/O error is tried out there.
    """
    if isinstance(error, UnicodeDecodeError):
        return StoreCorruptError(f"{default_text(StoreCorruptError)}: {error}")
    if isinstance(error, OSError):
        found = BY_ERRNO.get(error.errno or 0, StoreFailedError)
        return found(f"{default_text(found)}: {error.strerror}")
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
    found = BY_SQLITE_CODE.get(code) or _by_disk(place)
    return found(f"{default_text(found)}: {error}")


def default_text(error_class: type[StorageError]) -> str:
    """Return an error's default message without its full stop."""
    return (error_class.__doc__ or "").split("\n", 1)[0].rstrip(".")


def _by_disk(place: Path) -> type[StorageError]:
    """Try to write a file: the system says why it refuses what SQLite gives no reason for.

    A disk that has failed and takes no more writes doesn't look like a read-only one otherwise.
    """
    probe = place / PROBE_NAME
    try:
        try:
            probe.write_bytes(bytes(PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return BY_ERRNO.get(error.errno or 0, StoreFailedError)
    return StoreFailedError
