"""The open database: one connection that writes, one that reads.

Owns: both connections, transactions, how long each may take, noticing that the files aren't ours any more.
Refuses to know: what is stored (`history`), what is wrong with a file that can't be opened (`opening`).

    transaction() ──▶ BEGIN IMMEDIATE … COMMIT   one at a time, in the writer's thread
    read()        ──▶ one SELECT, all of its rows, in the reader's thread: it sees what was committed

What a COMMIT has answered for is on the disk: WAL with synchronous=FULL. A caller that is cancelled leaves no
transaction behind, and a commit that has begun is waited for; nobody waits longer than `BEGIN_STEP_S` for his
turn behind another process once he is cancelled. Only the writer writes and checkpoints, so that
SQLite's bug in resetting the log (before 3.51.3) can't happen.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from appliance.store.backups import put_in_place
from appliance.store.check import BUSY_S, uri
from appliance.store.errors import StorageError, StoreFailedError, storage_error
from appliance.store.opening import FILE_SUFFIXES
from appliance.store.statements import STATEMENTS

Result = TypeVar("Result")
Parameters = Sequence[Any] | Mapping[str, Any]
PAGES_KIB = 512
"""Pages that each connection keeps, a quarter of what SQLite does: the system has them, too."""
LOG_LIMIT_BYTES = 4_194_304
"""What is left of a write-ahead log that has grown, once it begins anew."""
READ_LIMIT_S = 5.0
"""Seconds that a reader may take; a longer one would keep the log from beginning anew."""
BEGIN_STEP_S = 0.25
"""Seconds that a BEGIN waits for another process, which nothing can end earlier; then it is tried again."""
RESCUE_SUFFIX = ".rescued"
SQLITE_VERSION = sqlite3.sqlite_version


class Transaction:
    """Statements that are committed together; lent by `Database.transaction`."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def execute(self, name: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Run a statement of `queries.sql` and return its rows."""
        return await _fetched(self._connection, name, parameters)

    async def execute_many(self, name: str, rows: Iterable[Parameters]) -> None:
        """Run a statement once for each row."""
        cursor = await self._connection.executemany(STATEMENTS[name], rows)
        await cursor.close()


class Database:
    """The open database; `open` makes one, and whoever does closes it."""

    def __init__(
        self,
        path: Path,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        observe_commit: Callable[[float], None],
        tell: Callable[[StorageError], None],
    ) -> None:
        """Take the connections; use `open`."""
        self.path = path
        self._writer = writer
        self._reader = reader
        self._observe_commit = observe_commit
        self._tell = tell
        self._write_turn = asyncio.Lock()
        self._read_turn = asyncio.Lock()
        self._files: dict[str, tuple[int, int] | None] = {}

    @classmethod
    async def open(
        cls,
        path: Path,
        observe_commit: Callable[[float], None] = lambda _seconds: None,
        tell: Callable[[StorageError], None] = lambda _error: None,
    ) -> Database:
        """Open a database that `opening.prepare` has seen whole.

        Args:
            path: The file; the caller holds its `StoreLock`.
            observe_commit: Is told the seconds that each commit took.
            tell: Is told what any statement has met, before its caller is.

        Raises:
            StorageError: It can't be opened.
        """
        connections: list[aiosqlite.Connection] = []
        try:
            for mode, pragmas in (("rw", (*PRAGMAS, *WRITER_PRAGMAS)), ("ro", PRAGMAS)):
                connection = aiosqlite.connect(
                    uri(path, mode), uri=True, timeout=BUSY_S, isolation_level=None, cached_statements=64
                )
                connections.append(await connection)
                connection.row_factory = sqlite3.Row
                for pragma in pragmas:
                    await connection.execute_fetchall(pragma)
            database = cls(path, connections[0], connections[1], observe_commit, tell)
            async with database.transaction():  # the log's files exist from here on
                pass
            database._files = await asyncio.to_thread(_file_ids, path)
        except BaseException as error:
            for connection in reversed(connections):
                await connection.close()
            if isinstance(error, sqlite3.Error | OSError | UnicodeDecodeError):
                raise await asyncio.to_thread(storage_error, error, path.parent) from error
            raise
        return database

    async def close(self) -> None:
        """Close the reader, then the writer, which writes the log into the file; whatever happens."""
        for connection in (self._reader, self._writer):
            with suppress(sqlite3.Error):
                await connection.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Lend a transaction that is committed at the block's end, and taken back on any error.

        Nobody else writes meanwhile, so nothing but statements belongs into the block, and the floor of rows.

        Raises:
            StoreBusyError: Another process has written for `BUSY_S`.
            StorageError: It wasn't committed.
        """
        async with self._write_turn:
            try:
                await self._begin()
                yield Transaction(self._writer)
                begun_at_s = time.monotonic()
                await _certainly(self._run("commit"))
                self._observe_commit(time.monotonic() - begun_at_s)
            except BaseException as error:
                await _certainly(self._take_back())
                if isinstance(error, sqlite3.Error | UnicodeDecodeError):
                    raise await self._ours(error) from error
                raise

    async def read(self, name: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Run a statement of `queries.sql` that only reads, and return all of its rows.

        Raises:
            StoreSlowError: It took longer than `READ_LIMIT_S` and was stopped.
            StorageError: It can't be read.
        """
        async with self._read_turn:
            reading = asyncio.ensure_future(_fetched(self._reader, name, parameters))
            try:
                await asyncio.wait([reading], timeout=READ_LIMIT_S)
            finally:
                if not reading.done():
                    await self._reader.interrupt()
                await asyncio.wait([reading])
            try:
                return reading.result()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise await self._ours(error) from error

    @property
    def is_writing(self) -> bool:
        """Whether a transaction is under way."""
        return self._write_turn.locked()

    async def touch(self) -> None:
        """Write something of no consequence, to see whether that succeeds.

        Raises:
            StorageError: It doesn't.
        """
        async with self.transaction() as transaction:
            await transaction.execute("touch")

    async def missing_files(self) -> list[str]:
        """Return which of the database's files somebody has removed or replaced."""
        found = await asyncio.to_thread(_file_ids, self.path)
        return [name for name, file_id in self._files.items() if found.get(name) != file_id]

    async def rescue(self) -> None:
        """Write what only our open files still hold to where the next opening finds it; then `close`.

        After the log was removed that is the database's own file; after that was removed, a copy in its
        place. A file that somebody has put there stays.

        Raises:
            StorageError: It can't be written.
        """
        async with self._write_turn:
            try:
                await self._writer.execute_fetchall(_busy_timeout(BUSY_S))
                await _certainly(self._run("write_log_into_database"))
                if not await asyncio.to_thread(self.path.exists):
                    await self._copy_back()
            except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
                raise await self._ours(error) from error

    async def _copy_back(self) -> None:
        rescued = self.path.with_name(self.path.name + RESCUE_SUFFIX)
        await asyncio.to_thread(rescued.unlink, missing_ok=True)
        copy = await aiosqlite.connect(rescued)
        try:
            await self._writer.backup(copy)
        finally:
            await copy.close()
        await asyncio.to_thread(put_in_place, rescued, self.path)

    async def _begin(self) -> None:
        """Begin a transaction, within `BUSY_S`; a cancellation is raised within `BEGIN_STEP_S`."""
        until_s = time.monotonic() + BUSY_S
        while True:
            try:
                await _certainly(self._run("begin"))
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() >= until_s:
                    raise
            else:
                return

    async def _run(self, name: str) -> None:
        await _fetched(self._writer, name)

    async def _take_back(self) -> None:
        """Roll back, if SQLite hasn't done so itself."""
        with suppress(sqlite3.Error, StorageError, ValueError):  # the last is aiosqlite's for a closed one
            if self._writer.in_transaction:
                await self._run("rollback")

    async def _ours(self, error: sqlite3.Error | OSError | UnicodeDecodeError) -> StorageError:
        ours = await asyncio.to_thread(storage_error, error, self.path.parent)
        self._tell(ours)
        return ours


def _busy_timeout(seconds: float) -> str:
    """Return what sets how long a statement waits for another process."""
    return f"PRAGMA busy_timeout = {round(1000 * seconds)}"


PRAGMAS = (f"PRAGMA cache_size = -{PAGES_KIB}",)
WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA journal_size_limit = {LOG_LIMIT_BYTES}",
    _busy_timeout(BEGIN_STEP_S),  # the last: those before it wait for longer
)


async def _fetched(
    connection: aiosqlite.Connection, name: str, parameters: Parameters = ()
) -> list[sqlite3.Row]:
    """Run a statement of `queries.sql` and return all of its rows."""
    try:
        rows = await connection.execute_fetchall(STATEMENTS[name], parameters)
    except ValueError as error:
        if type(error) is ValueError:  # aiosqlite's for a connection that is closed
            raise StoreFailedError from error
        raise
    return list(rows)


async def _certainly(work: Coroutine[Any, Any, Result]) -> Result:
    """Await something to its end, whoever is cancelled meanwhile; the cancellation is raised then."""
    task = asyncio.ensure_future(work)
    is_cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        task.exception()  # seen, so that it isn't reported as lost
        raise asyncio.CancelledError
    return task.result()


def _file_ids(path: Path) -> dict[str, tuple[int, int] | None]:
    """Return device and inode of each of a database's files; None for one that isn't there."""
    found: dict[str, tuple[int, int] | None] = {}
    for suffix in FILE_SUFFIXES:
        name = path.name + suffix
        found[name] = None
        with suppress(OSError):
            status = path.with_name(name).stat()
            found[name] = status.st_dev, status.st_ino
    return found
