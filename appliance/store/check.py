"""Whether a database is whole, and is ours.

Owns: what is looked at (header, ids, tables, pages, number of rows), opening a file for it.
Refuses to know: what happens to a broken one (`opening`), backups' manifests (`backups`).

An empty file is a valid database to SQLite, and a check of the pages says nothing about rows that are gone.
So the tables have to be there, with no fewer than half of the rows that were last noted beside the file.
Source: faults.md, fact 10.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from appliance.lifecycle import read_json, write_json
from appliance.store.errors import PRIMARY_CODE, StoreCorruptError, storage_errors
from appliance.store.migrations import (
    APPLICATION_ID,
    HEADER_BYTES,
    MAGIC,
    SCHEMA_VERSION,
    STEPS,
    migrate,
    refuse_newer,
)
from appliance.store.statements import STATEMENTS
from appliance.voice_folders import sync

FLOOR_SUFFIX = ".floor.json"
FLOOR_SHARE = 2
"""A table may have lost all but one row in this many since its floor was noted."""
FLEETING = ("job_utterances", "pronunciations")
"""Tables whose rows go whenever a job ends or somebody wants it: no floor says anything of them."""
JOBS = "jobs"
"""The table of which one row that is gone counts as well, if it was the only one: whoever deletes a job
notes it before."""
BUSY_S = 5.0
"""Seconds to wait for whoever holds the database."""
FILE_FORMATS = (b"\1\1", b"\2\2")
"""Bytes 18 and 19: without and with a log; a later one couldn't be written to, or not be read.

Source: sqlite.org/fileformat2.html, 1.3.
"""
SCHEMA_FORMATS = range(1, 5)
"""Bytes 44 to 47, likewise."""


def connect(path: Path, *, mode: str = "rw", busy_s: float = BUSY_S) -> sqlite3.Connection:
    """Open a database in autocommit mode; blocks.

    Args:
        path: The file.
        mode: `ro`, `rw`, `rwc`, or `immutable` for a file that nobody writes.
        busy_s: Seconds to wait for a lock.

    Raises:
        sqlite3.Error: It can't be opened.
    """
    return sqlite3.connect(uri(path, mode), uri=True, timeout=busy_s, isolation_level=None)


def uri(path: Path, mode: str) -> str:
    """Return a database's address for SQLite. Source: sqlite.org/uri.html."""
    query = "immutable=1" if mode == "immutable" else f"mode={mode}"
    return f"{path.absolute().as_uri()}?{query}"


def check_file(path: Path) -> None:
    """Look whether a database's own file can be one, while nobody has it open; blocks for one read.

    Closing a file gives up this process's POSIX locks on it, also those of SQLite's connections.

    Raises:
        StoreCorruptError: It is empty, holds something else, or says what SQLite would take for a database
            that is only to be read, or for one of a later SQLite.
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise StoreCorruptError("it isn't a database")
    if header[18:20] not in FILE_FORMATS or int.from_bytes(header[44:48], "big") not in SCHEMA_FORMATS:
        raise StoreCorruptError("its header is damaged")


def check_database(connection: sqlite3.Connection) -> None:
    """Look whether an open database is ours and its pages are whole; blocks until it has read all of it.

    Raises:
        ConfigurationError: A later version of the appliance has made it.
        StoreCorruptError: What is wrong with it.
        sqlite3.Error: It can't be read.
    """
    try:
        _check_open(connection)
    except (sqlite3.OperationalError, UnicodeDecodeError) as error:
        # SQLite calls it no more than an error if it can't make sense of a schema. Names that aren't UTF-8
        # are errors of Python's, without a code.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code & PRIMARY_CODE != sqlite3.SQLITE_ERROR:
            raise
        raise StoreCorruptError(f"its schema is damaged: {error}") from error


def _check_open(connection: sqlite3.Connection) -> None:
    (application_id,) = connection.execute(STATEMENTS["read_application_id"]).fetchone()
    if application_id != APPLICATION_ID:
        raise StoreCorruptError("it is another program's database")
    (version,) = connection.execute(STATEMENTS["read_schema_version"]).fetchone()
    refuse_newer(version, "the database")
    expected, found_columns = _expected_columns(version), _columns(connection)
    missing = {table for table, _ in expected - found_columns}
    if version < 1 or missing:
        raise StoreCorruptError(f"tables are missing: {', '.join(sorted(missing)) or 'all'}")
    if found_columns & (_expected_columns() - expected):
        raise StoreCorruptError(f"it says that its schema is {version}, and has more")
    (found,) = connection.execute(STATEMENTS["check_quickly"]).fetchone()
    if found != "ok":
        raise StoreCorruptError(f"its pages are damaged: {found.splitlines()[-1][:200]}")


def _expected_columns(version: int = SCHEMA_VERSION) -> set[tuple[str, str]]:
    """Return table and name of each column that a database of a schema has."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        migrate(empty, STEPS[: max(1, version)])
        return _columns(empty)


def _columns(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(connection.execute(STATEMENTS["list_columns"]))


def tables(connection: sqlite3.Connection) -> set[str]:
    """Return the names of a database's tables."""
    return {name for (name,) in connection.execute(STATEMENTS["list_tables"])}


def count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of rows of each table."""
    return dict(_counts(connection))


def rows_of(path: Path) -> dict[str, int]:
    """Return the number of rows of each table of a database that others may use; blocks.

    Raises:
        StorageError: It can't be read.
    """
    with storage_errors(path.parent), contextlib.closing(connect(path, mode="ro")) as connection:
        return count_rows(connection)


def _counts(connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    for name in sorted(tables(connection)):
        # A name of ours, from the schema, and quoted.
        (count,) = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()  # noqa: S608
        yield name, count


def check_floor(path: Path, rows: dict[str, int]) -> None:
    """Compare the rows of each table with what was noted beside the file.

    Args:
        path: The database.
        rows: Its number of rows by table; empty where there is no database at all.

    Raises:
        StoreCorruptError: A table has lost more rows than can be.
    """
    for name, least in read_floor(path).items():
        if rows.get(name, 0) < least:
            raise StoreCorruptError(
                f"table {name} has {rows.get(name, 0)} rows and should have {least} or more"
            )


def read_floor(path: Path) -> dict[str, int]:
    """Return the least number of rows by table; nothing where none was noted."""
    noted = read_json(_floor_path(path)).get("rows", {})
    pairs = noted.items() if isinstance(noted, dict) else ()
    return {str(name): least for name, least in pairs if isinstance(least, int)}


def note_floor(path: Path, rows: dict[str, int]) -> None:
    """Note how many rows each table has at least; before rows are deleted, what will be left of them.

    Raises:
        OSError: It can't be written.
    """
    floor = {name: _least(name, count) for name, count in rows.items() if name not in FLEETING}
    if floor != read_floor(path):
        _write_floor(path, floor)


def lower_floor(path: Path, table: str, count: int) -> None:
    """Note before rows of a table are deleted how many will be left, if that is less than was noted; blocks.

    Where that can't be written, as on a full disk, all that was noted is forgotten: rows are deleted to make
    room.

    Raises:
        OSError: Not even that could be done, and no row may be deleted.
    """
    floor = read_floor(path)
    least = _least(table, count)
    if floor.get(table, 0) <= least:
        return
    try:
        _write_floor(path, {**floor, table: least})
    except OSError:
        forget_floor(path)
        sync(path.parent)


def _least(table: str, count: int) -> int:
    return -(-count // FLOOR_SHARE) if table == JOBS else count // FLOOR_SHARE


def _write_floor(path: Path, floor: dict[str, int]) -> None:
    """Have it on the disk before anything is deleted."""
    write_json(_floor_path(path), {"rows": floor})
    sync(_floor_path(path))
    sync(path.parent)


def forget_floor(path: Path) -> None:
    """Forget what was noted: another database takes the place of the one that it was noted of.

    Raises:
        OSError: It can't be removed.
    """
    _floor_path(path).unlink(missing_ok=True)


def _floor_path(path: Path) -> Path:
    return path.with_name(path.name + FLOOR_SUFFIX)
