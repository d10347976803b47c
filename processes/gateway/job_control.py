"""`/v1/jobs` and `/v1/jobs/ID`: what becomes of jobs, and what is done to them.

Owns: who sees which job, lists, pause, resume, retry, cancel.
Refuses to know: how a job is accepted (`job_intake`) and done, and its results (`job_results`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from appliance.errors import InvalidRequestError
from appliance.job_errors import JobDamagedError, JobNotFoundError, JobStateError
from appliance.store.jobs import MAX_JOB, STATES, UNFINISHED, Row, find_job, list_jobs
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.history_list import read_number

JOB_ID = "[0-9a-f]{32}"
"""What stands in a path for a job, as a regular expression."""
CHANGES = "pause|resume|retry|cancel"
MAX_LIMIT = 1_000
TIMES = ("created_at", "started_at", "ended_at")
ROWS_SHOWN_AS = {"running": ("queued", "running"), "paused": ("queued", "running", "paused")}
"""The states of rows that may be shown as one, where that isn't the row's own alone."""
MANY_ROWS = 200
"""Rows read at a time where not all of them are wanted."""


async def find_own(request: web.Request) -> Row:
    """Return the job that a path names, if the caller may see it.

    Raises:
        JobNotFoundError: There is none, or it is somebody else's.
        StorageError: It can't be looked up now.
    """
    gateway = request.app[GATEWAY_KEY]
    row = await find_job(gateway.jobs.database, request.match_info["id"])
    if row is None or not gateway.access.may_see(request, row["owner"]):
        raise JobNotFoundError
    return row


def job_values(gateway: Gateway, row: Row) -> dict[str, Any]:
    """Return a job as JSON-ready values."""
    values = gateway.jobs.describe(row)
    for name in TIMES:
        moment = None if row[name] is None else datetime.fromtimestamp(row[name], UTC)
        values[name] = None if moment is None else moment.isoformat(timespec="milliseconds")
    return values


@guarded(AccessRules.check_jobs)
async def get_jobs(request: web.Request) -> web.Response:
    """List jobs, the newest first, a page at a time: all for operators, else the caller's own."""
    gateway = request.app[GATEWAY_KEY]
    state = request.query.get("state")
    if state is not None and state not in STATES:
        raise InvalidRequestError(f"state must be one of {', '.join(STATES)}", param="state")
    limit = read_number(request, "limit", 100, MAX_LIMIT)
    before = read_number(request, "before", MAX_JOB, MAX_JOB)
    is_operator = gateway.access.is_operator(request)
    owner = None if is_operator else gateway.access.owner(request)
    found = await _shown_as(gateway, owner, state, before, limit + 1)
    page = found[:limit]
    has_more = len(found) > limit
    return json_response(
        {
            "object": "list",
            "data": [values for _, values in page],
            "has_more": has_more,
            "next_before": page[-1][0] if has_more else None,
        }
    )


async def _shown_as(
    gateway: Gateway, owner: str | None, state: str | None, before: int, limit: int
) -> list[tuple[int, dict[str, Any]]]:
    """Return jobs that are shown in a state, with their numbers, the newest first.

    What a job that hasn't ended is shown as isn't in its row alone, so up to all such rows are looked at.

    Raises:
        StorageError: They can't be read now.
    """
    found: dict[int, dict[str, Any]] = {}
    database, batch = gateway.jobs.database, max(limit, MANY_ROWS) if state in UNFINISHED else limit
    for row_state in ROWS_SHOWN_AS.get(state or "", (state,)):
        at, count = before, 0
        while count < limit:
            rows = await list_jobs(database, owner=owner, state=row_state, before=at, limit=batch)
            shown = [(row["job"], job_values(gateway, row)) for row in rows]
            wanted = [each for each in shown if state in (None, each[1]["state"])]
            found.update(wanted)
            if len(rows) < batch:
                break
            at, count = rows[-1]["job"], count + len(wanted)
    return sorted(found.items(), key=lambda each: each[0], reverse=True)[:limit]


@guarded(AccessRules.check_api_key)
async def get_job(request: web.Request) -> web.Response:
    """Describe a job."""
    gateway, row = request.app[GATEWAY_KEY], await find_own(request)
    values = job_values(gateway, row)
    if row["chapters"] and row["state"] == "completed":
        try:
            values["chapters"] = await gateway.jobs.threads.run(gateway.jobs.folder(row["id"]).read_chapters)
        except JobDamagedError:  # all else is as it was
            values["chapters"] = None
    return json_response(values)


@guarded(AccessRules.check_api_key)
async def post_change(request: web.Request) -> web.Response:
    """Pause, resume, retry or cancel a job."""
    return await _change(request, await find_own(request), request.match_info["change"])


@guarded(AccessRules.check_api_key)
async def delete_job(request: web.Request) -> web.Response:
    """Cancel a job that hasn't ended; delete one that has, with its audio."""
    row = await find_own(request)
    return await _change(request, row, "cancel" if row["state"] in UNFINISHED else "delete")


async def _change(request: web.Request, row: Row, change: str) -> web.Response:
    """Change a job as asked, and nothing else: one that has ended meanwhile keeps its audio.

    Raises:
        JobNotFoundError: It was deleted meanwhile.
        JobStateError: The state in which it is by now doesn't allow it.
        StorageError: Nothing has changed.
        TooManyOwnJobsError, TooManyJobsError: It can't be tried again now.
    """
    gateway = request.app[GATEWAY_KEY]
    by = "operator" if gateway.access.is_operator(request) else "client"
    changed = await gateway.jobs.change(row["id"], change, by)
    if changed is None:
        state = (await find_own(request))["state"]
        raise JobStateError(f"The job's state ({state}) doesn't allow this: {change}")
    return json_response(job_values(gateway, changed))
