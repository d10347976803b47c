"""How a program under the watchdog behaves, and how the watchdog shows that it runs itself.

Owns: the sd_notify client; what such a process leaves behind when it is killed; the file with the watchdog's
own heartbeat.
Refuses to know: who judges the heartbeats (`processes.watchdog`, the launcher, `ttsctl live`).
"""

from __future__ import annotations

import faulthandler
import os
import resource
import socket
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from appliance.lifecycle import NOTIFY_SOCKET

BEAT_FILE = "watchdog-beat.txt"
"""In the run directory, by the watchdog: when it ran last, seconds of the machine's monotonic clock, and how
many of its questions in a row supervisord has left unanswered."""
ONE_SHOT_PROGRAM = "importer"
"""Ends by itself, well or not, and isn't started again for that: its end is no failure of the appliance."""
BEAT_FORMAT = "{:020.3f} {:06d}\n"
"""Always of one length, so that the file is written over in place: that needs no room on a full disk."""


def notify(run_dir: Path, *assignments: str) -> bool:
    """Tell the watchdog about this process; never blocks, and nobody listening is no error.

    Args:
        run_dir: The run directory.
        assignments: For example `READY=1`, `STATUS=3 of 3 workers`, `STOPPING=1`.

    Returns:
        Whether the datagram was taken.

    Source: sd_notify(3), the protocol on the socket.
    """
    try:
        _notifier().sendto("\n".join(assignments).encode(), os.fsencode(run_dir / NOTIFY_SOCKET))
    except OSError:
        return False
    return True


@cache
def _notifier() -> socket.socket:
    """Return this process's one socket for it: who is out of descriptors can still say that it runs."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    client.setblocking(False)
    return client


def leave_stack_when_aborted() -> None:
    """Have SIGABRT write the stack of every thread to stderr, and no core file, which would hold texts.

    To be called once, before the first thread.
    """
    faulthandler.enable(all_threads=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class BeatFile:
    """The watchdog's own heartbeat, for who is no program of supervisord's."""

    def __init__(self, run_dir: Path) -> None:
        """Open nothing yet.

        Args:
            run_dir: The run directory.
        """
        self._path = run_dir / BEAT_FILE
        self._descriptor: int | None = None

    def beat(self, unanswered: int = 0) -> None:
        """Write down that the watchdog runs now.

        Args:
            unanswered: Questions in a row that supervisord left unanswered, 999 999 at most.

        Raises:
            OSError: The disk is full or read-only.
        """
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._descriptor, BEAT_FORMAT.format(time.monotonic(), unanswered).encode(), 0)

    def close(self) -> None:
        """Close the file and leave it."""
        if self._descriptor is not None:
            os.close(self._descriptor)


def can_beat(run_dir: Path) -> bool:
    """Tell whether the watchdog could write its heartbeat now; blocks for the disk.

    It does what a heartbeat does: writes the file over in place, with what it holds. Should that undo a
    heartbeat of this very moment, the next one is a second away.
    """
    try:
        descriptor = os.open(run_dir / BEAT_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            never = BEAT_FORMAT.format(0, 0).encode()
            os.pwrite(descriptor, os.pread(descriptor, len(never), 0) or never, 0)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def read_beat(run_dir: Path) -> str:
    """Return the content of the file; empty when there is none."""
    with suppress(OSError):
        return (run_dir / BEAT_FILE).read_text("ascii", "replace")
    return ""
