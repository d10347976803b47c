"""The history's part on a request's way: rows wait in memory until a batch of them is written.

Owns: which requests have no row yet, which of those that run have one, how many may wait.
Refuses to know: when a batch is written (`store_keeper`), and what is in a row but its text.

`accept` and `end` are plain calls on the event loop that touch no database. What waits is bounded: while
nothing can be written the oldest rows go, and their requests count as unrecorded.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from itertools import islice

from appliance.store.accepted import AcceptedCounter
from appliance.store.database import Database
from appliance.store.history import (
    HistoryRow,
    begin_run,
    end_run,
    record,
    rejoin_run,
)

MAX_WAITING = 10_000
"""Rows of ended requests that wait; some 6 MB without texts."""
MAX_WAITING_CHARS = 8_000_000
"""Characters of texts that wait with them."""
BATCH = 2_000
"""Rows of one transaction."""


class History:
    """What the database has yet to learn of this gateway's requests."""

    def __init__(self, counter: AcceptedCounter, *, keeps_text: bool) -> None:
        """Take what accepted requests are counted in.

        Args:
            counter: That.
            keeps_text: Whether rows hold what was spoken.
        """
        self.keeps_text = keeps_text
        self._counter = counter
        self._token = 0
        self._run = 0
        self._number = 0
        self._accepted = 0
        """Requests of this gateway, whatever became of the database that has their rows."""
        self._recorded = 0
        self._running: dict[int, Callable[[], HistoryRow]] = {}
        self._ended: dict[int, HistoryRow] = {}
        self._ended_chars = 0
        self._written: set[int] = set()
        """Numbers of running requests that have a row."""
        self.news = asyncio.Event()
        """Set with all that is to be written; whoever waits for it clears it."""

    @property
    def is_waiting(self) -> bool:
        """Whether anything would be written now."""
        return bool(self._ended) or len(self._running) > len(self._written)

    def accept(self, make_row: Callable[[], HistoryRow]) -> int:
        """Count a request; return its number, for `end`.

        Args:
            make_row: Gives the row of the request while it runs.
        """
        self._number += 1
        self._accepted += 1
        self._running[self._number] = make_row
        self._counter.count(self._accepted)
        self.news.set()
        return self._number

    def end(self, number: int, row: HistoryRow) -> None:
        """Take the row of a request that has ended."""
        self._running.pop(number, None)
        self._ended[number] = row
        self._ended_chars += len(row.text or "")
        self.news.set()
        while len(self._ended) > MAX_WAITING or self._ended_chars > MAX_WAITING_CHARS:
            self._forget(next(iter(self._ended)))

    async def join(self, database: Database) -> int:
        """Go on with this run in a database that was opened, or begin one; return `begin_run`'s count.

        Raises:
            StorageError: Nothing has changed.
        """
        if self._run:
            waiting = [*self._running, *self._ended]
            found = await rejoin_run(database, self._run, self._token, waiting)
            if found is not None:
                # As it says, not as we remember: it may be a backup that was made earlier in this run.
                self._recorded, self._written = found
                return 0
        left = await asyncio.to_thread(self._counter.open)
        token = secrets.randbits(62) + 1
        run, unrecorded = await begin_run(database, token, left)
        self._run, self._token, self._recorded = run, token, 0
        self._written.clear()
        self._counter.begin(token, self._accepted)
        return unrecorded

    async def write(self, database: Database) -> None:
        """Write what waits, at most `BATCH` rows of it.

        Raises:
            StorageError: It waits on.
        """
        ended = dict(islice(self._ended.items(), BATCH))
        unwritten = (each for each in self._running.items() if each[0] not in self._written)
        begun = {number: make_row() for number, make_row in islice(unwritten, BATCH - len(ended))}
        new = len(begun) + sum(number not in self._written for number in ended)
        counts = self._accepted, self._recorded + new
        await record(database, self._run, counts, [*ended.items(), *begun.items()])
        self._recorded = counts[1]
        self._written.update(begun)
        for number in ended:
            self._forget(number)

    async def close(self, database: Database) -> None:
        """Write the rest and close the run's account.

        Raises:
            StorageError: The next gateway does it.
        """
        while self.is_waiting:
            await self.write(database)
        await end_run(database, self._run, self._accepted)
        self._counter.close()

    def _forget(self, number: int) -> None:
        row = self._ended.pop(number, None)
        if row is not None:
            self._ended_chars -= len(row.text or "")
            self._written.discard(number)
