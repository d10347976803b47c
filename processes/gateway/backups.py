"""Backups of the database while the gateway runs.

Owns: making one at night or at an operator's word, leaving it at a stop, what became of the last.
Refuses to know: when the night is (`backup_schedule`), how a backup is made (`appliance.store.backups`).
No request waits for one, and a failed one is tried again at the next time only.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime, time
from typing import Any

from loguru import logger

from appliance.backup_contents import contents_of
from appliance.errors import ApplianceError
from appliance.metrics import GatewayMetrics
from appliance.settings import Settings
from appliance.store.backups import Backup, create_backup, list_backups, prune
from appliance.store.errors import StorageError, StoreCorruptError
from processes.gateway.backup_schedule import Schedule
from processes.gateway.store_keeper import StoreKeeper

LOOK_S = 30.0
"""Seconds between two looks at the clock, which may be moved."""


def local_now() -> datetime:
    """Return the time in this machine's time zone."""
    return datetime.now().astimezone()


class Backups:
    """Makes backups of a gateway's database, in a thread; `run` makes the nightly ones."""

    def __init__(
        self,
        settings: Settings,
        metrics: GatewayMetrics,
        store: StoreKeeper,
        now: Callable[[], datetime] = local_now,
    ) -> None:
        """Remember where things are.

        Args:
            settings: Name the database, the time of day, and what a backup covers.
            metrics: Learn of every backup.
            store: Has the database open.
            now: The clock.
        """
        self._settings = settings
        self._metrics = metrics
        self._store = store
        self._now = now
        self._stopping = threading.Event()
        self._works: set[asyncio.Task[Backup]] = set()
        self._newest: datetime | None = None
        self._last: str | None = None
        self._schedule: Schedule | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what `/health` says of backups."""
        newest = self._newest.isoformat(timespec="seconds") if self._newest else None
        due = self._schedule.due.isoformat(timespec="seconds") if self._schedule else None
        return {"newest": newest, "last": self._last, "next": due}

    @property
    def is_well(self) -> bool:
        """Whether no backup has found the database damaged since the last one that was made."""
        return self._last != "damaged"

    def stop(self) -> None:
        """Have a backup that is being made left, for good; comes back at once."""
        self._stopping.set()

    async def run(self) -> None:
        """See which there are; then make one each night, until cancelled."""
        try:
            found = await asyncio.to_thread(list_backups, self._settings.backups_path())
            if found:
                self._note_newest(found[0])
        except StorageError as error:
            logger.error("backup_failed", reason=error.message, code=error.code)
        at = self._settings.store.backup_at
        self._metrics.backup_scheduled.set(bool(at))
        if at:
            self._schedule = Schedule(time.fromisoformat(at), self._newest, self._now())
        while True:
            await asyncio.sleep(LOOK_S)
            if self._schedule is not None and self._schedule.is_due(self._now()):
                await self._make_nightly()

    async def create(self, reason: str) -> Backup:
        """Make a backup; one whose caller is cancelled is made nevertheless.

        Raises:
            ConfigurationError: A file of the configuration can't be read.
            StorageError: The database isn't open, or the backup can't be made.
        """
        work = asyncio.create_task(self._create(reason))
        self._works.add(work)
        work.add_done_callback(self._ended)
        return await asyncio.shield(work)

    def _ended(self, work: asyncio.Task[Backup]) -> None:
        self._works.discard(work)
        if not work.cancelled():
            work.exception()  # seen: it is in the log already

    async def _make_nightly(self) -> None:
        await self._thin_out()  # first, since a full disk would have room for none otherwise
        try:
            await self.create("nightly")
        except ApplianceError as error:
            logger.warning("backup_postponed", reason=error.message)
        else:
            await self._thin_out()

    async def _thin_out(self) -> None:
        folder, store = self._settings.backups_path(), self._settings.store
        try:
            removed = await asyncio.to_thread(prune, folder, store.backup_daily, store.backup_weekly)
        except ApplianceError as error:
            logger.warning("backups_not_pruned", reason=error.message)
            return
        if removed:
            logger.info("backups_pruned", files=removed)

    async def _create(self, reason: str) -> Backup:
        try:
            backup = await self._made(reason)
        except ApplianceError as error:
            if isinstance(
                error, StoreCorruptError
            ):  # in what nobody has read yet; said until a backup is made
                self._last = "damaged"
                self._metrics.db_errors.labels(error.state).inc()
            elif self.is_well:
                self._last = "failed"
            self._metrics.backups.labels("failed").inc()
            self._metrics.backup_last_ok.set(0)
            self._metrics.backup_damaged.set(not self.is_well)
            logger.error("backup_failed", reason=error.message, code=error.code)
            raise
        self._last = "ok"
        self._metrics.backups.labels("ok").inc()
        self._metrics.backup_last_ok.set(1)
        self._metrics.backup_damaged.set(0)
        self._note_newest(backup)
        manifest = backup.manifest
        logger.info(
            "backup_made", file=manifest.file, reason=reason, bytes=manifest.bytes, rows=manifest.rows
        )
        return backup

    async def _made(self, reason: str) -> Backup:
        database = self._store.database
        contents = await asyncio.to_thread(contents_of, self._settings)
        folder, is_stopped = self._settings.backups_path(), self._stopping.is_set
        return await asyncio.to_thread(create_backup, database.path, folder, reason, contents, is_stopped)

    def _note_newest(self, backup: Backup) -> None:
        self._newest = datetime.fromisoformat(backup.manifest.created_at)
        self._metrics.backup_last_success_s.set(self._newest.timestamp())
