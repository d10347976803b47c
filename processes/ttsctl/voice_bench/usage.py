"""What a process uses, as the kernel tells it.

Owns: CPU to the nanosecond, memory as `smaps_rollup` has it.
Refuses to know: whose process it is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

KIB_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process has in memory. Source: proc(5), smaps_rollup."""

    resident_bytes: int
    """With what it shares (RSS)."""
    shared_out_bytes: int
    """What several share counted once (PSS)."""
    own_bytes: int
    """What it has for itself (USS)."""


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and all its threads, to the nanosecond.

    Source: Linux, include/linux/posix-timers_types.h, make_process_cpuclock(pid, CPUCLOCK_SCHED).

    Raises:
        OSError: It is gone.
    """
    return time.clock_gettime(~pid << 3 | 2)


def memory(pid: int) -> Memory:
    """Return what a process has in memory now; the kernel takes a millisecond for it.

    Raises:
        OSError: It is gone, or another user's.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]
    found = {
        name: int(size.split()[0]) * KIB_BYTES for name, _, size in (line.partition(":") for line in lines)
    }
    return Memory(found["Rss"], found["Pss"], found["Private_Clean"] + found["Private_Dirty"])
