"""The datagrams by which programs say how they are.

Owns: `run/notify.sock`, who sent a datagram as the kernel knows it, its format.
Refuses to know: which program a process id belongs to.

Source: sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from appliance.lifecycle import NOTIFY_SOCKET, UCRED, listen_unix, listen_unix_again

MAX_DATAGRAM_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class Notification:
    """One datagram."""

    pid: int
    """The sender."""
    assignments: dict[str, str]
    """For example READY → 1."""


class NotificationSocket:
    """The receiving end of `run/notify.sock`."""

    def __init__(self, run_dir: Path) -> None:
        """Open the socket.

        Raises:
            ConfigurationError: Another watchdog listens there.
        """
        self._path = run_dir / NOTIFY_SOCKET
        self._use(listen_unix(self._path, socket.SOCK_DGRAM))

    def _use(self, opened: socket.socket) -> None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        opened.setblocking(False)
        self._socket = opened

    def keep(self) -> bool:
        """Open the socket again if somebody has removed it; return whether that was done. Never blocks.

        What waits in the old one is lost; programs say again how they are.
        """
        opened = listen_unix_again(self._path, socket.SOCK_DGRAM)
        if opened is None:
            return False
        self._socket.close()
        self._use(opened)
        return True

    def fileno(self) -> int:
        """Readable when a datagram waits."""
        return self._socket.fileno()

    def receive(self) -> list[Notification]:
        """Return all waiting datagrams of this user; never blocks."""
        received: list[Notification] = []
        while True:
            try:
                data, ancillary, _flags, _address = self._socket.recvmsg(
                    MAX_DATAGRAM_BYTES, socket.CMSG_SPACE(UCRED.size)
                )
            except BlockingIOError:
                return received
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    pid, uid, _gid = UCRED.unpack(content[: UCRED.size])
                    if uid == os.geteuid():
                        received.append(Notification(pid, parse_assignments(data)))

    def close(self) -> None:
        """Close and remove the socket."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


def parse_assignments(data: bytes) -> dict[str, str]:
    """Return the `KEY=value` lines of a datagram; other lines are left out."""
    lines = data.decode("utf-8", "replace").split("\n")
    return {key: value for key, equals, value in (line.partition("=") for line in lines) if key and equals}
