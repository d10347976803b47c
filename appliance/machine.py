"""What this machine, or the container on it, gives to the appliance: cores and memory.

Owns: reading affinity, cgroup v1 and v2, and the size of the memory.
Refuses to know: what they are used for; what is in use of them.

The least limit of all ancestors counts. In a container the paths of the list of cgroups may be the host's;
those that don't exist are skipped and the mount's own root is read.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
MEMINFO = Path("/proc/meminfo")
MEMORY_FILES = ("memory.max", "memory.limit_in_bytes")
"""Of cgroup v2 and v1. Where there is no limit, v2 says `max` and v1 a number beyond every memory."""


def available_cores(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return how many cores this process may use: its affinity or its CPU quota, rounded up, at least 1.

    Args:
        cgroups: Where the cgroup file systems are mounted.
        membership: The process's list of cgroups.

    Source: cgroup v2 `cpu.max`, cgroup v1 `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
    """
    cores = float(len(os.sched_getaffinity(0)))
    for directory in _cgroup_dirs("cpu", cgroups, membership):
        cores = min(cores, _quota_cores(directory))
    return max(1, math.ceil(cores))


def memory_bytes(
    cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP, meminfo: Path = MEMINFO
) -> int | None:
    """Return how much memory this process and what it starts may use, in bytes: the machine's, or a limit.

    Args:
        cgroups: Where the cgroup file systems are mounted.
        membership: The process's list of cgroups.
        meminfo: The kernel's account of the memory.

    Returns:
        None where nobody says.

    Source: cgroup v2 `memory.max`, cgroup v1 `memory.limit_in_bytes`; proc(5), MemTotal.
    """
    limits = [_limit_bytes(directory) for directory in _cgroup_dirs("memory", cgroups, membership)]
    known = [limit for limit in (_total_bytes(meminfo), *limits) if limit is not None]
    return min(known, default=None)


def _cgroup_dirs(controller: str, cgroups: Path, membership: Path) -> Iterator[Path]:
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        _hierarchy, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        names = (controllers, controller) if controllers else ("", "unified")
        inner = Path(path.lstrip("/"))
        for name in names:
            yield from (cgroups / name / part for part in (inner, *inner.parents))


def _quota_cores(directory: Path) -> float:
    """Return the quota of one cgroup in cores; infinity without one."""
    try:
        if (directory / "cpu.max").exists():
            quota, period = (directory / "cpu.max").read_text().split()
        else:
            quota = (directory / "cpu.cfs_quota_us").read_text().strip()
            period = (directory / "cpu.cfs_period_us").read_text().strip()
        return math.inf if quota in {"max", "-1"} else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _limit_bytes(directory: Path) -> int | None:
    """Return the limit of one cgroup; None without one."""
    for name in MEMORY_FILES:
        try:
            return int((directory / name).read_text())
        except (OSError, ValueError):  # another version's, or `max`
            continue
    return None


def _total_bytes(meminfo: Path) -> int | None:
    try:
        found = re.search(r"^MemTotal: +(\d+) kB$", meminfo.read_text("ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
