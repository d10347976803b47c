"""The appliance's listening sockets, opened once and handed to every gateway that comes.

Owns: opening them, `run/sockets.sock` where our own processes get them, and with them a bit of memory that
outlives a gateway.
Refuses to know: what is spoken on them, what is in the memory.

Since the launcher holds them, a restart of the gateway refuses no connection: newcomers wait in the backlog.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket

from loguru import logger

from appliance.errors import ConfigurationError
from appliance.lifecycle import (
    ACCEPTED_MEMORY,
    BACKLOG,
    SOCKETS_SOCKET,
    WYOMING,
    is_own_peer,
    listen_unix,
    listen_unix_again,
    send_descriptors,
)
from appliance.proxy_socket import open_proxy_socket
from appliance.settings import Settings

PROXY = "proxy"
"""The name under which the Unix socket for a reverse proxy is handed over."""


def open_listeners(settings: Settings) -> dict[str, socket.socket]:
    """Open every listening socket, by name: `http`; `wyoming` and `proxy` where the settings ask for them.

    `::` listens on IPv4 too.

    The exporter opens its own; here it is only tried, so that a second appliance on this machine is told at
    once which port is taken, and so is one whose settings name one port twice.

    Raises:
        ConfigurationError: An address is wrong or in use.
    """
    with contextlib.ExitStack() as opened:
        with _open_tcp("exporter", settings.exporter.host, settings.exporter.port):
            listeners = {"http": _open_tcp("http", settings.http.host, settings.http.port)}
            opened.callback(listeners["http"].close)
            if settings.wyoming.enabled:
                listeners[WYOMING] = _open_tcp("wyoming", settings.wyoming.host, settings.wyoming.port)
                opened.callback(listeners[WYOMING].close)
        if (proxy := open_proxy_socket(settings)) is not None:
            listeners[PROXY] = proxy
        opened.pop_all()
    return listeners


def _open_tcp(section: str, host: str, port: int) -> socket.socket:
    try:
        family, *_rest, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        message = f"{section}.host = {host!r}: not an address of this machine: {error.strerror}"
        raise ConfigurationError(message) from None
    is_any = family == socket.AF_INET6 and address[0] == "::"
    try:
        return socket.create_server(
            address, family=family, backlog=BACKLOG, dualstack_ipv6=is_any and socket.has_dualstack_ipv6()
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)  # `strerror` names the address again
        message = f"{section}.port = {port}: can't listen on {host or '*'}: {reason}"
        raise ConfigurationError(message) from None


class SocketHandOver:
    """Gives the listening sockets to every process of this user that connects to `run/sockets.sock`."""

    def __init__(self, settings: Settings, listeners: dict[str, socket.socket]) -> None:
        """Open `run/sockets.sock`.

        Args:
            settings: Name the run directory.
            listeners: What is handed over, by name; closed by their owner, but for one that is opened anew.

        Raises:
            ConfigurationError: Another launcher listens there.
        """
        self._settings = settings
        self._path = settings.run.dir / SOCKETS_SOCKET
        self._listeners = listeners
        self._memory = os.memfd_create(ACCEPTED_MEMORY)
        self._server = listen_unix(self._path)
        self._server.setblocking(False)

    def register(self, selector: selectors.BaseSelector) -> None:
        """Have a selector tell of a waiting peer."""
        selector.register(self, selectors.EVENT_READ, self.serve_one)

    def keep(self, selector: selectors.BaseSelector) -> None:
        """Open a socket again that somebody has removed: without it no gateway can start. Never blocks.

        Args:
            selector: That of `register`.
        """
        self._keep_proxy_socket()
        opened = listen_unix_again(self._path)
        if opened is None:
            return
        logger.warning("socket_opened_again", socket=SOCKETS_SOCKET)
        selector.unregister(self)
        self._server.close()
        self._server = opened
        self._server.setblocking(False)
        self.register(selector)

    def _keep_proxy_socket(self) -> None:
        """Open the reverse proxy's socket again if somebody has removed it; the next gateway gets the new."""
        path = self._settings.http.proxy_socket_path()
        if PROXY not in self._listeners or path is None or path.exists():
            return
        with contextlib.suppress(ConfigurationError):  # its folder is gone; it is tried again
            if (opened := open_proxy_socket(self._settings)) is not None:
                self._listeners[PROXY].close()
                self._listeners[PROXY] = opened
                logger.warning("socket_opened_again", socket=path.name)

    def fileno(self) -> int:
        """Readable when a peer is waiting."""
        return self._server.fileno()

    def serve_one(self) -> None:
        """Serve one waiting peer; never blocks."""
        self._keep_proxy_socket()  # a gateway that has ended for this must not get the one that nobody finds
        try:
            connection, _address = self._server.accept()
        except (BlockingIOError, ConnectionError):
            return
        with connection:
            if not is_own_peer(connection):
                logger.warning("peer_refused", socket=SOCKETS_SOCKET)
                return
            try:
                sockets = {name: listener.fileno() for name, listener in self._listeners.items()}
                send_descriptors(connection, sockets | {ACCEPTED_MEMORY: self._memory})
            except OSError as error:
                logger.warning("hand_over_failed", error=str(error))

    def close(self) -> None:
        """Stop serving; the sockets that were handed over stay as they are, though nobody finds them."""
        self._server.close()
        os.close(self._memory)
        self._path.unlink(missing_ok=True)
        path = self._settings.http.proxy_socket_path()
        if PROXY in self._listeners and path is not None:
            path.unlink(missing_ok=True)
