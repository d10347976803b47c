"""One client's connection: aiohttp's, but for what it answers before our middleware has seen a request.

Owns: the answer to bytes that aren't a request (a broken or too long line, no Host or two) and to an Expect
that nobody knows; its error shape, its headers and its place in the metrics.
Refuses to know: every request that can be read (`middleware`).
"""

from __future__ import annotations

import uuid
from asyncio import AbstractEventLoop
from typing import Any

from aiohttp import web
from aiohttp.web_exceptions import HTTPException
from loguru import logger

from appliance.errors import ApplianceError, InvalidRequestError
from appliance.metrics import GatewayMetrics
from processes.gateway.answers import FIRST_SERVER_STATUS, error_response
from processes.gateway.app import OTHER_ROUTE
from processes.gateway.audio_answer import cut_off
from processes.gateway.middleware import REQUEST_ID, REQUEST_ID_KEY, SECURITY_HEADERS

UNREADABLE = "The request can't be read: a line of it is broken or too long, or it hasn't exactly one Host"
UNEXPECTED = "Expect may only be 100-continue"


class ClientConnection(web.RequestHandler):
    """aiohttp's connection with our own words for what is wrong."""

    __slots__ = ("_metrics",)

    def __init__(
        self, server: web.Server, metrics: GatewayMetrics, loop: AbstractEventLoop, **options: Any
    ) -> None:
        """Take what aiohttp's connection takes.

        Args:
            server: Which requests go to.
            metrics: Where those that never become requests are counted.
            loop: The running loop.
            options: aiohttp's, for example `keepalive_timeout`.
        """
        super().__init__(server, loop=loop, **options)
        self._metrics = metrics

    @property
    def is_busy(self) -> bool:
        """Whether it has a request that isn't answered yet."""
        return self._request_in_progress or bool(self._messages)

    def force_close(self) -> None:
        """Hang up; called by aiohttp at a stop. An answer in the middle is cut off as such."""
        if self._current_request is not None:
            cut_off(self.transport, self._current_request.version)
        super().force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what can't be read, or what the middleware itself failed on; called by aiohttp.

        Raises:
            ConnectionError: An answer has begun already, so that nothing but hanging up is left.
        """
        super().handle_error(request, status, exc, message)  # it logs, and knows whether an answer has begun
        error = InvalidRequestError(UNREADABLE) if status < FIRST_SERVER_STATUS else ApplianceError()
        return self._refusal(request, error, status)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; called by aiohttp. What aiohttp itself refuses becomes an answer of ours before."""
        if isinstance(resp, HTTPException):
            resp = self._refusal(request, InvalidRequestError(UNEXPECTED), resp.status)
        return await super().finish_response(request, resp, start_time)

    def _refusal(self, request: web.BaseRequest, error: ApplianceError, status: int) -> web.Response:
        if REQUEST_ID_KEY not in request:  # else the middleware has counted it
            given = request.headers.get("X-Request-ID", "")
            request[REQUEST_ID_KEY] = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
            self._metrics.http_requests.labels(OTHER_ROUTE, f"{status // 100}xx").inc()
        request_id = request[REQUEST_ID_KEY]
        logger.info("request_refused", request_id=request_id, status=status, code=error.code)
        response = error_response(error)
        response.set_status(status)
        response.headers.update(SECURITY_HEADERS)
        response.headers.update({"X-Request-ID": request_id, "Server": "tts-appliance"})
        response.force_close()
        return response
