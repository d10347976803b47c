"""The listening side of the Wyoming server.

Owns: accepting, how many clients there may be, and their end at a stop.
Refuses to know: what a client says (`connection`).
"""

from __future__ import annotations

import asyncio
import socket

from loguru import logger

from processes.gateway.acceptor import Acceptor
from processes.gateway.gateway import Gateway
from processes.gateway.wyoming_server.connection import WyomingConnection
from processes.gateway.wyoming_server.events import MAX_LINE_BYTES
from processes.gateway.wyoming_server.info import Description
from processes.gateway.wyoming_server.mdns import announce

LOOK_S = 0.25
"""Seconds between two looks for descriptors."""
CUT_S = 0.5
"""Seconds that connections have to end by themselves when they are cut short."""


class WyomingServer:
    """Serves Wyoming's clients on the launcher's socket."""

    def __init__(self, gateway: Gateway) -> None:
        """Take what is served; nothing runs yet, but there is a running loop."""
        self._port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._gateway = gateway
        self._description = Description(gateway.catalog)
        self._acceptor: Acceptor | None = None
        self._serving: dict[WyomingConnection, asyncio.Task[None]] = {}

    def start(self, listener: socket.socket) -> None:
        """Accept connections from now on; needs the running loop.

        Args:
            listener: Listening; this process's own end is closed when no more are accepted.
        """
        self._acceptor = Acceptor(listener, self._protocol, self._gateway.metrics)
        self._port.set_result(listener.getsockname()[1])

    async def watch(self) -> None:
        """Accept again when there are descriptors again; runs until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._acceptor is not None:
                self._acceptor.look()

    async def announce(self) -> None:
        """Tell the network where it is, if the settings want that; runs until it is cancelled."""
        port = await self._port
        settings = self._gateway.settings.wyoming
        if settings.announce:
            await announce(settings.host, port)
        await asyncio.Event().wait()

    def stop_accepting(self) -> None:
        """Leave newcomers to the next gateway, and hang up on those who hear nothing."""
        if self._acceptor is not None:
            self._acceptor.close()
        for connection in list(self._serving):
            if connection.speaking is None:
                connection.cut()

    async def finish(self) -> None:
        """Wait until nobody hears anything any more, however long it takes."""
        while tasks := [each.speaking for each in self._serving if each.speaking is not None]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Hang up on everybody; takes `CUT_S` at most."""
        self.stop_accepting()
        for task in self._serving.values():
            task.cancel()
        if self._serving:
            await asyncio.wait([*self._serving.values()], timeout=CUT_S)

    def _protocol(self) -> asyncio.Protocol:
        return _Protocol(self)

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> WyomingConnection:
        """Serve one more client, in the place of the longest idle one where there are enough."""
        connection = WyomingConnection(self._gateway, self._description, reader, writer)
        most = self._gateway.settings.wyoming.max_connections
        if len(self._serving) >= most:
            idle = [each for each in self._serving if each.speaking is None]
            gone = min(idle, key=lambda each: each.since_s, default=connection)
            gone.cut()
            logger.warning("connections_closed", reason="wyoming", count=1, peer=gone.peer)
        task = asyncio.create_task(connection.serve())
        self._serving[connection] = task
        task.add_done_callback(lambda _: self._serving.pop(connection, None))
        return connection


class _Protocol(asyncio.StreamReaderProtocol):
    """Tells a connection when its client closes its side, whatever is still unread."""

    def __init__(self, server: WyomingServer) -> None:
        self._connection: WyomingConnection | None = None
        self._server = server
        super().__init__(asyncio.StreamReader(MAX_LINE_BYTES), self._begin)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connection = self._server.serve(reader, writer)

    def eof_received(self) -> bool | None:
        if self._connection is not None:
            self._connection.left()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._connection.left()
        super().connection_lost(exc)
