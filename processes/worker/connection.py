"""The way to the gateway: connects to `run/workers.sock`, with back-off while no gateway stays there.

Owns: how often and for how long a worker tries.
Refuses to know: what is said once connected.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

from appliance.ipc.blocking_channel import BlockingChannel
from processes.worker.stop_signal import StopSignal

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0


class Patience:
    """How long a worker goes on trying, and how long it pauses between two tries."""

    def __init__(self, give_up_s: float) -> None:
        """Begin now.

        Args:
            give_up_s: Seconds after which no further try is made.
        """
        self._give_up_s = give_up_s
        self.renew()

    def renew(self) -> None:
        """Begin anew, because a gateway was really there."""
        self._deadline_s = time.monotonic() + self._give_up_s
        self._pause_s = FIRST_PAUSE_S

    def pause(self, stop: StopSignal) -> bool:
        """Wait before the next try; return whether there is to be one.

        Args:
            stop: Ends the wait.
        """
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            return False
        stop.wait(min(self._pause_s, left_s))
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return not stop.is_set


def connect_to_gateway(path: Path, patience: Patience, stop: StopSignal) -> BlockingChannel | None:
    """Connect to the gateway's Unix socket, trying again while nobody listens there.

    Blocks between the tries; SIGTERM ends the wait at once.

    Args:
        path: The socket.
        patience: How long to try.
        stop: Ends the wait, and every wait on the channel.

    Returns:
        The channel, or None when the time is over or SIGTERM has come.
    """
    while not stop.is_set:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
        except OSError:
            sock.close()
        else:
            return BlockingChannel(sock, stop.fileno())
        if not patience.pause(stop):
            break
    return None
