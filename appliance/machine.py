"""What this machine, or the container on it, gives to the appliance: cores and memory.

Owns: reading affinity, cgroup v1 and v2, the size of the memory, what is free of it and what a process has.
Refuses to know: what they are used for, and by whom.

The least limit of all ancestors counts. In a container the paths of the list of cgroups may be the host's;
those that don't exist are skipped and the mount's own root is read.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
MEMINFO = Path("/proc/meminfo")
MEMORY_FILES = ("memory.max", "memory.limit_in_bytes")
"""Of cgroup v2 and v1. Where there is no limit, v2 says `max` and v1 a number beyond every memory."""
USAGE_FILES = ("memory.current", "memory.usage_in_bytes")
"""Likewise."""
CACHE_FIELDS = re.compile(r"^(total_)?(?:in)?active_file (\d+)$", re.MULTILINE)
"""Of `memory.stat`: files that the kernel drops when somebody needs the memory. In v1 only the lines with
`total_` count those of children, too."""


def available_cores(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return how many cores this process may use: its affinity or its CPU quota, rounded up, at least 1.

    Args:
        cgroups: Where the cgroup file systems are mounted.
        membership: The process's list of cgroups.

    Source: cgroup v2 `cpu.max`, cgroup v1 `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
    """
    cores = float(len(os.sched_getaffinity(0)))
    for directory in cgroup_dirs("cpu", cgroups, membership):
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
    limits = [_number(each, MEMORY_FILES) for each in cgroup_dirs("memory", cgroups, membership)]
    known = [limit for limit in (_said_bytes(meminfo, "MemTotal"), *limits) if limit is not None]
    return min(known, default=None)


def free_memory_bytes(
    cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP, meminfo: Path = MEMINFO
) -> int | None:
    """Return how much memory a program could take now, in bytes: what is free of the machine, or of a limit.

    Files in memory count as free, since the kernel gives that back; swap doesn't.

    Args:
        cgroups: Where the cgroup file systems are mounted.
        membership: The process's list of cgroups.
        meminfo: The kernel's account of the memory.

    Returns:
        None where nobody says.

    Source: as for `memory_bytes`; proc(5), MemAvailable; cgroup v2 `memory.current`, cgroup v1
    `memory.usage_in_bytes`, both `memory.stat`.
    """
    left = [_left_bytes(each) for each in cgroup_dirs("memory", cgroups, membership)]
    known = [free for free in (_said_bytes(meminfo, "MemAvailable"), *left) if free is not None]
    return min(known, default=None)


def resident_bytes(pid: int) -> int:
    """Return a process's resident memory; 0 when it is gone.

    Source: proc(5), statm: the second field counts resident pages.
    """
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * PAGE_BYTES
    return 0


def cgroup_dirs(controller: str, cgroups: Path, membership: Path) -> Iterator[Path]:
    """Yield the cgroup of a process and its ancestors, those that don't exist, too.

    Args:
        controller: What they limit, such as `memory`.
        cgroups: Where the cgroup file systems are mounted.
        membership: The process's list of cgroups.
    """
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


def _left_bytes(directory: Path) -> int | None:
    """Return what the limit of one cgroup leaves; None without one."""
    limit = _number(directory, MEMORY_FILES)
    if limit is None:
        return None
    try:
        statistics = (directory / "memory.stat").read_text("ascii")
    except OSError:
        statistics = ""
    found = CACHE_FIELDS.findall(statistics)
    cached = [size for prefix, size in found if prefix] or [size for _, size in found]
    return max(0, limit - (_number(directory, USAGE_FILES) or 0) + sum(map(int, cached)))


def _number(directory: Path, names: Sequence[str]) -> int | None:
    """Return what the first file of these holds that is there; None where that is no number."""
    for name in names:
        try:
            return int((directory / name).read_text())
        except (OSError, ValueError):  # another version's, or `max`
            continue
    return None


def _said_bytes(meminfo: Path, name: str) -> int | None:
    try:
        found = re.search(rf"^{name}: +(\d+) kB$", meminfo.read_text("ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
