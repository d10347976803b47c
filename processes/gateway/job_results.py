"""What comes of a job: its audio, its captions, and how far it is while it is done.

Owns: answers from files, server-sent events of progress, and what is said before there is a result.
Refuses to know: how a result is made.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Literal

from aiohttp import web

from appliance.audio.files import FILE_TYPES
from appliance.captions import CAPTION_TYPES, CaptionFormat
from appliance.job_errors import JobFilesGoneError, JobNotCompletedError, NoCaptionsError
from appliance.speech import JobFormat
from appliance.store.errors import StorageError, storage_error
from appliance.store.jobs import ENDED, Row, find_job
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import error_body, json_response
from processes.gateway.file_answer import answer_file
from processes.gateway.file_name import disposition
from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.job_audio import captions_name
from processes.gateway.job_control import find_own, job_values
from processes.gateway.job_folder import AUDIO_NAME
from processes.gateway.job_tidying import lose
from processes.gateway.middleware import STOPPING_KEY, add_headers

HEARTBEAT_S = 10.0
"""Seconds after which a comment is sent where nothing has changed: shorter than any proxy's patience."""
LEAST_S = 0.2
"""Seconds between two events."""
COMPLETED = "completed"
Waiting = asyncio.Future[Literal[True]]


@guarded(AccessRules.check_api_key)
async def get_audio(request: web.Request) -> web.StreamResponse:
    """Answer with a job's audio; HEAD, Range, If-Range and If-None-Match work."""
    row = await find_own(request)
    headers = {
        "Content-Type": FILE_TYPES[JobFormat(row["format"])],
        "Content-Disposition": disposition(row["title"] or f"job-{row['id']}", row["format"]),
    }
    return await _file(request, row, AUDIO_NAME, headers)


@guarded(AccessRules.check_api_key)
async def get_job_captions(request: web.Request) -> web.StreamResponse:
    """Answer with a job's captions."""
    row = await find_own(request)
    caption_format = CaptionFormat(request.match_info["kind"])
    if not row["captions"]:
        raise NoCaptionsError
    headers = {"Content-Type": f"{CAPTION_TYPES[caption_format]}; charset=utf-8"}
    return await _file(request, row, captions_name(caption_format), headers)


@guarded(AccessRules.check_api_key)
async def get_events(request: web.Request) -> web.StreamResponse:
    """Tell a job's progress as it comes, to its end."""
    gateway, row = request.app[GATEWAY_KEY], await find_own(request)
    response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    response.charset = "utf-8"
    add_headers(request, response)
    await response.prepare(request)
    stopping: Waiting = asyncio.ensure_future(request.app[STOPPING_KEY].wait())
    try:
        await _tell(gateway, row, response, stopping)
    finally:
        stopping.cancel()
    await response.write_eof()
    return response


async def _tell(gateway: Gateway, row: Row, response: web.StreamResponse, stopping: Waiting) -> None:
    """Write events until the job has ended, is deleted, or the gateway stops; clients come back then."""
    told: dict[str, Any] = {}
    written_at_s = time.monotonic()
    event = gateway.jobs.news  # before each look at the row, so that no change falls in between
    current = await _looked_up(gateway, row)
    while current is not None:
        news: Waiting = asyncio.ensure_future(event.wait())
        try:
            values = job_values(gateway, current)
            has_ended = current["state"] in ENDED
            if values != told:
                name = current["state"] if has_ended else "progress"
                await response.write(_event(name, values))
                told, written_at_s = values, time.monotonic()
            elif time.monotonic() - written_at_s >= HEARTBEAT_S:  # news may all be of other jobs
                await response.write(b": still here\n\n")
                written_at_s = time.monotonic()
            if has_ended:
                return
            left_s = max(0.0, written_at_s + HEARTBEAT_S - time.monotonic())
            await asyncio.wait({news, stopping}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return
        finally:
            news.cancel()
        await asyncio.sleep(LEAST_S)
        event = gateway.jobs.news
        current = await _looked_up(gateway, current)


async def _looked_up(gateway: Gateway, row: Row) -> Row | None:
    """Return a job's row as it is now, or as it was while the database can't be read."""
    try:
        return await find_job(gateway.jobs.database, row["id"])
    except StorageError:
        return row


def _event(name: str, values: dict[str, Any]) -> bytes:
    data = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {data}\n\n".encode("utf-8", "replace")


async def _file(request: web.Request, row: Row, name: str, headers: dict[str, str]) -> web.StreamResponse:
    """Answer with a file of a job that has completed.

    Raises:
        JobFilesGoneError: It isn't there; where the audio isn't, the job's row says so from now on.
        StorageError: It can't be read now.
        PreconditionFailedError: The client wants another one.
    """
    gateway = request.app[GATEWAY_KEY]
    if row["reason"] == JobFilesGoneError.code:
        raise JobFilesGoneError
    if row["state"] != COMPLETED:
        return _unfinished(gateway, row)
    folder, run = gateway.jobs.folder(row["id"]), gateway.jobs.threads.run
    try:
        status = await run(lambda: folder.look_at(name))
    except FileNotFoundError:
        if not await run(folder.has_audio):
            await lose(gateway.jobs.database, row["id"])
        raise JobFilesGoneError from None
    except OSError as error:
        raise await asyncio.to_thread(storage_error, error, gateway.settings.data.dir) from error
    return answer_file(request, folder.path / name, status, {**headers, "Cache-Control": "private, no-cache"})


def _unfinished(gateway: Gateway, row: Row) -> web.Response:
    """Say how far a job is that has no result."""
    job = job_values(gateway, row)
    state = job["state"] if row["state"] in ENDED else f"{job['state']}, {job['progress']:.0%} spoken"
    error = JobNotCompletedError(f"The job hasn't completed: {state}")
    return json_response({**error_body(error), "job": job}, status=error.status)
