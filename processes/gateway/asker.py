"""Who asks for speech, whichever protocol it came by.

Owns: what a request's record, its queue and its trace need to know of that.
Refuses to know: what is asked for, what an answer looks like.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from processes.gateway.gateway import GATEWAY_KEY, Gateway
from processes.gateway.middleware import ARRIVED_KEY, REQUEST_ID_KEY, TRACE_KEY
from processes.gateway.request_trace import RequestTrace


@dataclass(frozen=True, slots=True)
class Asker:
    """One request's."""

    gateway: Gateway
    client: str
    """In whose turn it waits."""
    request_id: str
    arrived_at_s: float
    """Monotonic."""
    trace: RequestTrace | None = None
    """Where the request is traced."""


def asker_of(request: web.Request) -> Asker:
    """Return who asks by HTTP."""
    gateway = request.app[GATEWAY_KEY]
    client = gateway.access.client(request)
    return Asker(gateway, client, request[REQUEST_ID_KEY], request[ARRIVED_KEY], request.get(TRACE_KEY))
