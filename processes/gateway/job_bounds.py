"""Whether one more job may wait for its end: how many there are, and the space that all of them take.

Owns: which bounds hold for a job that is handed in and for one that is tried again.
Refuses to know: where its text comes from, what its row says, and what its client is told.

Whoever asks holds the runner's `acceptance` until there is a row, so that no place is promised twice.
"""

from __future__ import annotations

from appliance.job_errors import TooManyJobsError, TooManyOwnJobsError
from appliance.job_settings import JobsSettings
from appliance.store.database import Database
from appliance.store.jobs import count_unfinished, count_unfinished_of, sum_bytes_to_come
from processes.gateway.return_book import spread

FULL_S = 60.0
"""Seconds after which one who has too many jobs is asked to come back."""


async def bytes_with_one_more(
    database: Database, settings: JobsSettings, owner: str, own_bytes: float
) -> float:
    """See whether there may be one more job; return the bytes that it and all before it will still write.

    Args:
        database: The open database.
        settings: How many there may be.
        owner: Of the one more, as a row has it.
        own_bytes: That it is expected to write.

    Raises:
        TooManyOwnJobsError, TooManyJobsError: There may not, of this owner or at all.
        StorageError: They can't be counted.
    """
    if owner and await count_unfinished_of(database, owner) >= settings.max_unfinished_per_key:
        raise TooManyOwnJobsError(retry_after_s=spread(FULL_S))
    if sum((await count_unfinished(database)).values()) >= settings.max_unfinished:
        raise TooManyJobsError(retry_after_s=spread(FULL_S))
    return await sum_bytes_to_come(database) + own_bytes
