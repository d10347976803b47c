"""The end of a process that hangs.

Owns: its stack in the log, then its death with all of its group, and never another process that has got its
number meanwhile.
Refuses to know: why.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress

ABORT_S = 0.2
"""Between SIGABRT, on which the process writes its stack, and SIGKILL of its group."""


def kill_hung(pid: int, is_still_it: Callable[[], bool]) -> bool:
    """Abort a process so that it writes its stack, then kill its group; blocks `ABORT_S` and the question.

    A stopped process is continued, so that it finds the SIGABRT.

    Args:
        pid: The process, which leads its group.
        is_still_it: Asked once the process can't be mistaken any more: whether the number was right.

    Returns:
        Whether it was killed; False if it was gone already.

    Source: pidfd_open(2): the descriptor stays with the process that had the number when it was opened.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not is_still_it():
            return False
        for number in (signal.SIGABRT, signal.SIGCONT):
            signal.pidfd_send_signal(pidfd, number)
        select.select([pidfd], [], [], ABORT_S)
        with suppress(ProcessLookupError):  # reaped already
            signal.pidfd_send_signal(pidfd, 0)
            os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True
