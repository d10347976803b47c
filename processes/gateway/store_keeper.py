"""The store's life in the gateway: opened beside the start, fed with the history, looked after, opened again.

Owns: when rows are written, when the files are looked at and thinned out, what the store's state is called.
Refuses to know: SQL, files' formats, HTTP. No request waits for anything here.

                        ┌──no answer──▶ stalled                                well with the next write
    opening ──▶ ok | restored | lost ──an error──▶ full | readonly | busy      tried again every second
       ▲                                      └──▶ corrupt | failed | removed  closed, then opened again
       └───────────────────────────────────────────────┘
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loguru import logger

from appliance.metrics import GatewayMetrics
from appliance.settings import Settings
from appliance.store import opening
from appliance.store.ballast import Ballast
from appliance.store.check import BUSY_S, rows_of
from appliance.store.database import SQLITE_VERSION, Database
from appliance.store.errors import (
    StorageError,
    StoreBusyError,
    StoreCorruptError,
    StoreFailedError,
    StoreFullError,
    StoreReadonlyError,
    StoreSlowError,
)
from appliance.store.floor import note_rows
from appliance.store.history import count_surplus, delete_some, find_newest_time
from appliance.store.migrations import SCHEMA_VERSION
from appliance.store.restoring import take_note
from processes.gateway.history import History
from processes.gateway.pronunciation_book import PronunciationBook
from processes.gateway.retention import Retention

FLUSH_S = 0.1
"""Seconds that rows wait for others to be written with.

A row is on the disk 0.25 s after its request's end, which is what a kill can cost at most: it may come while
the batch before is written, so two commits and a look at the files are in that, besides this.
"""
LOOK_S = 1.0
"""Seconds between two looks at the files and the disk, and between two tries after an error."""
TIDY_S = 60.0
DOUBT_S = 60.0
"""Seconds between two looks at all of the database that others' statements give cause for.

They may meet what such a look doesn't find, again and again, and it is closed meanwhile.
"""
STALLED_S = 2 * BUSY_S + 1.0
"""Seconds after which a write isn't waiting for another process any more, but for a disk that hangs.

It may have waited for its turn as long as the writer before it has waited for that process.
"""
CLOSE_S = 2.0
"""Seconds that the last rows have at a stop; `BEGIN_STEP_S` more, twice, where another process writes."""
MAX_LOG_BYTES = 67_108_864
"""A larger write-ahead log is said: somebody has kept a transaction open for long."""
DAY_S = 86_400.0
PASSING = (StoreBusyError, StoreFullError, StoreReadonlyError)
"""Errors after which the open database is as good as before."""
WELL = ("opening", "ok")
RESTORE_LEVELS = {"begun": "WARNING", "swapped": "INFO", "returned": "ERROR"}


class StoreKeeper:
    """Keeps the store open; `run` is its life."""

    def __init__(
        self,
        settings: Settings,
        metrics: GatewayMetrics,
        history: History | None,
        book: PronunciationBook | None = None,
    ) -> None:
        """Remember where things are; nothing is opened.

        Args:
            settings: Name the database and what it keeps.
            metrics: Get commits and errors.
            history: What is written; None writes nothing.
            book: What is read whenever a database is opened; None for nothing.
        """
        self._path = settings.store_path()
        self._settings = settings.store
        self._metrics = metrics
        self._history = history
        self._news = asyncio.Event() if history is None else history.news
        """Set when there is something to do before the next look."""
        self._book = book
        self.retention = Retention(settings)
        """From what age anything is deleted."""
        self._ballast = Ballast(self._path.parent, settings.store.ballast_bytes)
        self._database: Database | None = None
        self._lock: opening.StoreLock | None = None
        self._opened_as = "ok"
        self._is_suspect = False
        """Whether damage was met since it was checked."""
        self._told: StorageError | None = None
        """What others have met since then."""
        self._doubted_at_s = -math.inf
        """When it was last checked for damage that was met."""
        self._looked_at_s = self._tidied_at_s = -math.inf
        self._surplus = (0, 0)
        """Rows of the history that are yet to be deleted: for their age, and for their number."""
        self._begun_at_s = time.monotonic()
        self.state = "opening"
        self.since = datetime.now(UTC)

    @property
    def database(self) -> Database:
        """The open database.

        Raises:
            StoreFailedError: It isn't open now; `/health` says why.
        """
        if self._database is None:
            raise StoreFailedError
        return self._database

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong with it, as far as is known; a disk that hangs never lets it open."""
        is_late = self.state == "opening" and time.monotonic() - self._begun_at_s > STALLED_S
        return self.state in WELL and not is_late

    def as_dict(self) -> dict[str, Any]:
        """Return what `/health` says of it; an open database has been brought to this version's schema."""
        since = self.since.isoformat(timespec="seconds")
        schema = None if self._database is None else SCHEMA_VERSION
        return {"state": self.state, "since": since, "sqlite": SQLITE_VERSION, "schema": schema}

    def tell(self, error: StorageError) -> None:
        """Learn what a statement of others has met; comes back at once, and `run` does what is to be done.

        Only damage counts: what passes, and a disk that takes nothing, the keeper's own writes meet as well.
        """
        if isinstance(error, StoreCorruptError):
            self._told = error
            self._news.set()

    async def run(self) -> None:
        """Open the store and keep it until cancelled; then write the rest and close it.

        Raises:
            ConfigurationError: The database is one of a later version.
        """
        try:
            while True:
                try:
                    await self._open()
                    while await self._keep():
                        pass
                except StorageError as error:
                    await self._take(error)
                    await self._close()
                    await asyncio.sleep(LOOK_S)
        finally:
            await self._end()

    async def _open(self) -> None:
        """Open the database, if it isn't open.

        Raises:
            ConfigurationError: It is one of a later version.
            StorageError: It can't be opened now.
        """
        if self._database is not None:
            return
        self._lock = await asyncio.to_thread(opening.StoreLock, self._path)
        opened = await asyncio.to_thread(opening.prepare, self._path, is_suspect=self._is_suspect)
        if self._is_suspect:
            self._is_suspect, self._told, self._doubted_at_s = False, None, time.monotonic()
        await self._say_replaced(opened)
        self._database = await Database.open(self._path, self._metrics.db_commit_s.observe, self.tell)
        await self.retention.begin(await find_newest_time(self._database))  # before this run has a row
        if self._book is not None:
            await self._book.load(self._database)
        if self._history is not None:
            self._metrics.history_unrecorded.inc(await self._history.join(self._database))
        self._looked_at_s = self._tidied_at_s = -math.inf
        await self._say_restore()
        self._be(self._opened_as)
        logger.info("store_open", sqlite=SQLITE_VERSION, state=self.state)

    async def _say_replaced(self, opened: opening.Opened) -> None:
        """Say that another database took the place of a broken one, before anything else can fail."""
        if opened.state != "ok":
            self._opened_as = opened.state
            logger.error("store_replaced", **asdict(opened))
            with suppress(OSError):  # then the next gateway says it once more
                await asyncio.to_thread(opening.forget_replaced, self._path)

    async def _say_restore(self) -> None:
        """Say what `ttsctl backup restore` has done to the database, which has no log of its own."""
        with suppress(OSError):
            note = await asyncio.to_thread(take_note, self._path)
            if level := RESTORE_LEVELS.get(note.get("state", "")):
                logger.log(level, "store_restore", **note)

    async def _keep(self) -> bool:
        """After a moment, write what waits and look after the files; return whether the database stays open.

        Raises:
            StorageError: It has to be opened again.
        """
        await self._until_due()
        if self._told is not None and time.monotonic() - self._doubted_at_s >= DOUBT_S:
            raise self._told
        try:
            is_look_due = time.monotonic() - self._looked_at_s >= LOOK_S
            if is_look_due and await self._are_files_gone():
                return False
            is_asked = is_look_due and (self._is_in_doubt or await asyncio.to_thread(self._is_disk_bad))
            with self._watched():
                await self._write(is_asked=is_asked)
                self._surplus = await delete_some(self.database, self._max_age_s, self._surplus)
            if time.monotonic() - self._tidied_at_s >= TIDY_S:
                await self._write_beside(self._tidy())
        except StoreSlowError as error:  # next time, then
            logger.warning("history_not_tidied", reason=error.message)
        except PASSING as error:
            if not await self._take(error):
                await asyncio.sleep(LOOK_S)
        return True

    async def _until_due(self) -> None:
        """Wait for something to do, or until the next look, then a moment for what is to be done with it."""
        if not (self._has_rows or any(self._surplus)):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._looked_at_s + LOOK_S - time.monotonic()):
                    await self._news.wait()
        self._news.clear()
        await asyncio.sleep(FLUSH_S)

    async def _write_beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work that may take long, and write rows in their time meanwhile.

        Raises:
            StorageError: As the work or the writing does; the work has ended.
        """
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait([task], timeout=FLUSH_S))[0]:
                if self._has_rows:
                    with self._watched():
                        await self._write(is_asked=False)
        finally:
            task.cancel()
            await asyncio.wait([task])
            error = None if task.cancelled() else task.exception()
        if error is not None:
            raise error

    @property
    def _has_rows(self) -> bool:
        """Whether any row waits to be written."""
        return self._history is not None and self._history.is_waiting

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Say it if what is done in the block has waited too long; whoever ends it says that it's over."""
        timer = asyncio.get_running_loop().call_later(STALLED_S, self._say_stalled)
        try:
            yield
        finally:
            timer.cancel()

    def _say_stalled(self) -> None:
        if self._is_writing:
            logger.error("store_stalled", waited_s=STALLED_S)
            self._be("stalled")

    @property
    def _is_in_doubt(self) -> bool:
        """Whether only a write of our own tells how it is: it isn't well, or somebody writes just now."""
        return not self._is_writing or self.database.is_writing

    @property
    def _max_age_s(self) -> float:
        return self.retention.age_limit_s(self._settings.history_days * DAY_S)

    @property
    def _is_writing(self) -> bool:
        return self.state in (*WELL, "restored", "lost", "log_large")

    async def _write(self, *, is_asked: bool) -> None:
        """Write what waits; if asked, something even if nothing does, to see whether that succeeds."""
        if self._history is not None and (is_asked or self._has_rows):
            await self._history.write(self.database)
        elif is_asked:
            await self.database.touch()
        else:
            return
        if not self._is_writing:
            logger.info("store_recovered", state=self.state)
            self._be(self._opened_as)

    async def _are_files_gone(self) -> bool:
        """See whether somebody has removed or replaced a file, and save what only ours still holds."""
        self._looked_at_s = time.monotonic()
        gone = await self.database.missing_files()
        if gone:
            logger.error("store_files_removed", files=gone)
            self._be("removed")
            await self.database.rescue()
            await self._close()
            return True
        log_bytes = await asyncio.to_thread(_size_bytes, self._path.with_name(f"{self._path.name}-wal"))
        is_large, was_large = log_bytes > MAX_LOG_BYTES, self.state == "log_large"
        if is_large and not was_large:
            logger.warning("store_log_large", bytes=log_bytes)
        if self._is_writing and is_large != was_large:
            self._be("log_large" if is_large else self._opened_as)
        return False

    async def _tidy(self) -> None:
        """Try a write; count what the history needn't keep, and note what is left; keep the ballast."""
        self._tidied_at_s = time.monotonic()
        await self.retention.note()
        with self._watched():
            await self.database.touch()  # so that an idle one's disk is tried, too
        surplus = await count_surplus(self.database, self._max_age_s, self._settings.history_rows)
        rows = await asyncio.to_thread(rows_of, self._path)
        rows["requests"] = max(0, rows["requests"] - sum(surplus))
        with suppress(OSError):  # the disk is full, or worse: the next write will tell
            await note_rows(self.database, rows)
            self._surplus = surplus
        await asyncio.to_thread(self._ballast.keep)

    async def _take(self, error: StorageError) -> bool:
        """Say an error, once for as long as it lasts; return whether there is room now that there wasn't."""
        self._metrics.db_errors.labels(error.state).inc()
        self._is_suspect |= isinstance(error, StoreCorruptError)
        if self.state != error.state:
            logger.error("store_failed", state=error.state, code=error.code, reason=error.message)
            self._be(error.state)
        return isinstance(error, StoreFullError) and await self._drop_ballast()

    async def _drop_ballast(self) -> bool:
        has_room = await asyncio.to_thread(self._ballast.drop)
        if has_room:
            logger.warning("ballast_dropped", bytes=self._settings.ballast_bytes)
        return has_room

    def _be(self, state: str) -> None:
        if state != self.state:
            self.state, self.since = state, datetime.now(UTC)
        self._metrics.db_up.set(self._is_writing)

    def _is_disk_bad(self) -> bool:
        disk = os.statvfs(self._path.parent)
        return bool(disk.f_flag & os.ST_RDONLY) or not disk.f_bavail

    async def _close(self) -> None:
        """Close the database, whatever state it is in, and let the next one have it."""
        self._surplus = (0, 0)
        database, self._database = self._database, None
        if database is not None:
            await database.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            await asyncio.to_thread(lock.release)

    async def _end(self) -> None:
        """Write the rest within a time, and close."""
        try:
            if self._database is not None:
                async with asyncio.timeout(CLOSE_S):
                    if self._history is not None:
                        await self._history.close(self._database)
                    await self._tidy()
        except (StorageError, TimeoutError) as error:
            logger.error("store_not_closed_well", reason=str(error))
        await self._close()


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
