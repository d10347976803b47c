"""One client's connection: aiohttp's, but for what it answers before our middleware has seen a request.

Owns: the answer to bytes that aren't a request (a broken or too long line, no Host or two), to a head that
doesn't end and to an Expect that nobody knows; its error shape, headers and place in the metrics; what the
connection waits for and since when, and the ways of ending it.
Refuses to know: every request that can be read (`middleware`), how long is too long (`connection_watch`).

    HEAD --- head whole --> BODY --- body whole --> ANSWER --- answered --> IDLE --- first byte --> HEAD
                                                            `- answered, more bytes are there --> HEAD

aiohttp's parser tells nobody of the beginning of a head that it holds, so bytes are counted here.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import socket
import struct
import termios
import time
import uuid
from asyncio import AbstractEventLoop
from enum import StrEnum
from typing import Any

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_exceptions import HTTPException
from aiohttp.web_protocol import _ErrInfo
from loguru import logger

from appliance.errors import ApplianceError, InvalidRequestError, RequestTimeoutError
from appliance.metrics import GatewayMetrics
from processes.gateway.acceptor import VANISHED_S
from processes.gateway.answers import FIRST_SERVER_STATUS, error_response
from processes.gateway.audio_answer import cut_off, reset
from processes.gateway.caller import PROXY_SOCKET_PEER
from processes.gateway.middleware import OTHER_ROUTE, REQUEST_ID, REQUEST_ID_KEY, SECURITY_HEADERS

UNREADABLE = "The request can't be read: a line of it is broken or too long, or it hasn't exactly one Host"
UNEXPECTED = "Expect may only be 100-continue"
LATE_HEAD = "The request's head took too long to come"
LATE_BODY = "The request's body took too long to come"
BODY_BYTES_PER_S = 65_536
"""A body that comes as fast is never late, however large it is."""
BOUGHT_S = 600.0
"""What the bytes of a body buy at most, since nobody counts those before a form's first part."""
HEAD_END = b"\r\n\r\n"
"""How a request without Content-Length ends: by its head or its last chunk. Source: RFC 9112, 2.1 and 7.1."""
TCP_INFO = struct.Struct("=24xI92xQ16xI")
"""`tcpi_unacked` (segments), `tcpi_bytes_acked`, `tcpi_notsent_bytes`. Source: linux/tcp.h, `tcp_info`."""


class Stage(StrEnum):
    """What a connection waits for."""

    HEAD = "head"
    """The rest of a request's head; on a new connection, its beginning."""
    BODY = "body"
    ANSWER = "answer"
    IDLE = "idle"
    """Another request, of which nothing has come."""


class ClientConnection(web.RequestHandler):
    """aiohttp's connection with our own words for what is wrong."""

    __slots__ = (
        "_acked_bytes",
        "_awaits_head",
        "_body_left_bytes",
        "_bought_s",
        "_has_begun",
        "_is_full",
        "_last_bytes",
        "_metrics",
        "_payload",
        "_stuck_since_s",
        "_wire",
        "peer",
        "since_s",
    )

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
        self._wire: asyncio.Transport | None = None  # aiohttp forgets its own as soon as it closes
        self._payload: StreamReader = EMPTY_PAYLOAD
        self._awaits_head = True
        self._has_begun = False
        self._last_bytes = HEAD_END
        self._body_left_bytes: int | None = None
        self._bought_s = 0.0
        self._stuck_since_s: float | None = None
        self._is_full = False
        self._acked_bytes = 0
        self.peer = ""
        """The other side's address; `PROXY_SOCKET_PEER` on any Unix socket."""
        self.since_s = time.monotonic()
        """Monotonic time: when the wait for this head or this body began; later where a body comes."""

    @property
    def is_busy(self) -> bool:
        """Whether it has a request that isn't answered yet."""
        # While aiohttp waits for nothing, it is about to take up a request, or about to end.
        return bool(self._messages) or (self._request_count > 0 and self._waiter is None)

    @property
    def stage(self) -> Stage:
        """What it waits for."""
        is_ending = self.transport is None  # what is left of the answer is still sent
        if not is_ending and not self._payload.is_eof():
            return Stage.BODY
        if is_ending or self.is_busy:
            return Stage.ANSWER
        return Stage.HEAD if self._awaits_head or self._has_more else Stage.IDLE

    @property
    def has_begun(self) -> bool:
        """Whether a part of a head has come."""
        return self._has_begun or self._has_more

    @property
    def _has_more(self) -> bool:
        """Whether bytes have come behind the newest request."""
        if self._body_left_bytes is None:
            return self._last_bytes != HEAD_END
        return self._body_left_bytes < 0

    @property
    def is_held(self) -> bool:
        """Whether it is we who read nothing for the moment."""
        return self._reading_paused or self._buffer_paused

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head; called by the loop."""
        super().connection_made(transport)
        self._wire = self.transport
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else PROXY_SOCKET_PEER

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take note of the end; called by the loop."""
        self._wire = None
        if isinstance(exc, TimeoutError):
            self._metrics.http_connections_closed.labels("vanished").inc()
            logger.info("connections_closed", reason="vanished", count=1, peer=self.peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; called by the loop."""
        known = self._request_count
        super().data_received(data)
        last_bytes = self._last_bytes
        self._last_bytes = data[-4:] if len(data) >= len(HEAD_END) else (last_bytes + data)[-4:]
        if self._request_count != known:
            self._note_request()
            self._body_left_bytes = self._left_bytes(last_bytes[1:] + data, self._request_count - known)
            return
        if self._body_left_bytes is not None:
            self._body_left_bytes -= len(data)
        if not self._payload.is_eof():
            self._buy_time(len(data))
        if data and self._payload.is_eof() and not self.is_busy:
            if not self._awaits_head:
                self._awaits_head, self.since_s = True, time.monotonic()
            self._has_begun = True

    def _buy_time(self, size_bytes: int) -> None:
        """Give a client whose body comes the time that it takes; never more than it had at the beginning."""
        lost_s = time.monotonic() - self.since_s
        bought_s = max(0.0, min(size_bytes / BODY_BYTES_PER_S, lost_s, BOUGHT_S - self._bought_s))
        self._bought_s += bought_s
        self.since_s += bought_s

    def _left_bytes(self, data: bytes, new: int) -> int | None:
        """Return how much of the newest request's body hasn't come; None where its end shows by itself.

        Less than none: bytes behind it. So it is too where requests with bodies come in one piece, which no
        client of today does: such a connection just isn't kept for long.
        """
        message = self._messages[-1][0]
        if isinstance(message, _ErrInfo) or message.chunked or self._payload is EMPTY_PAYLOAD:
            return None
        length = message.headers.get("Content-Length")
        if length is None:
            return None
        end = data.find(HEAD_END)
        return -1 if new > 1 or end < 0 else int(length) - (len(data) - end - len(HEAD_END))

    def _note_request(self) -> None:
        """Note that the newest request's head is whole, so that only its body can be missing."""
        if self._messages:
            self._payload = self._messages[-1][1]
        self._awaits_head = self._has_begun = False
        self._bought_s = 0.0
        self.since_s = time.monotonic()

    def forgive(self, late_s: float) -> None:
        """Leave out of the client's time what this process slept.

        Args:
            late_s: Seconds.
        """
        self.since_s += late_s
        if self._stuck_since_s is not None:
            self._stuck_since_s += late_s

    def stuck_s(self, now_s: float, limit_s: float) -> float:
        """Return for how long there have been bytes to send of which the client took none.

        Doesn't block.

        Args:
            now_s: Monotonic time.
            limit_s: How long that may be. The kernel is told to bear as long with a client that is there and
                whose buffer is full; by itself it would end the connection after `VANISHED_S`.
        """
        if self._wire is None:
            return 0.0
        connection = self._wire.get_extra_info("socket")
        if connection.family == socket.AF_UNIX:
            return self._stuck_on_unix_s(connection, self._wire.get_write_buffer_size(), now_s)
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size)
        unacked, acked_bytes, unsent_bytes = TCP_INFO.unpack(info)
        if not (unacked or unsent_bytes or self._wire.get_write_buffer_size()):
            self._stuck_since_s = None
            return 0.0
        if self._stuck_since_s is None or acked_bytes != self._acked_bytes:
            self._stuck_since_s, self._acked_bytes = now_s, acked_bytes
        is_full = not unacked  # the client has confirmed everything, and there is no room for more
        if is_full != self._is_full:
            self._is_full = is_full
            patience_ms = round(1000 * (max(limit_s, VANISHED_S) if is_full else VANISHED_S))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_ms)
        return now_s - self._stuck_since_s

    def _stuck_on_unix_s(self, connection: socket.socket, buffered_bytes: int, now_s: float) -> float:
        """As `stuck_s`, by what a proxy hasn't read yet."""
        left = array.array("i", [0])
        fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, left)  # Source: linux/net/unix, SIOCOUTQ
        left_bytes = left[0] + buffered_bytes
        if not left_bytes:
            self._stuck_since_s = None
            return 0.0
        if self._stuck_since_s is None or left_bytes != self._acked_bytes:
            self._stuck_since_s, self._acked_bytes = now_s, left_bytes
        return now_s - self._stuck_since_s

    def end_late_head(self) -> None:
        """Answer 408 to a head that doesn't end, or just hang up where nothing has come."""
        if not self.has_begun:
            self.force_close()
            return
        error = RequestTimeoutError(LATE_HEAD)
        self._request_count += 1
        self._messages.append((_ErrInfo(error.status, error, error.message), EMPTY_PAYLOAD))
        self._note_request()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end_late_body(self) -> None:
        """Fail the reading of a body that doesn't end; where nobody reads it, hang up."""
        payload, self._payload = self._payload, EMPTY_PAYLOAD
        self._lingering_time = 0.0  # else aiohttp would go on to wait for the rest
        if self._request_in_progress or self._messages:
            payload.set_exception(RequestTimeoutError(LATE_BODY))
        else:
            self.force_close()

    def reset(self) -> None:
        """Hang up at once, throwing away what the client hasn't taken."""
        if self._wire is not None:
            reset(self._wire)

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
        if isinstance(exc, RequestTimeoutError):
            return self._refusal(request, exc, status)
        super().handle_error(request, status, exc, message)  # it logs, and knows whether an answer has begun
        error = InvalidRequestError(UNREADABLE) if status < FIRST_SERVER_STATUS else ApplianceError()
        return self._refusal(request, error, status)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; called by aiohttp. What aiohttp itself refuses becomes an answer of ours before."""
        if isinstance(resp, HTTPException):
            resp = self._refusal(request, InvalidRequestError(UNEXPECTED), resp.status)
        known = self._request_count
        finished = await super().finish_response(request, resp, start_time)
        if self._request_count != known:  # what lay behind a request for an upgrade
            self._note_request()
        elif not self._messages and self._has_more:
            self._awaits_head, self.since_s = True, time.monotonic()
        return finished

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
