"""The open database as the gateway lends it out: whoever meets damage in it, its keeper learns of that.

Owns: that no damage goes untold which a statement has met, of a list, of a job or of whatever else.
Refuses to know: what is done about it (`store_keeper`), and what is stored.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import aiosqlite

from appliance.store.database import Database, Parameters, Transaction
from appliance.store.errors import StoreCorruptError


class WatchedDatabase(Database):
    """The open database; `open_watched` makes one, and whoever does closes it."""

    def __init__(
        self,
        path: Path,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        observe_commit: Callable[[float], None],
    ) -> None:
        """Take the connections; use `open_watched`."""
        super().__init__(path, writer, reader, observe_commit)
        self.tell: Callable[[StoreCorruptError], None] = lambda _error: None
        """Is told of damage that a statement has met, before its caller is."""

    @classmethod
    async def open_watched(
        cls, path: Path, observe_commit: Callable[[float], None], tell: Callable[[StoreCorruptError], None]
    ) -> WatchedDatabase:
        """Open a database as `open` does.

        Args:
            path: As `open` takes it.
            observe_commit: As `open` takes it.
            tell: Becomes its `tell`.

        Raises:
            StorageError: It can't be opened.
        """
        database = cast("WatchedDatabase", await cls.open(path, observe_commit))
        database.tell = tell
        return database

    async def read(self, name: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """Run a statement that only reads, as `Database.read` does.

        Raises:
            StorageError: It can't be read.
        """
        try:
            return await super().read(name, parameters)
        except StoreCorruptError as error:
            self.tell(error)
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Lend a transaction, as `Database.transaction` does.

        Raises:
            StorageError: It wasn't committed.
        """
        try:
            async with super().transaction() as transaction:
                yield transaction
        except StoreCorruptError as error:
            self.tell(error)
            raise
