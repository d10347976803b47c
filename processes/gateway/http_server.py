"""An HTTP server of the gateway: one on the launcher's sockets, another on `run/gateway.sock`.

Owns: what serves where (`run/gateway.sock` has no limits, as only this user reaches it), and the two ways of
ending: let requests finish, cut them short.
Refuses to know: what is answered (`app`, `connection`), when the gateway stops.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import ClassVar, Protocol

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
    """Serves the gateway's application on `run/gateway.sock`."""

    IS_LOCAL: ClassVar[bool] = True

    def __init__(self, gateway: Gateway, logger: logging.Logger) -> None:
        """Make the application; nothing runs yet.

        Args:
            gateway: What is served.
            logger: Where aiohttp complains.
        """
        self._gateway = gateway
        self._logger = logger
        self._runner = web.AppRunner(
            make_app(gateway, is_local=self.IS_LOCAL),
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=CUT_S,
        )
        self._listening: list[Listening] = []

    async def start(self, *listeners: socket.socket) -> None:
        """Accept connections from now on.

        Args:
            listeners: Listening; this process's own ends are closed when no more are accepted.
        """
        await self._runner.setup()
        for listener in listeners:
            self._listening.append(await self._listen(listener))

    async def _listen(self, listener: socket.socket) -> Listening:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._connection, sock=listener, backlog=BACKLOG)

    def stop_accepting(self) -> None:
        """Leave newcomers to the next gateway; answers say Connection: close from now on."""
        for each in self._listening:
            each.close()
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
    """Serves on the TCP socket and on that of a reverse proxy, where clients may be slow, many or gone."""

    IS_LOCAL = False

    def __init__(self, gateway: Gateway, logger: logging.Logger) -> None:
        """Make the application; see `HttpServer`."""
        super().__init__(gateway, logger)
        self._watch = ConnectionWatch(gateway.settings.http, gateway.access, gateway.metrics)
        self._acceptors: list[Acceptor] = []

    async def _listen(self, listener: socket.socket) -> Listening:
        if waiting := queued_connections(listener):
            logger.info("connections_waited", count=waiting)
            self._gateway.dispatcher.admission.forbear()
        acceptor = Acceptor(listener, self._connection, self._gateway.metrics)
        self._acceptors.append(acceptor)
        return acceptor

    async def watch(self) -> None:
        """Hold the limits of connections and of descriptors; runs until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            missing = [each.short_by for each in self._acceptors if each.short_by is not None]
            self._watch.look(self._connections(), time.monotonic(), max(missing, default=None))
            for each in self._acceptors:
                each.look()
