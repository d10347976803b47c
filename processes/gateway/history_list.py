"""`GET /v1/history`: what was asked of the appliance, for operators.

Owns: the query parameters, pages, the shape of a request in the list.
Refuses to know: where it is stored (`appliance.store`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from appliance.errors import InvalidRequestError
from appliance.store.history import MAX_ID, STATES, Filter, count_unrecorded, list_requests
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.gateway import GATEWAY_KEY

MAX_LIMIT = 1_000
MAX_TEXT_CHARS = 256
"""Of a voice or a request's id in the query."""
TIMES = ("accepted_at", "ended_at")


@guarded(AccessRules.check_admin)
async def get_history(request: web.Request) -> web.Response:
    """List accepted requests, the newest first, a page at a time."""
    database = request.app[GATEWAY_KEY].store.database
    wanted = read_filter(request)
    # One more than asked for, to see whether there are more.
    rows = await list_requests(database, wanted._replace(limit=wanted.limit + 1))
    page = rows[: wanted.limit]
    return json_response(
        {
            "object": "list",
            "data": [_described(row) for row in page],
            "has_more": len(rows) > len(page),
            "next_before": page[-1]["id"] if len(rows) > len(page) else None,
            "unrecorded": await count_unrecorded(database),
        }
    )


def read_filter(request: web.Request) -> Filter:
    """Return what the query asks for.

    Raises:
        InvalidRequestError: A parameter is out of its bounds.
    """
    state = _text(request, "state")
    if state is not None and state not in STATES:
        raise InvalidRequestError(f"state must be one of {', '.join(STATES)}", param="state")
    return Filter(
        before=read_number(request, "before", MAX_ID, MAX_ID),
        limit=read_number(request, "limit", 100, MAX_LIMIT),
        state=state,
        voice=_text(request, "voice"),
        request_id=_text(request, "request_id"),
    )


def _text(request: web.Request, name: str) -> str | None:
    value = request.query.get(name)
    if value is not None and not 1 <= len(value) <= MAX_TEXT_CHARS:
        raise InvalidRequestError(f"{name} must have 1 to {MAX_TEXT_CHARS} characters", param=name)
    # SQLite takes no lone surrogates, and no row has any.
    return None if value is None else value.encode("utf-8", "replace").decode()


def read_number(request: web.Request, name: str, default: int, most: int) -> int:
    """Return a parameter that is a whole number from 1 on.

    Raises:
        InvalidRequestError: It is out of its bounds.
    """
    value = request.query.get(name)
    if value is None:
        return default
    is_number = value.isascii() and value.isdigit() and len(value) <= len(str(MAX_ID))
    if not is_number or not 1 <= int(value) <= most:
        raise InvalidRequestError(f"{name} must be a whole number from 1 to {most}", param=name)
    return int(value)


def _described(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request as the list shows it; its text only where the history holds texts."""
    values = dict(row)
    for name in TIMES:
        seconds = values[name]
        moment = None if seconds is None else datetime.fromtimestamp(seconds, UTC)
        values[name] = None if moment is None else moment.isoformat(timespec="milliseconds")
    for name, value in values.items():
        if isinstance(value, float):
            values[name] = round(value, 6)
    if values["text"] is None:
        del values["text"]
    return values
