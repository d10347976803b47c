"""The jobs that run: which, how many at a time, and what becomes of their errors.

Owns: starting and stopping a job's work, waiting out what passes (a full disk, a closed database, an engine
without workers), the one end of each job, its metrics.
Refuses to know: HTTP, how a job is done (`job_run`), who is next (`job_turns`), what is left of ended ones
(`job_tidying`), SQL.

Every change of a state is a row first, and what runs follows the rows: a kill at any time changes nothing.
A job that has to wait for something doesn't run meanwhile, so that another one can.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from loguru import logger

from appliance.errors import (
    ApplianceError,
    CapacityError,
    DrainingError,
    NoWorkersError,
    VoiceNotFoundError,
)
from appliance.metrics import GatewayMetrics
from appliance.settings import Settings
from appliance.store import jobs
from appliance.store.database import Database
from appliance.store.errors import StorageError, storage_error
from appliance.store.jobs import Row
from appliance.voices import Voice
from processes.gateway.encoding import EncoderThreads
from processes.gateway.job_bounds import bytes_with_one_more
from processes.gateway.job_folder import JobFolder
from processes.gateway.job_making import JobTry
from processes.gateway.job_progress import Progress, described
from processes.gateway.job_run import JobRun
from processes.gateway.job_speaker import JobSpeaker
from processes.gateway.job_tidying import JobTidying
from processes.gateway.job_turns import JobTurns

LOOK_S = 1.0
"""Seconds between two looks at the rows."""
THREADS = 2
INTAKES = 2
"""Texts that are taken in at a time: each takes up to some 50 MB of memory for a moment, SSML up to 150."""


class Work(NamedTuple):
    """A job that runs."""

    task: asyncio.Task[None]
    owner: str
    progress: Progress


class JobRunner:
    """Runs jobs; `run` is its life."""

    def __init__(
        self,
        settings: Settings,
        metrics: GatewayMetrics,
        speaker: JobSpeaker,
        find_voice: Callable[[str], Voice],
        database: Callable[[], Database],
        age_limit_s: Callable[[float], float],
    ) -> None:
        """Take what it works with; nothing runs yet.

        Args:
            settings: How many jobs, for how long, where.
            metrics: Count jobs.
            speaker: Speaks.
            find_voice: Finds a voice by its name, or raises `VoiceNotFoundError` or `NoWorkersError`.
            database: Gives the open database, or raises `StorageError`.
            age_limit_s: As `Retention.age_limit_s`.
        """
        self._settings = settings
        self._metrics = metrics
        self._speaker = speaker
        self._find_voice = find_voice
        self._database = database
        self._works: dict[str, Work] = {}
        self._turns = JobTurns()
        self._is_waiting = False
        self._wakeup = asyncio.Event()
        self._news = asyncio.Event()
        self._changes: set[asyncio.Task[Row | None]] = set()
        self.threads = EncoderThreads(THREADS)
        """Where files of jobs are read and written; apart from listeners' encoders."""
        self._tidying = JobTidying(settings, self.threads, self.folder, age_limit_s)
        self._intakes = asyncio.Semaphore(INTAKES)
        self._clients_intake: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.acceptance = asyncio.Lock()
        """Held from the look at what others need to the row, so that no space is promised twice."""

    @property
    def database(self) -> Database:
        """The open database.

        Raises:
            StorageError: It isn't open.
        """
        return self._database()

    @property
    def news(self) -> asyncio.Event:
        """Set as soon as any job has changed; another one is there afterwards."""
        return self._news

    @asynccontextmanager
    async def intake(self, client: str) -> AsyncGenerator[None, None]:
        """Lend a place where a text is taken in; one for each client, so that none keeps others out."""
        own = self._clients_intake.setdefault(client, asyncio.Lock())
        async with own, self._intakes:
            yield

    def folder(self, job_id: str) -> JobFolder:
        """Return a job's folder, by an id that stands in a row."""
        return JobFolder(self._settings.data.dir, job_id, self._settings.disk.refuse_ratio)

    def describe(self, row: Row) -> dict[str, Any]:
        """Return what a job looks like now."""
        work = self._works.get(row["id"])
        held_by = self._turns.held_by(row["id"], time.monotonic())
        if work is None:
            return described(row, None, held_by or self._lack(row["voice"]))
        return described(row, work.progress, held_by)

    def wake(self) -> None:
        """Look at the rows at once, and tell who watches."""
        self._wakeup.set()
        self.tell()

    def tell(self) -> None:
        """Tell who watches that a job has changed."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def run(self) -> None:
        """Run jobs until cancelled."""
        try:
            while True:
                self._wakeup.clear()
                try:
                    await self._look()
                except StorageError:
                    pass  # the store's keeper says it; a row that can't be read now can be later
                except OSError as error:
                    logger.warning("jobs_not_tidied", error=str(error))
                self._tell_progress()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._wakeup.wait()
                except TimeoutError:
                    continue
        finally:
            # Beside each other: the work has to end before the workers do, which would fail it.
            await asyncio.gather(self._stop(list(self._works)), *self._changes, return_exceptions=True)
            self.threads.close()

    async def change(self, job_id: str, change: str, reason: str = "") -> Row | None:
        """Pause, resume, retry, cancel or delete a job; what it does is over when this returns.

        Once its row has changed all that follows is done, even where the caller is cancelled meanwhile.

        Args:
            job_id: The job.
            change: As of `jobs.change_job`.
            reason: Why, for a cancel.

        Raises:
            StorageError: Nothing has changed.
            TooManyOwnJobsError, TooManyJobsError, StoreFullError: It can't be tried again now.
        """
        work = asyncio.create_task(self._change(job_id, change, reason))
        self._changes.add(work)
        work.add_done_callback(self._changes.discard)
        return await asyncio.shield(work)

    async def _change(self, job_id: str, change: str, reason: str) -> Row | None:
        if change == "retry":
            row = await self._retry(job_id)
        else:
            row = await jobs.change_job(self.database, change, job_id, reason)
        if row is None:
            return None
        if change in ("pause", "cancel"):
            await self._stop([job_id])
        if change == "delete":
            await self._until_over([job_id])  # what an earlier cancel may still wait for, or has just ended
        self._turns.forget(job_id)
        if change in ("cancel", "delete"):
            await self.threads.run(self.folder(job_id).remove)
        if change == "cancel":
            self._ended(row)
        self.wake()
        return row

    async def _retry(self, job_id: str) -> Row | None:
        """Let a job that has failed wait once more, within the bounds of a new one."""
        database, folder = self.database, self.folder(job_id)
        async with self.acceptance:
            row = await jobs.find_job(database, job_id)
            if row is None or row["state"] != "failed":
                return None
            needed_bytes = await bytes_with_one_more(
                database, self._settings.jobs, row["owner"], jobs.bytes_to_come(row)
            )
            try:
                await self.threads.run(lambda: folder.check_room(needed_bytes))
            except OSError as error:
                raise await asyncio.to_thread(storage_error, error, self._settings.data.dir) from error
            return await jobs.change_job(database, "retry", job_id)

    async def _look(self) -> None:
        """Start what may run, and clear up now and then."""
        database = self.database
        counts = await jobs.count_unfinished(database)
        for state, count in counts.items():
            self._metrics.jobs.labels(state).set(count)
        self._is_waiting = counts["queued"] + counts["running"] > 0
        await self._start_next(database)
        for job_id in await self._tidying.look(database, self._works):
            await self.change(job_id, "delete")

    async def _start_next(self, database: Database) -> None:
        """Start jobs that can be done now, as many as may run."""
        free, now_s = self._settings.jobs.running - len(self._works), time.monotonic()
        if free <= 0 or self._turns.is_resting(now_s):
            return
        silent = [voice for voice in await jobs.list_waiting_voices(database) if self._lack(voice)]
        passed_over = [*self._works, *self._turns.held(now_s)]
        waiting = await jobs.list_next(database, free, silent=silent, passed_over=passed_over)
        for _ in range(free):
            row = self._turns.choose(waiting, [work.owner for work in self._works.values()], time.monotonic())
            if row is None:
                return
            waiting.remove(row)
            self._start(row["id"], row["owner"])

    def _start(self, job_id: str, owner: str) -> None:
        progress = Progress()
        task = asyncio.create_task(self._work(job_id, progress))
        self._works[job_id] = Work(task, owner, progress)
        task.add_done_callback(lambda _: self._forget(job_id))

    def _lack(self, voice_id: str) -> str:
        """Return the code of what a voice's jobs have to wait for, or nothing."""
        try:
            self._speaker.check(self._find_voice(voice_id).engine)
        except CapacityError as error:
            return error.code
        except VoiceNotFoundError:
            return ""  # which is what the job fails for
        return ""

    async def _work(self, job_id: str, progress: Progress) -> None:
        """Do a job to its end, until it has to wait for what passes, or until it is stopped."""
        try:
            await self._try(job_id, progress)
        except (StorageError, OSError, CapacityError) as error:
            await self._hold(job_id, progress, error)
        except ApplianceError as error:
            await self._fail(job_id, error)
        except Exception as error:  # noqa: BLE001 (whatever it is, the job ends in one state)
            logger.opt(exception=error).error("job_crashed", job=job_id)
            await self._fail(job_id, ApplianceError())

    async def _try(self, job_id: str, progress: Progress) -> None:
        database, folder = self.database, self.folder(job_id)
        await self.threads.run(folder.forget_leftovers)  # first: they may be what fills the disk
        await self.threads.run(folder.check_room)  # before anything is spoken that couldn't be kept
        row = await jobs.change_job(database, "begin", job_id)
        if row is None:
            return  # paused or cancelled meanwhile
        result = await self.threads.run(folder.find_result)  # of a later row, before a backup was put back
        if result is not None:
            row = await jobs.complete_job(database, row, result)
        else:
            voice = self._find_voice(row["voice"])
            job_try = JobTry(row, database, folder, self._speaker, self.threads, progress)
            row = await JobRun(job_try).run(voice, self._settings.text.pause_s)
        if row is not None:
            self._ended(row)
            await self.threads.run(folder.forget_spoken)

    async def _hold(self, job_id: str, progress: Progress, error: ApplianceError | OSError) -> None:
        """Let a job wait, and say once what for; its place is another's."""
        if isinstance(error, OSError):
            error = await asyncio.to_thread(storage_error, error, self._settings.data.dir)
        is_news = self._turns.hold(
            job_id,
            error.code,
            time.monotonic(),
            has_gone_on=progress.has_gone_on,
            is_everybodys=isinstance(error, StorageError | DrainingError),
        )
        if is_news:
            logger.warning("job_held", job=job_id, code=error.code, reason=error.message)
        with suppress(StorageError):  # where the row stays as it is, the job goes on all the same
            await jobs.change_job(self.database, "queue", job_id)

    async def _fail(self, job_id: str, error: ApplianceError) -> None:
        """End a job as failed, as soon as that can be written."""
        while True:
            try:
                row = await jobs.change_job(self.database, "fail", job_id, error.code)
            except StorageError:
                await asyncio.sleep(LOOK_S)
            else:
                if row is not None:
                    self._ended(row, error.message)
                return

    def _ended(self, row: Row, message: str = "") -> None:
        """Count a job's end, which its row has already."""
        self._turns.forget(row["id"])
        self._metrics.jobs_finished.labels(row["state"]).inc()
        logger.info(
            "job_finished",
            job=row["id"],
            outcome=row["state"],
            reason=row["reason"],
            message=message,
            chars=row["chars"],
            utterances=row["utterances"],
            audio_s=round(row["audio_s"], 3),
            bytes=row["bytes"],
        )

    def _forget(self, job_id: str) -> None:
        self._works.pop(job_id, None)
        self.wake()

    def _tell_progress(self) -> None:
        if self._is_waiting or self._works:
            self.tell()

    async def _stop(self, job_ids: list[str]) -> None:
        """End the work at some jobs and wait for that; their rows say what becomes of them."""
        for job_id in job_ids:
            if job_id in self._works:
                self._works[job_id].task.cancel()
        await self._until_over(job_ids)

    async def _until_over(self, job_ids: list[str]) -> None:
        """Wait until nobody works at some jobs any more."""
        tasks = [self._works[job_id].task for job_id in job_ids if job_id in self._works]
        await asyncio.gather(*tasks, return_exceptions=True)


def voice_finder(
    resolve: Callable[[str], Voice], are_engines_known: Callable[[], bool]
) -> Callable[[str], Voice]:
    """Return what finds a voice, and tells one that nobody has from one that nobody has told yet.

    Args:
        resolve: Finds it among those that are known.
        are_engines_known: Whether every engine has told its voices.
    """

    def find(voice_id: str) -> Voice:
        try:
            return resolve(voice_id)
        except VoiceNotFoundError:
            if are_engines_known():
                raise
            raise NoWorkersError from None

    return find
