"""Taking in clients' connections, as long as there are descriptors for them.

Owns: accept, what the kernel is told about an accepted socket, the reserve of descriptors.
Refuses to know: HTTP; what happens on a connection.

Newcomers may use 80 % of the descriptors (RLIMIT_NOFILE). Then accepting pauses: newcomers wait in the
listening queue, and what is left serves `run/gateway.sock`, the workers and the files. It goes on once 70 %
or less are in use, so that it doesn't switch with every connection.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from loguru import logger

from appliance.metrics import GatewayMetrics

PAUSE_SHARE = 0.8
RESUME_SHARE = 0.7
BATCH = 64
"""Connections taken in before others on the event loop have their turn."""
KEEPALIVE_IDLE_S = 10
KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_PROBES = 3
VANISHED_S = 20.0
"""Seconds that sent bytes may stay without the kernel of the other side confirming them."""
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""What accept(2) gives where it isn't the client's fault, and where trying again at once is of no use."""


UNACKED = struct.Struct("24xI")
"""Of `struct tcp_info`."""
DESCRIPTORS = Path("/proc/self/fd")


class Acceptor:
    """Accepts on one listening stream socket and gives each connection to a protocol."""

    def __init__(
        self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol], metrics: GatewayMetrics
    ) -> None:
        """Accept from now on; needs the running loop.

        Args:
            listener: Listening; closed by `close`.
            protocol: Makes the protocol of one connection.
            metrics: Where pauses are counted.
        """
        self._listener = listener
        self._protocol = protocol
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._starting: dict[asyncio.Task[object], socket.socket] = {}
        self._paused_at_s: float | None = None
        listener.setblocking(False)
        self._loop.add_reader(listener, self._accept)

    @property
    def is_paused(self) -> bool:
        """Whether newcomers wait because few descriptors are left."""
        return self._paused_at_s is not None

    @property
    def short_by(self) -> int | None:
        """How many descriptors have to be given back before newcomers are let in; None while they are."""
        if not self.is_paused:
            return None
        return max(0, open_descriptors() - int(RESUME_SHARE * descriptor_limit()))

    def look(self) -> None:
        """Accept again if there are descriptors again; called by a timer."""
        if self._paused_at_s is None or open_descriptors() > RESUME_SHARE * descriptor_limit():
            return
        logger.info("accept_resumed", paused_s=round(time.monotonic() - self._paused_at_s, 3))
        self._paused_at_s = None
        self._metrics.http_accept_paused.set(0)
        self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Accept no more; calling it again does nothing."""
        if self._listener.fileno() != -1:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._paused_at_s = None

    def _accept(self) -> None:
        most = PAUSE_SHARE * descriptor_limit()
        for _ in range(BATCH):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in NO_DESCRIPTOR:
                    self._pause()
                    return
                continue  # the client has gone already. Source: accept(2), "Error handling"
            self._begin(connection)
            # The kernel gives the lowest free number, so that all below this one are in use.
            if connection.fileno() >= most:
                self._pause()
                return

    def _begin(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            watch_peer(connection)
        except OSError:  # it has gone already
            connection.close()
            return
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol, connection))
        self._starting[task] = connection
        task.add_done_callback(self._begun)

    def _begun(self, task: asyncio.Task[object]) -> None:
        connection = self._starting.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("connection_not_begun")
            connection.close()

    def _pause(self) -> None:
        self._paused_at_s = time.monotonic()
        self._loop.remove_reader(self._listener)
        self._metrics.http_accept_paused.set(1)
        self._metrics.http_accept_pauses.inc()
        logger.warning("accept_paused", descriptors=open_descriptors(), limit=descriptor_limit())


def watch_peer(connection: socket.socket) -> None:
    """Have the kernel find out that a peer has vanished.

    It takes 25 s of silence, or 20 s while bytes are under way. On a Unix socket it knows that at once.

    Raises:
        OSError: The connection is gone.

    Source: tcp(7).
    """
    if connection.family == socket.AF_UNIX:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(VANISHED_S * 1000))


def queued_connections(listener: socket.socket) -> int:
    """Return how many connections wait in a listening TCP socket to be accepted; of a Unix socket, none.

    Raises:
        OSError: The kernel doesn't tell.

    Source: linux/tcp.h, `tcpi_unacked`, the fifth number behind eight bytes; inet_diag(7) for its meaning.
    """
    if listener.family == socket.AF_UNIX:  # the kernel doesn't tell, and few wait: proxies keep connections
        return 0
    information = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, UNACKED.size)
    waiting: int = UNACKED.unpack(information)[0]
    return waiting


def descriptor_limit() -> int:
    """Return how many descriptors this process may have now."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def open_descriptors() -> int:
    """Return how many descriptors this process has; all of them where there is none left to find out."""
    try:
        return sum(1 for _ in DESCRIPTORS.iterdir()) - 1
    except OSError:
        return descriptor_limit()
