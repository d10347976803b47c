"""What is left of ended jobs, cleared up beside those that run.

Owns: the walk over all ended jobs, whose files a kill or a backup that was put back may have left otherwise
than their rows say; the deletion of old jobs; folders without a row.
Refuses to know: which jobs run, and what their ends are counted as.

A row ends first and its files follow. So whatever a kill has left is found from the rows, newest first.
A folder without a row stays while a database that was replaced lies beside: that one may have its row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence

from loguru import logger

from appliance.job_errors import JobFilesGoneError
from appliance.settings import Settings
from appliance.store import jobs
from appliance.store.database import Database
from appliance.store.jobs import Row
from appliance.store.restoring import find_aside
from processes.gateway.encoding import EncoderThreads
from processes.gateway.job_folder import JobFolder, sweep

TIDY_S = 60.0
WALK_S = 3_600.0
"""Seconds from the end of one walk over all ended jobs to the next."""
TIDY_JOBS = 100
"""Jobs that one look deletes, or walks over."""
ORPHAN_S = 86_400.0
"""Seconds that a folder without a row is kept."""
DAY_S = 86_400.0


class JobTidying:
    """Clears up; one `look` at a time, during which no job may begin."""

    def __init__(
        self,
        settings: Settings,
        threads: EncoderThreads,
        folder: Callable[[str], JobFolder],
        age_limit_s: Callable[[float], float],
    ) -> None:
        """Take what it works with; nothing is looked at.

        Args:
            settings: For how long, where.
            threads: Where files are deleted.
            folder: Names a job's folder.
            age_limit_s: As `Retention.age_limit_s`.
        """
        self._settings = settings
        self._threads = threads
        self._folder = folder
        self._age_limit_s = age_limit_s
        self._tidied_at_s = -TIDY_S
        self._walks_at_s = 0.0
        self._walked_to = jobs.MAX_JOB
        self._orphans: dict[str, float] = {}
        """Folders without a row → monotonic time at which they were first seen so."""
        self._is_keeping = False
        """Whether it was said that they stay."""

    async def look(self, database: Database, running: Container[str]) -> list[str]:
        """Clear some of it up, if that is due; return the ids of jobs that are old enough to be deleted.

        Args:
            database: The open database.
            running: Ids of jobs that somebody works at, whatever their rows say.

        Raises:
            StorageError: A row can't be read or written now.
            OSError: A file can't be deleted now.
        """
        if time.monotonic() >= self._walks_at_s:
            await self._walk(database, running)
        if time.monotonic() - self._tidied_at_s < TIDY_S:
            return []
        self._tidied_at_s = time.monotonic()
        await self._remove_orphans(database)
        if not self._settings.jobs.keep_days:
            return []
        max_age_s = self._age_limit_s(self._settings.jobs.keep_days * DAY_S)
        return await jobs.list_old(database, max_age_s, TIDY_JOBS)

    async def _walk(self, database: Database, running: Container[str]) -> None:
        rows = await jobs.list_ended(database, self._walked_to, TIDY_JOBS)
        resting = [row for row in rows if row["id"] not in running]
        for job_id in await self._threads.run(lambda: self._clear(resting)):
            await lose(database, job_id)
        if len(rows) == TIDY_JOBS:
            self._walked_to = rows[-1]["job"]
        else:
            self._walked_to, self._walks_at_s = jobs.MAX_JOB, time.monotonic() + WALK_S

    def _clear(self, rows: Sequence[Row]) -> list[str]:
        """Delete what ended jobs don't keep; return the ids of those whose audio isn't there."""
        lost = []
        for row in rows:
            try:
                if self._clear_one(row):
                    lost.append(row["id"])
            except OSError as error:  # the others are cleared all the same; the next walk tries again
                logger.warning("jobs_not_tidied", job=row["id"], error=error.strerror)
        return lost

    def _clear_one(self, row: Row) -> bool:
        """Delete what an ended job doesn't keep; return whether it lacks its audio.

        Raises:
            OSError: It can't be looked at, or deleted.
        """
        folder = self._folder(row["id"])
        if row["state"] == "cancelled":
            folder.remove()
            return False
        if row["state"] == "completed":
            if not folder.has_audio():
                return True
            folder.forget_spoken()
        folder.forget_leftovers()
        return False

    async def _remove_orphans(self, database: Database) -> None:
        names = await self._threads.run(lambda: sweep(self._settings.data.dir, ORPHAN_S))
        now_s = time.monotonic()
        orphans = [name for name in names if await jobs.find_job(database, name) is None]
        aside = await self._threads.run(lambda: find_aside(self._settings.store_path())) if orphans else ""
        if aside and not self._is_keeping:
            logger.warning("job_folders_kept", jobs=len(orphans), beside=aside)
        self._is_keeping = bool(aside)
        if aside:
            orphans = []
        for name in orphans:
            if name not in self._orphans:
                logger.warning("job_without_row", job=name, deleted_in_s=ORPHAN_S)
        self._orphans = {name: self._orphans.get(name, now_s) for name in orphans}
        for name, seen_s in self._orphans.items():
            if now_s - seen_s >= ORPHAN_S:
                await self._threads.run(self._folder(name).remove)
                logger.warning("job_folder_deleted", job=name)


async def lose(database: Database, job_id: str) -> None:
    """Say of a completed job in its row that its audio is gone.

    Raises:
        StorageError: It can't be written.
    """
    if await jobs.change_job(database, "lose", job_id, JobFilesGoneError.code) is not None:
        logger.warning("job_lost", job=job_id)
