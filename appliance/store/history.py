"""The history: a row for each life of the gateway, and one for each request that it accepted.

Owns: the form of a row, what a killed gateway left open, pages of the list, what is deleted when.
Refuses to know: when a request ends and how (the gateway's `record`), and who may read the list.

A request's id holds its run and its number in it, so that the order of ids is the order of acceptance. The
number of accepted requests is also counted where a kill can't undo it (`accepted`). So the next gateway knows
how many rows the killed one owes: `unrecorded`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from appliance.store.database import Database

RUN_SHIFT = 32
"""Bits of an id that count inside of a run. Together with a million runs it fits JSON's 53 bits."""
MAX_ID = (1 << 53) - 1
RUNS_KEPT = 1_000
RUNNING = "running"
STATES = (RUNNING, "completed", "failed", "cancelled", "expired", "interrupted")
"""All but the first are final."""
DELETED_AT_ONCE = 1_000
"""Rows that one transaction deletes, so that nobody waits long for his turn."""


class HistoryRow(NamedTuple):
    """A request, without its id; in the order of the table's columns."""

    request_id: str
    accepted_at: float
    """Wall clock, seconds."""
    ended_at: float | None
    state: str
    ended_by: str
    voice: str
    format: str
    chars: int
    utterances: int
    queue_wait_s: float | None
    ttfa_s: float | None
    synthesis_s: float
    audio_s: float
    total_s: float
    bytes: int
    worker: str
    text: str | None
    """What was spoken, only where `store.history_text` says so."""


class Filter(NamedTuple):
    """Which requests a page of the list shows; None filters nothing."""

    before: int = MAX_ID
    """Ids below this one."""
    limit: int = 100
    state: str | None = None
    voice: str | None = None
    request_id: str | None = None


async def begin_run(database: Database, token: int, left: tuple[int, int]) -> tuple[int, int]:
    """Begin a run, and end those that a kill has left open.

    Args:
        database: The open database.
        token: Tells this run from any other.
        left: What `AcceptedCounter.open` has found.

    Returns:
        The run, and the number of requests that killed runs accepted and have no row for.

    Raises:
        StorageError: Nothing has changed.
    """
    now_s = time.time()
    unrecorded = 0
    async with database.transaction() as transaction:
        ((run,),) = await transaction.execute("begin_run", {"started_at": now_s, "token": token})
        for old in await transaction.execute("list_open_runs", {"run": run}):
            counted = left[1] if left[0] == old["token"] else 0
            accepted = max(old["accepted"], old["recorded"], counted)
            unrecorded += accepted - old["recorded"]
            await transaction.execute("end_run", {"run": old["run"], "ended_at": now_s, "accepted": accepted})
        await transaction.execute("interrupt_running", {"ended_at": now_s, "first_id": run << RUN_SHIFT})
        await transaction.execute("delete_old_runs", {"run": run, "kept": RUNS_KEPT})
    return run, unrecorded


async def rejoin_run(
    database: Database, run: int, token: int, numbers: Collection[int]
) -> tuple[int, set[int]] | None:
    """Go on with a run of this gateway's, in a database that may be another than before or an older one.

    Args:
        database: The open database.
        run: The run.
        token: Tells it from any other.
        numbers: Its requests of which there is more to write; all others' rows are ended.

    Returns:
        How many of its requests have been recorded, and which of `numbers` have a row; None where the
        database doesn't know the run.

    Raises:
        StorageError: Nothing has changed.
    """
    first_id = run << RUN_SHIFT
    ids = json.dumps([first_id | number for number in numbers])
    async with database.transaction() as transaction:
        found = await transaction.execute("find_run", {"run": run, "token": token})
        if not found:
            return None
        rows = await transaction.execute("list_recorded", {"ids": ids})
        await transaction.execute(
            "interrupt_forgotten", {"first_id": first_id, "ids": ids, "ended_at": time.time()}
        )
    return found[0]["recorded"], {row["id"] - first_id for row in rows}


async def record(
    database: Database, run: int, counts: tuple[int, int], rows: Sequence[tuple[int, HistoryRow]]
) -> None:
    """Write rows, each new or in the place of an earlier one of the same number.

    Args:
        database: The open database.
        run: The run.
        counts: Requests that it accepted and rows that it has, with these.
        rows: Each with its number in the run.

    Raises:
        StorageError: None is written.
    """
    first_id = run << RUN_SHIFT
    async with database.transaction() as transaction:
        if rows:
            await transaction.execute_many("put_request", [(first_id | number, *row) for number, row in rows])
        await transaction.execute(
            "count_recorded", {"run": run, "accepted": counts[0], "recorded": counts[1]}
        )


async def end_run(database: Database, run: int, accepted: int) -> None:
    """Close a run's account.

    Raises:
        StorageError: The next gateway will do it.
    """
    async with database.transaction() as transaction:
        await transaction.execute("end_run", {"run": run, "ended_at": time.time(), "accepted": accepted})


async def list_requests(database: Database, wanted: Filter) -> list[dict[str, Any]]:
    """Return requests, the newest first.

    Raises:
        StorageError: They can't be read.
    """
    name = "list_requests" if wanted.request_id is None else "list_requests_by_request_id"
    return [dict(row) for row in await database.read(name, wanted._asdict())]


async def count_unrecorded(database: Database) -> int:
    """Return how many requests of runs that have ended have no row.

    Raises:
        StorageError: It can't be read.
    """
    ((count,),) = await database.read("count_unrecorded")
    return int(count)


async def find_newest_time(database: Database) -> float:
    """Return the wall clock of the newest run, request or job, in seconds; 0 where there is none.

    Raises:
        StorageError: It can't be read.
    """
    ((newest_at,),) = await database.read("find_newest_time")
    return float(newest_at)


async def count_surplus(database: Database, max_age_s: float, max_rows: int) -> tuple[int, int]:
    """Return how many requests are too old, and how many too many beside those.

    Raises:
        StorageError: It can't be read.
    """
    ((rows,),) = await database.read("count_requests")
    ((old,),) = await database.read("count_old_requests", {"accepted_before": time.time() - max_age_s})
    return int(old), max(0, int(rows) - int(old) - max_rows)


async def delete_some(database: Database, max_age_s: float, surplus: tuple[int, int]) -> tuple[int, int]:
    """Delete some of what `count_surplus` has found, and return what is left of it; requests that run stay.

    Raises:
        StorageError: None is deleted.
    """
    old, beyond = surplus
    name, count = ("delete_old_requests", old) if old else ("delete_first_requests", beyond)
    limit = min(count, DELETED_AT_ONCE)
    if limit:
        async with database.transaction() as transaction:
            await transaction.execute(name, {"accepted_before": time.time() - max_age_s, "limit": limit})
    return (old - limit, beyond) if old else (0, beyond - limit)
