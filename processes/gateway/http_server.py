"""An HTTP server of the gateway: one on the launcher's TCP socket, another on `run/gateway.sock`.

Owns: what serves where (`run/gateway.sock` has no limits, as only this user reaches it), and the two ways of
ending: let requests finish, cut them short.
Refuses to know: what is answered (`app`, `connection`), when the gateway stops.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import Protocol

from aiohttp import web
from loguru import logger

from appliance.lifecycle import BACKLOG
from processes.gateway.acceptor import Acceptor, queued_connections
from processes.gateway.app import make_app
from processes.gateway.connection import ClientConnection
from processes.gateway.connection_watch import LOOK_S, ConnectionWatch
from processes.gateway.gateway import Gateway
from processes.gateway.middleware import STOPPING_KEY

KEEPALIVE_S = 75.0
IDLE_LOOK_S = 0.05
"""Seconds between two looks for clients that have become idle."""
CUT_S = 0.25
"""Seconds, twice, in which requests may still end by themselves when they are about to be cut short."""


class Listening(Protocol):
    """What accepts."""

    def close(self) -> None:
        """Accept no more."""


class HttpServer:
    """Serves the gateway's application on one listening socket."""

    def __init__(self, gateway: Gateway, logger: logging.Logger) -> None:
        """Make the application; nothing runs yet.

        Args:
            gateway: What is served.
            logger: Where aiohttp complains.
        """
        self._gateway = gateway
        self._logger = logger
        self._runner = web.AppRunner(
            make_app(gateway), handler_cancellation=True, access_log=None, shutdown_timeout=CUT_S
        )
        self._listening: Listening | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accept connections from now on.

        Args:
            listener: Listening; this process's own end of it is closed when no more are accepted.
        """
        await self._runner.setup()
        self._listening = await self._listen(listener)

    async def _listen(self, listener: socket.socket) -> Listening:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._connection, sock=listener, backlog=BACKLOG)

    def stop_accepting(self) -> None:
        """Leave newcomers to the next gateway; answers say Connection: close from now on."""
        if self._listening is not None:
            self._listening.close()
        self._runner.app[STOPPING_KEY].set()

    async def finish(self) -> None:
        """Wait until every request that has come is answered, and hang up on each client that has none.

        However long it takes; cancelling it cancels no request.
        """
        while connections := self._connections():
            for connection in connections:
                if not connection.is_busy:
                    connection.force_close()
            await asyncio.sleep(IDLE_LOOK_S)

    async def close(self) -> None:
        """Cut short what still runs and hang up on everybody; takes twice `CUT_S` at most."""
        self.stop_accepting()
        await self._runner.cleanup()

    def _connections(self) -> list[ClientConnection]:
        """Return every open connection."""
        server = self._runner.server
        connections = server.connections if server is not None else []
        return [each for each in connections if isinstance(each, ClientConnection)]

    def _connection(self) -> ClientConnection:
        server = self._runner.server
        assert server is not None
        return ClientConnection(
            server,
            self._gateway.metrics,
            asyncio.get_running_loop(),
            access_log=None,
            logger=self._logger,
            max_line_size=self._gateway.settings.http.max_body_bytes,
            keepalive_timeout=KEEPALIVE_S,
        )


class PublicServer(HttpServer):
    """Serves on the TCP socket, where clients may be slow, many or gone."""

    def __init__(self, gateway: Gateway, logger: logging.Logger) -> None:
        """Make the application; see `HttpServer`."""
        super().__init__(gateway, logger)
        self._watch = ConnectionWatch(gateway.settings.http, gateway.access, gateway.metrics)
        self._acceptor: Acceptor | None = None

    async def _listen(self, listener: socket.socket) -> Listening:
        if waiting := queued_connections(listener):
            logger.info("connections_waited", count=waiting)
            self._gateway.dispatcher.admission.forbear()
        self._acceptor = Acceptor(listener, self._connection, self._gateway.metrics)
        return self._acceptor

    async def watch(self) -> None:
        """Hold the limits of connections and of descriptors; runs until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            short_by = None if self._acceptor is None else self._acceptor.short_by
            self._watch.look(self._connections(), time.monotonic(), short_by)
            if self._acceptor is not None:
                self._acceptor.look()
