"""The least number of rows, noted while the gateway runs.

Owns: that a floor is noted and lowered in turn with whoever deletes jobs, so that it is
never above what there is.
Refuses to know: the file that it is noted in, and what a lost row means (`check`).
"""

from __future__ import annotations

import asyncio

from appliance.store.check import JOBS, lower_floor, note_floor
from appliance.store.database import Database, Transaction
from appliance.store.errors import storage_errors


async def note_rows(database: Database, rows: dict[str, int]) -> None:
    """Note how many rows each table has at least; of jobs those that there are now, whatever is given.

    Args:
        database: The open database.
        rows: Number of rows by table; before some are deleted, what will be left of them.

    Raises:
        OSError: It can't be written.
        StorageError: Jobs can't be counted.
    """
    async with database.transaction() as transaction:
        jobs = await _count_jobs(transaction)
        await asyncio.to_thread(note_floor, database.path, {**rows, JOBS: jobs})


async def note_deleted_job(database: Database, transaction: Transaction) -> None:
    """Note how many jobs there are, in the transaction that has deleted one and before it is committed.

    Mostly nothing is written: a floor is half of what there was a minute ago.

    Raises:
        StorageError: The job may not be deleted.
    """
    await asyncio.to_thread(_lower, database, await _count_jobs(transaction))


def _lower(database: Database, jobs: int) -> None:
    with storage_errors(database.path.parent):
        lower_floor(database.path, JOBS, jobs)


async def _count_jobs(transaction: Transaction) -> int:
    ((count,),) = await transaction.execute("count_jobs")
    return int(count)
