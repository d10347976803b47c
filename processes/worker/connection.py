"""The way to the gateway: connects to `run/workers.sock`, with back-off while the gateway isn't there.

Owns: how often and for how long a worker tries.
Refuses to know: what is said once connected.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

from appliance.ipc.blocking_channel import BlockingChannel
from processes.worker.stop_signal import StopSignal

SOCKET_NAME = "workers.sock"
"""The gateway's socket in the run folder."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0


def connect_to_gateway(path: Path, give_up_s: float, stop: StopSignal) -> BlockingChannel | None:
    """Connect to the gateway's Unix socket, trying again while nobody listens there.

    Blocks between the tries; SIGTERM ends the wait at once.

    Args:
        path: The socket.
        give_up_s: Seconds after which no further try is made.
        stop: Ends the wait, and every wait on the channel.

    Returns:
        The channel, or None when the time is over or SIGTERM has come.
    """
    deadline_s = time.monotonic() + give_up_s
    pause_s = FIRST_PAUSE_S
    while not stop.is_set:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
        except OSError:
            sock.close()
        else:
            return BlockingChannel(sock, stop.fileno())
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            break
        stop.wait(min(pause_s, left_s))
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return None
