"""Maintenance at an operator's word: who comes is told so, until it is over.

Owns: `/admin/maintenance`, what health paths say of it.
Refuses to know: who is refused (`admission`), the file (`appliance.maintenance`).
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from aiohttp import web
from loguru import logger

from appliance.errors import InvalidRequestError
from appliance.maintenance import MAX_MESSAGE_CHARS, Maintenance, begun_now, write_maintenance
from appliance.store.errors import storage_errors
from processes.gateway.access import AccessRules, guarded
from processes.gateway.answers import json_response
from processes.gateway.body import read_json
from processes.gateway.gateway import GATEWAY_KEY, Gateway

ONE_LINE = re.compile(r"[^\x00-\x1f\x7f]*")


@guarded(AccessRules.check_admin)
async def post_maintenance(request: web.Request) -> web.Response:
    """Begin it, give it another message, or end it: `{"on": true, "message": "back at noon"}`."""
    gateway = request.app[GATEWAY_KEY]
    wanted = _wanted(await read_json(request), gateway.dispatcher.admission.maintenance)
    await asyncio.to_thread(_keep, gateway, wanted)
    gateway.dispatcher.admission.maintenance = wanted
    logger.warning("maintenance_switched", on=wanted is not None)
    if wanted is None:
        gateway.prober.wake()
        gateway.jobs.wake()
    return json_response({"maintenance": described(wanted), "in_flight": gateway.ledger.in_flight})


def described(maintenance: Maintenance | None) -> dict[str, Any] | None:
    """Return maintenance as JSON answers have it; None where there is none."""
    return None if maintenance is None else maintenance.as_dict()


def _wanted(body: dict[str, Any], now: Maintenance | None) -> Maintenance | None:
    """Return what is to be; maintenance that goes on keeps its beginning.

    Raises:
        InvalidRequestError: A field is missing or wrong.
    """
    is_on, message = body.get("on"), body.get("message", "")
    if not isinstance(is_on, bool):
        wrong = "on must be true or false"
        raise InvalidRequestError(wrong, param="on")
    if not isinstance(message, str) or len(message) > MAX_MESSAGE_CHARS or not ONE_LINE.fullmatch(message):
        wrong = f"message must be text on one line, at most {MAX_MESSAGE_CHARS} characters"
        raise InvalidRequestError(wrong, param="message")
    if not is_on:
        return None
    begun = begun_now(message.strip())
    return begun if now is None else Maintenance(begun.message, now.since)


def _keep(gateway: Gateway, maintenance: Maintenance | None) -> None:
    """Write or remove the file; blocks for the disk.

    Raises:
        StorageError: It can't be.
    """
    data_dir = gateway.settings.data.dir
    with storage_errors(data_dir):
        write_maintenance(data_dir, maintenance)
