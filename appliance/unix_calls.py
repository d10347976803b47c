"""Calls of local programs over Unix sockets: plain HTTP, and supervisord's XML-RPC.

Owns: connections to a path in place of a host, and what a call of supervisord can raise.
Refuses to know: who is called for what.

Apart from `lifecycle`, since workers call nobody and what these calls import takes 1.5 MB of each.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from appliance.lifecycle import SUPERVISOR_SOCKET


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the path in place of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket, every answer within a time."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__()
        self._path = path
        self._timeout_s = timeout_s

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        self._connection = host, UnixConnection(self._path, self._timeout_s)
        return self._connection[1]


RPC_ERRORS = (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError)
"""What a call of supervisord can raise: it isn't there, it refuses, or it dies while it answers."""


@contextlib.contextmanager
def supervisor_rpc(run_dir: Path, timeout_s: float = 2.0) -> Iterator[Any]:
    """Lend supervisord's XML-RPC functions (`getAllProcessInfo` and so on); each call blocks.

    Nothing is connected before the first call, which raises one of `RPC_ERRORS` if nobody answers. The
    connection is closed at the end of the block.

    Args:
        run_dir: The run directory.
        timeout_s: Seconds that a call may take.

    Source: supervisor's manual, "XML-RPC API Documentation".
    """
    transport = _UnixTransport(run_dir / SUPERVISOR_SOCKET, timeout_s)
    with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
        yield proxy.supervisor
