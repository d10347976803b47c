"""SIGTERM as something a blocking loop can wait for.

Owns: the process's handlers of SIGTERM and SIGINT.
Refuses to know: what has to be finished before the process ends.
"""

from __future__ import annotations

import select
import signal
import socket
from contextlib import suppress
from types import FrameType

ACKNOWLEDGED_BYTES = 4096
"""More than signals that came meanwhile have written: one byte each."""


class StopSignal:
    """Set once SIGTERM has come; SIGINT is ignored, since Ctrl-C reaches the launcher, which stops everyone.

    The interpreter writes to a socket pair when the signal comes, whichever thread the kernel chose, so a
    wait on `fileno` ends at once.
    """

    def __init__(self) -> None:
        """Take over the two signals; only the main thread may."""
        self.is_set = False
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno())
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def fileno(self) -> int:
        """Return the descriptor that is readable from the signal on, until `acknowledge`."""
        return self._reader.fileno()

    def acknowledge(self) -> None:
        """Make the descriptor unreadable again, for who goes on for a while and waits; never blocks."""
        self._reader.setblocking(False)
        with suppress(BlockingIOError):
            self._reader.recv(ACKNOWLEDGED_BYTES)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the signal; return whether it has come.

        Args:
            timeout_s: Seconds to wait at most.
        """
        if not self.is_set:
            self._poll(timeout_s)
        return self.is_set

    def has_come(self) -> bool:
        """Return whether the signal has come, even while the main thread is too busy to handle it."""
        return self.is_set or self._poll(0)

    def _poll(self, timeout_s: float) -> bool:
        poller = select.poll()
        poller.register(self._reader, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        self.is_set = True
