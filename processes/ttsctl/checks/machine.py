"""What `ttsctl doctor` checks of the machine: memory, CPU, descriptors, clock, rights.

Owns: the limits from which something is a warning or a failure.
Refuses to know: how the appliance works on this machine (`speaking`).
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from appliance.machine import available_cores, cgroup_dirs
from appliance.pools import OTHERS_BYTES, pool_bytes
from processes.ttsctl.check import Check
from processes.ttsctl.checks.programs import NEWS_S
from processes.ttsctl.finding import Finding, failure, hint, ok, unseen, warning
from processes.ttsctl.patient import Patient
from processes.ttsctl.process_table import PROC
from processes.ttsctl.table import format_size

MEMORY_SHORT = failure("memory_short", "less memory is available than 128 MiB, or than a start needs")
SWAPPED = warning("swapped", "half of the swap is used")
OOM_KILLED = warning("oom_killed", "the kernel has killed a program for want of memory within the last hour")
OOM_BEFORE = hint("oom_before", "the kernel has killed something in this container for want of memory")
VNNI_MISSING = hint("vnni_missing", "there are vits workers, and the CPU has no VNNI")
AVX2_MISSING = warning("avx2_missing", "there are vits workers, and the CPU has neither VNNI nor AVX2")
GRANTS_ABOVE = warning("grants_above_quota", "`dispatch.cores` is more than this container or machine has")
THROTTLED = warning("cpu_throttled", "the container's CPU quota has held it up in a fifth of all periods")
FILES_SHORT = failure("files_short", "95 % of the gateway's descriptors are used, or newcomers wait for one")
FILES_FILLING = warning("files_filling", "80 % of the gateway's descriptors are used")
FILES_LIMIT = failure("files_limit", "fewer than 1,024 descriptors are allowed")
CLOCK_WRONG = failure("clock_wrong", "the clock's year can't be")
CLOCK_MOVED = warning("clock_moved", "the clock was moved by more than 5 s since the gateway's start")
CLOCK_ALONE = hint("clock_alone", "nothing keeps the clock right")
IS_ROOT = hint("runs_as_root", "the appliance runs as root, which it needn't")

LEAST_FREE_BYTES = 128 * 1024**2
"""Memory that must be available beside a running appliance."""
SWAP_WARN_RATIO = 0.5
FILES_WARN_RATIO, FILES_FAIL_RATIO = 0.80, 0.95
LEAST_FILES = 1024
"""Source: supervisor's manual, `minfds`: with a lower limit it doesn't start."""
FIRST_YEAR = 2025
"""Before this the appliance didn't exist, so the clock is wrong."""
STEP_S = 5.0
"""Seconds that wall clock and monotonic clock may have drifted apart since the gateway's start."""
TIME_ERROR = 5
"""What adjtimex(2) returns when nothing keeps the clock right. Source: sys/timex.h."""
TIMEX_BYTES = 512
"""More than `struct timex` has."""
CPU_FLAGS = re.compile(r"^flags\s*: (.*)$", re.MULTILINE)
"""Of /proc/cpuinfo on x86-64; other machines call theirs otherwise. Source: proc(5)."""
VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""Either multiplies and adds bytes in one instruction, for which decoders are made of int8.
Source: Linux, arch/x86/include/asm/cpufeatures.h."""
THROTTLED_RATIO = 0.2
LEAST_PERIODS = 600
"""A minute of them, of 0.1 s each."""
COUNTED = re.compile(r"^(\w+) (\d+)$", re.MULTILINE)
"""A line of `cpu.stat`, `memory.events` (cgroup v2), `memory.oom_control` (v1)."""
MEMORY_LIMITS = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
"""Below /sys/fs/cgroup: limit and use of a container and what the use consists of, cgroup v2 and v1."""
OOM_FILES = ("memory.events", "memory.oom_control")
INACTIVE_FILES = re.compile(r"^(?:total_)?inactive_file (\d+)$", re.MULTILINE)
"""Cached files that the kernel gives up when memory is wanted; v1 has a second line, the total."""
CGROUPS = Path("/sys/fs/cgroup")


def check_memory(patient: Patient) -> Finding:
    """Available memory against what the pools need, and swap."""
    values = _meminfo((PROC / "meminfo").read_text("ascii"))
    available = min([values["MemAvailable"], *_container_bytes()])
    workers = sum(pool.size for pool in patient.pools) or 1
    needed = sum(map(pool_bytes, patient.pools)) + OTHERS_BYTES
    least = LEAST_FREE_BYTES if patient.launcher else needed
    swap = values["SwapTotal"] - values["SwapFree"]
    seen = (
        f"{format_size(available)} available, {format_size(swap)} of swap used; "
        f"{workers} workers and the rest need {format_size(needed)}"
    )
    users = "ps aux --sort -rss | head"
    if available < least:
        advice = "stop something else on this machine, or lower workers.* (docs/operate/capacity.md)"
        return MEMORY_SHORT.found(seen, advice, users)
    if swap > SWAP_WARN_RATIO * values["SwapTotal"]:
        return SWAPPED.found(seen, "find out who uses the memory: swapped workers speak late", users)
    return ok(seen)


def _meminfo(text: str) -> dict[str, int]:
    """Return the lines of /proc/meminfo in bytes. Source: proc(5)."""
    return {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}


def _container_bytes() -> Iterator[int]:
    """Yield what a container's limit leaves, if there is one; cached files are no use of it."""
    for limit, current, parts in MEMORY_LIMITS:
        with suppress(OSError, ValueError):  # no limit, no container, or the other version
            used = int((CGROUPS / current).read_text()) - _cached_bytes(CGROUPS / parts)
            yield int((CGROUPS / limit).read_text()) - used


def _cached_bytes(parts: Path) -> int:
    """Return how much of a container's use are cached files; 0 where that isn't told."""
    try:
        return max(map(int, INACTIVE_FILES.findall(parts.read_text())), default=0)
    except OSError:
        return 0


def check_oom(patient: Patient) -> Finding:
    """What the kernel has killed for want of memory in the appliance's cgroup."""
    kills = max((counts.get("oom_kill", 0) for counts in _counts(patient, "memory", OOM_FILES)), default=None)
    if kills is None:
        return unseen("no cgroup counts it")
    if not kills:
        return ok("nothing was killed for want of memory")
    seen = f"{kills} processes of this cgroup were killed for want of memory since its start"
    advice = "give the container more memory, or lower workers.* (docs/operate/capacity.md)"
    is_news = any(
        each.get("last_exit") == "SIGKILL" and time.monotonic() - each.get("started_s", 0.0) < NEWS_S
        for each in patient.watched.values()
    )
    return (OOM_KILLED if is_news else OOM_BEFORE).found(seen, advice, "ttsctl status")


def _counts(patient: Patient, controller: str, names: tuple[str, ...]) -> Iterator[dict[str, int]]:
    """Yield what the appliance's own cgroup counts, of the first of some files that is there."""
    pid = patient.launcher.get("pid", "self")
    for folder in cgroup_dirs(controller, CGROUPS, PROC / str(pid) / "cgroup"):
        for name in names:
            with suppress(OSError):
                yield {key: int(value) for key, value in COUNTED.findall((folder / name).read_text("ascii"))}
                return


def check_cpu(patient: Patient) -> Finding:
    """What the CPU can do for neural voices: without VNNI their decoders take about twice as long."""
    if not any(pool.size for pool in patient.pools if pool.engine == "vits"):
        return ok("no vits worker is set")
    found = CPU_FLAGS.search((PROC / "cpuinfo").read_text("utf-8"))
    if found is None:
        return ok("no x86-64: what it can do for neural voices isn't looked at")
    flags = set(found[1].split())
    if flags & VNNI:
        return ok(f"{', '.join(sorted(flags & VNNI))} for neural voices")
    advice = (
        "give a virtual machine its host's CPU type (Proxmox: qm set ID --cpu host), "
        "else fewer listeners (docs/operate/capacity.md)"
    )
    if "avx2" in flags:
        seen = "no VNNI: a neural voice takes about twice as long as with it"
        return VNNI_MISSING.found(seen, advice, "lscpu")
    seen = "neither VNNI nor AVX2: a neural voice takes many times as long as with them"
    return AVX2_MISSING.found(seen, advice, "lscpu")


def check_cores(patient: Patient) -> Finding:
    """The CPU quota against the grants, and whether the quota holds the appliance up."""
    if patient.settings is None:
        return unseen("the configuration is wrong")
    membership = PROC / str(patient.launcher.get("pid", "self")) / "cgroup"
    cores, grants = available_cores(CGROUPS, membership), patient.settings.dispatch.cores
    seen = f"{cores} cores, {grants or 'as many'} grants"
    if grants > cores:
        advice = f"set dispatch.cores to 0, which takes {cores}, or give the container more"
        return GRANTS_ABOVE.found(seen, advice, "ttsctl check-config")
    counts = next(_counts(patient, "cpu", ("cpu.stat",)), {})
    periods, throttled = counts.get("nr_periods", 0), counts.get("nr_throttled", 0)
    if periods >= LEAST_PERIODS and throttled > THROTTLED_RATIO * periods:
        seen += f", held up in {throttled / periods:.0%} of {periods} periods"
        advice = "give the container more CPU, or promise fewer streams (workers.streams)"
        return THROTTLED.found(seen, advice, "ttsctl status")
    return ok(seen)


def check_open_files(patient: Patient) -> Finding:
    """The limit of open files, and how near the gateway is to it."""
    pid = patient.program("gateway").get("pid")
    if not pid:
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return _limit(f"{soft} files may be open", soft)
    soft = resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    used = len(list((PROC / str(pid) / "fd").iterdir()))
    if soft == resource.RLIM_INFINITY:
        return ok(f"the gateway has {used} files open, and no limit")
    seen = f"the gateway has {used} of {soft} files open"
    advice = "find out who holds connections, or raise the limit (LimitNOFILE= of the unit)"
    if used >= FILES_FAIL_RATIO * soft or patient.sample("tts_http_accept_paused"):
        return FILES_SHORT.found(seen, advice, "ss -tnp")
    if used >= FILES_WARN_RATIO * soft:
        return FILES_FILLING.found(seen, advice, "ss -tnp")
    return _limit(seen, soft)


def _limit(seen: str, soft: int) -> Finding:
    if 0 <= soft < LEAST_FILES:
        advice = f"raise the limit to {LEAST_FILES} at least, or LimitNOFILE= of the unit"
        return FILES_LIMIT.found(seen, advice, f"ulimit -n {LEAST_FILES}")
    return ok(seen)


def check_clock(patient: Patient) -> Finding:
    """The wall clock: its year, who keeps it right, and whether it was moved since the gateway's start."""
    now = datetime.fromtimestamp(time.time(), UTC)
    seen = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    advice, command = "have a time service set it", "timedatectl set-ntp true"
    if now.year < FIRST_YEAR:
        return CLOCK_WRONG.found(f"{seen} can't be", advice, command)
    if patient.status is not None:
        lived_s = (now - datetime.fromisoformat(patient.status["since"])).total_seconds()
        step_s = lived_s - patient.status["uptime_s"]
        if abs(step_s) > STEP_S:
            advice = "nothing here depends on it; times in the log before that are off, or the machine slept"
            seen = f"{seen}, moved by {step_s:+.0f} s since the gateway's start"
            return CLOCK_MOVED.found(seen, advice, "timedatectl status")
    if _is_left_alone():
        return CLOCK_ALONE.found(f"{seen}, and nothing keeps it right", advice, command)
    return ok(seen)


def _is_left_alone() -> bool:
    """Ask the kernel whether no time service steers the clock; False when it doesn't say."""
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    return state == TIME_ERROR


def check_rights(patient: Patient) -> Finding:
    """As whom the appliance runs."""
    pid = patient.launcher.get("pid")
    if pid is None:
        return unseen("no launcher")
    user = (PROC / str(pid)).stat().st_uid
    if user == 0:
        advice = "give it a user of its own (docs/operate/start.md): it needs no rights"
        return IS_ROOT.found("it runs as root", advice, "useradd --system tts")
    return ok(f"user {user} of this machine, as ttsctl" if user == os.geteuid() else f"user {user}")


CHECKS = {
    "memory": Check(
        check_memory,
        (MEMORY_SHORT, SWAPPED),
        "memory (a container's cached files are available), and swap",
    ),
    "oom": Check(check_oom, (OOM_KILLED, OOM_BEFORE), "what the kernel has killed for want of memory"),
    "cpu": Check(check_cpu, (AVX2_MISSING, VNNI_MISSING), "what the CPU has for neural voices"),
    "cores": Check(check_cores, (GRANTS_ABOVE, THROTTLED), "the CPU quota, and `dispatch.cores`"),
    "open_files": Check(
        check_open_files,
        (FILES_SHORT, FILES_FILLING, FILES_LIMIT),
        "descriptors of the gateway against its limit",
    ),
    "clock": Check(
        check_clock,
        (CLOCK_WRONG, CLOCK_MOVED, CLOCK_ALONE),
        "the wall clock: its year, steps, and who keeps it right",
    ),
    "rights": Check(check_rights, (IS_ROOT,), "as whom the appliance runs"),
}
