"""Jobs: one row for each that was accepted, one for each of its utterances that lies on the disk.

Owns: which state follows which, each change in one transaction, so that a job ends exactly once.
Refuses to know: how a job is done, its files (the gateway's `job_…`), and who may ask for it.

    queued ──▶ running ──▶ completed
       ▲ ╲       │ ▲  ╲──▶ failed ──retry──▶ queued
       │  ╲──▶ paused │
       ╰──resume─╯    ╰── after a kill or a restart it goes on
    running ──it has to wait for something──▶ queued
    whatever hasn't ended ──▶ cancelled          completed, but its audio is gone ──▶ failed
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from appliance.store.database import Database, Transaction
from appliance.store.floor import note_deleted_job

UNFINISHED = ("queued", "running", "paused")
ENDED = ("completed", "failed", "cancelled")
STATES = (*UNFINISHED, *ENDED)
MAX_JOB = (1 << 53) - 1
Row = Mapping[str, Any]


class NewJob(NamedTuple):
    """What is stored of a job when it is accepted; its text lies on the disk by then."""

    id: str
    """32 hexadecimal digits that nobody can guess."""
    owner: str
    """Hash of the API key that it was asked for with; empty without keys."""
    idempotency_key: str | None
    order_sha256: str
    """Of all that was asked for: tells another order under the same key."""
    voice: str
    format: str
    speed: float
    pitch: float
    volume: float
    input_type: str
    make_speakable: bool
    spell_out: bool
    captions: bool
    chapters: bool
    chars: int
    pcm_bytes: int
    """That its utterances are expected to take until it has ended."""
    result_bytes: int
    """Likewise, of its audio."""
    title: str


class DoneUtterance(NamedTuple):
    """An utterance whose audio is on the disk."""

    number: int
    """Place in the job, from 0."""
    name: str
    """Of its record in the job's pack."""
    sha256: str
    """Of the record's head, which holds a checksum of the rest."""
    audio_s: float


class JobResult(NamedTuple):
    """What has come of a completed job."""

    audio_s: float
    size_bytes: int
    utterances: int


async def add_job(database: Database, job: NewJob) -> tuple[Row, bool]:
    """Accept a job: it is on the disk when this returns.

    Returns:
        The row, and whether it is a new one; it isn't where there is one with the idempotency key.

    Raises:
        StorageError: It isn't accepted.
    """
    values = {**job._asdict(), "created_at": time.time()}
    async with database.transaction() as transaction:
        if job.idempotency_key is not None:
            found = await transaction.execute("find_job_by_idempotency_key", values)
            if found:
                return dict(found[0]), False
        (row,) = await transaction.execute("put_job", values)
    return dict(row), True


async def find_job(database: Database, job_id: str) -> Row | None:
    """Return a job's row, if there is one.

    Raises:
        StorageError: It can't be read.
    """
    rows = await database.read("find_job", {"id": job_id})
    return dict(rows[0]) if rows else None


async def find_repeated(database: Database, owner: str, idempotency_key: str) -> Row | None:
    """Return the job that was accepted under an idempotency key, if there is one.

    Raises:
        StorageError: It can't be read.
    """
    values = {"owner": owner, "idempotency_key": idempotency_key}
    rows = await database.read("find_job_by_idempotency_key", values)
    return dict(rows[0]) if rows else None


async def list_jobs(
    database: Database, *, owner: str | None, state: str | None, before: int, limit: int
) -> list[Row]:
    """Return jobs, the newest first; an owner or a state of None filters nothing.

    Raises:
        StorageError: They can't be read.
    """
    values = {"owner": owner, "state": state, "before": before, "limit": limit}
    return [dict(row) for row in await database.read("list_jobs", values)]


async def list_next(
    database: Database, limit: int, *, silent: Iterable[str] = (), passed_over: Iterable[str] = ()
) -> list[Row]:
    """Return id and owner of the jobs that are to run: first those that did, then the others in their order.

    Args:
        database: The open database.
        limit: Most jobs of each owner.
        silent: Voices that can't speak now.
        passed_over: Ids of jobs that are left out.

    Raises:
        StorageError: They can't be read.
    """
    values = {"limit": limit, "silent": json.dumps([*silent]), "passed_over": json.dumps([*passed_over])}
    return [dict(row) for row in await database.read("list_next_jobs", values)]


async def list_waiting_voices(database: Database) -> list[str]:
    """Return the voices of the jobs that are to run or do.

    Raises:
        StorageError: They can't be read.
    """
    return [row["voice"] for row in await database.read("list_waiting_voices")]


async def count_unfinished(database: Database) -> dict[str, int]:
    """Return the number of jobs in each state that isn't an end.

    Raises:
        StorageError: They can't be read.
    """
    counts = {row["state"]: row["count"] for row in await database.read("count_unfinished_jobs")}
    return {state: counts.get(state, 0) for state in UNFINISHED}


async def count_unfinished_of(database: Database, owner: str) -> int:
    """Return the number of an owner's jobs that haven't ended.

    Raises:
        StorageError: They can't be read.
    """
    ((count,),) = await database.read("count_unfinished_jobs_of_owner", {"owner": owner})
    return int(count)


async def sum_bytes_to_come(database: Database) -> float:
    """Return the bytes that all unfinished jobs are still expected to write.

    Raises:
        StorageError: They can't be read.
    """
    ((bytes_,),) = await database.read("sum_bytes_to_come")
    return float(bytes_)


def bytes_to_come(row: Row) -> float:
    """Return the bytes that a job is still expected to write, as `sum_bytes_to_come` counts them."""
    undone = 1.0 - row["done"] / row["utterances"] if row["utterances"] else 1.0
    return float(row["result_bytes"] + row["pcm_bytes"] * undone)


async def change_job(database: Database, change: str, job_id: str, reason: str = "") -> Row | None:
    """Bring a job into another state, if it is in one from which that goes.

    Args:
        database: The open database.
        change: `begin`, `queue`, `pause`, `resume`, `retry`, `cancel`, `fail`, `lose` (its result) or
            `delete`.
        job_id: The job.
        reason: Why it is cancelled, has failed or is lost.

    Returns:
        The row as it is now, or was if it is deleted; None where nothing has changed.

    Raises:
        StorageError: Nothing has changed.
    """
    values = {"id": job_id, "reason": reason, "now": time.time()}
    async with database.transaction() as transaction:
        rows = await transaction.execute(f"{change}_job", values)
        if rows and change == "cancel":
            await _forget_utterances(transaction, rows[0]["job"])
        elif rows and change == "delete":
            await note_deleted_job(database, transaction)
    return dict(rows[0]) if rows else None


async def complete_job(database: Database, row: Row, result: JobResult) -> Row | None:
    """Note that a job's audio is on the disk; its utterances aren't needed any more.

    Raises:
        StorageError: Nothing has changed.
    """
    values = {"id": row["id"], "now": time.time(), **result._asdict()}
    async with database.transaction() as transaction:
        rows = await transaction.execute("complete_job", values)
        if rows:
            await _forget_utterances(transaction, row["job"])
    return dict(rows[0]) if rows else None


async def note_utterance_count(database: Database, job: int, utterances: int) -> None:
    """Note how many utterances a job has.

    Raises:
        StorageError: Nothing has changed.
    """
    async with database.transaction() as transaction:
        await transaction.execute("count_job_utterances", {"job": job, "utterances": utterances})


async def record_utterances(
    database: Database, job: int, utterances: Sequence[DoneUtterance], done: int, audio_s: float
) -> None:
    """Note utterances whose audio is on the disk.

    Args:
        database: The open database.
        job: The job's number.
        utterances: Those that are new.
        done: How many there are with them.
        audio_s: Seconds of audio of all.

    Raises:
        StorageError: None is noted.
    """
    async with database.transaction() as transaction:
        rows = [{"job": job, **each._asdict()} for each in utterances]
        await transaction.execute_many("put_job_utterance", rows)
        await transaction.execute("note_job_progress", {"job": job, "done": done, "audio_s": audio_s})


async def list_utterances(database: Database, job: int, first: int, limit: int) -> list[DoneUtterance]:
    """Return utterances that are on the disk, in order.

    Raises:
        StorageError: They can't be read.
    """
    values = {"job": job, "first": first, "limit": limit}
    return [DoneUtterance(*row) for row in await database.read("list_job_utterances", values)]


async def sum_utterances(database: Database, job: int) -> tuple[int, float]:
    """Return how many utterances of a job are on the disk, and their seconds of audio.

    Raises:
        StorageError: They can't be read.
    """
    ((done, audio_s),) = await database.read("sum_job_utterances", {"job": job})
    return int(done), float(audio_s)


async def list_ended(database: Database, before: int, limit: int) -> list[Row]:
    """Return jobs that have ended and whose number is below one, the newest first.

    Raises:
        StorageError: They can't be read.
    """
    return [dict(row) for row in await database.read("list_ended_jobs", {"before": before, "limit": limit})]


async def list_old(database: Database, max_age_s: float, limit: int) -> list[str]:
    """Return the ids of jobs that ended longer ago than an age.

    Raises:
        StorageError: They can't be read.
    """
    values = {"ended_before": time.time() - max_age_s, "limit": limit}
    return [row["id"] for row in await database.read("list_old_jobs", values)]


async def _forget_utterances(transaction: Transaction, job: int) -> None:
    await transaction.execute("delete_job_utterances", {"job": job})
