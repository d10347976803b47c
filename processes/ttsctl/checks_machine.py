"""What `ttsctl doctor` checks of the machine: disk, memory, CPU, files, clock, libraries, network.

Owns: the limits from which something is a warning or a failure.
Refuses to know: how the appliance works on this machine (`checks_appliance`).
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import ipaddress
import os
import re
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from appliance.packages import HOW_TO_INSTALL, missing_packages
from appliance.pools import OTHERS_BYTES, pool_bytes
from processes.ttsctl.finding import Finding, fail, ok, warn, worst
from processes.ttsctl.patient import PROC, Patient
from processes.ttsctl.place import CHECKOUT
from processes.ttsctl.table import format_size

DISK_WARN_RATIO, DISK_FAIL_RATIO = 0.80, 0.95
"""Used shares of space and of inodes from which to warn and to fail."""
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
LEAST_PYTHON = (3, 11)
MAX_NAMED = 4
"""Packages or processes named in one line."""
LOCK = CHECKOUT / "requirements" / "run.txt"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(\s*;)?", re.MULTILINE)
CPU_FLAGS = re.compile(r"^flags\s*: (.*)$", re.MULTILINE)
"""Of /proc/cpuinfo on x86-64; other machines call theirs otherwise. Source: proc(5)."""
VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""Either multiplies and adds bytes in one instruction, for which decoders are made of int8.
Source: Linux, arch/x86/include/asm/cpufeatures.h."""
SOMEWHERE = ("192.0.2.1", 9)
"""An address of which only the route is asked. Source: RFC 5737."""
MEMORY_LIMITS = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
"""Below /sys/fs/cgroup: limit and use of a container and what the use consists of, cgroup v2 and v1."""
INACTIVE_FILES = re.compile(r"^(?:total_)?inactive_file (\d+)$", re.MULTILINE)
"""Cached files that the kernel gives up when memory is wanted; v1 has a second line, the total."""
CGROUPS = Path("/sys/fs/cgroup")


def check_disk(patient: Patient) -> Finding:
    """Space and inodes of the data and the run directory."""
    places = [patient.run_dir, *([patient.settings.data.dir] if patient.settings else [])]
    found = {place: next(path for path in (place, *place.parents) if path.exists()) for place in places}
    disks = {existing.stat().st_dev: (place, existing) for place, existing in found.items()}
    return worst([_disk(place, existing) for place, existing in disks.values()])


def _disk(place: Path, existing: Path) -> Finding:
    found = os.statvfs(existing)
    used = found.f_blocks - found.f_bfree
    space = used / max(1, used + found.f_bavail)
    inodes = 1 - found.f_favail / found.f_files if found.f_files else 0.0
    free = format_size(found.f_bavail * found.f_frsize)
    seen = f"{place}: {space:.0%} of the space and {inodes:.0%} of the inodes used, {free} free"
    if max(space, inodes) >= DISK_FAIL_RATIO:
        return fail(seen, f"free space on the disk of {existing} now: nothing more can be written soon")
    if max(space, inodes) >= DISK_WARN_RATIO:
        return warn(seen, f"free space on the disk of {existing}")
    return ok(seen)


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
    if available < least:
        return fail(
            seen, "stop something else on this machine, or lower workers.* (docs/operate/capacity.md)"
        )
    if swap > SWAP_WARN_RATIO * values["SwapTotal"]:
        return warn(seen, "find out who uses the memory (ps aux --sort -rss): swapped workers speak late")
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
    seen = "no VNNI: a neural voice takes about twice as long as with it"
    if "avx2" not in flags:
        seen = "neither VNNI nor AVX2: a neural voice takes many times as long as with them"
    advice = "give a virtual machine its host's CPU type, else fewer listeners (docs/operate/capacity.md)"
    return warn(seen, advice)


def check_open_files(patient: Patient) -> Finding:
    """The limit of open files, and how near the gateway is to it."""
    pid = patient.program("gateway").get("pid")
    if not pid:
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return _limit(f"{soft} files may be open", soft)
    soft = resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    used = len(list((PROC / str(pid) / "fd").iterdir()))
    seen = f"the gateway has {used} of {soft} files open"
    advice = "find out who holds connections (ss -tnp), or raise the limit (LimitNOFILE= of the unit)"
    if used >= FILES_FAIL_RATIO * soft:
        return fail(seen, advice)
    return warn(seen, advice) if used >= FILES_WARN_RATIO * soft else _limit(seen, soft)


def _limit(seen: str, soft: int) -> Finding:
    if 0 <= soft < LEAST_FILES:
        return fail(
            seen, f"raise the limit to {LEAST_FILES} at least: ulimit -n, or LimitNOFILE= of the unit"
        )
    return ok(seen)


def check_clock(patient: Patient) -> Finding:
    """The wall clock: its year, who keeps it right, and whether it was moved since the gateway's start."""
    now = datetime.now(UTC)
    seen = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    set_it = "have a time service set it: timedatectl set-ntp true"
    if now.year < FIRST_YEAR:
        return fail(f"{seen} can't be", set_it)
    if patient.status is not None:
        lived_s = (now - datetime.fromisoformat(patient.status["since"])).total_seconds()
        step_s = lived_s - patient.status["uptime_s"]
        if abs(step_s) > STEP_S:
            advice = "nothing here depends on it; times in the log before that are off, or the machine slept"
            return warn(f"{seen}, moved by {step_s:+.0f} s since the gateway's start", advice)
    if _is_left_alone():
        return warn(f"{seen}, and nothing keeps it right", set_it)
    return ok(seen)


def _is_left_alone() -> bool:
    """Ask the kernel whether no time service steers the clock; False when it doesn't say."""
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    return state == TIME_ERROR


def check_packages(patient: Patient) -> Finding:
    """Python and the libraries against the lock, and what the engines of the pools need beyond it."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < LEAST_PYTHON:
        return fail(f"Python {version}", "make clean run with Python 3.11 or newer")
    pins = {name: pinned for name, pinned, marker in PIN.findall(LOCK.read_text("utf-8")) if not marker}
    installed = {name: _installed(name) for name in pins}
    missing = sorted(name for name, found in installed.items() if found is None)
    if missing:
        return fail(f"Python {version}; missing: {_named(missing)}", "make clean run")
    engines = [pool.engine for pool in patient.pools if pool.size]
    lacking = {engine: names for engine in engines if (names := missing_packages(engine))}
    if lacking:
        seen = "; ".join(f"missing for {engine}: {_named(names)}" for engine, names in lacking.items())
        return fail(
            f"Python {version}; {seen}", f"{HOW_TO_INSTALL}; or set workers.{next(iter(lacking))} = 0"
        )
    other = [f"{name} {installed[name]} for {pins[name]}" for name in pins if installed[name] != pins[name]]
    if other:
        return warn(f"Python {version}; not as locked: {_named(other)}", "make clean run")
    return ok(f"Python {version} and {len(pins)} libraries as in requirements/run.txt")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def check_espeak(patient: Patient) -> Finding:
    """espeak-ng's library and data, without loading them."""
    if patient.settings is not None and not patient.settings.workers.espeak:
        return ok("no espeak worker is set")
    spec = importlib.util.find_spec("espeakng_loader")
    places = spec.submodule_search_locations if spec else None
    place = Path(places[0] if places else "/nowhere")
    data = place / "espeak-ng-data"
    if not (data / "phontab").is_file() or not list(place.glob("libespeak-ng.so*")):
        return fail("espeak-ng's library or data isn't there", "make clean run")
    return ok(f"{len(list((data / 'lang').rglob('*')))} language files in {data}")


def check_network(patient: Patient) -> Finding:
    """Where it can be reached, and whether the admin networks still fit this machine's address."""
    if patient.settings is None:
        return warn("can't be seen: the configuration is wrong", "ttsctl check-config")
    host, admin = patient.settings.http.host, patient.settings.admin
    address = _own_address()
    if address is None:
        return warn(f"http.host = {host}, and no network", "plug it in: only this machine can reach it")
    seen = f"http.host = {host}, this machine is {address}"
    is_inside = any(ipaddress.ip_address(address) in ipaddress.ip_network(each) for each in admin.networks)
    if admin.key_file and not is_inside:
        advice = "add this network to admin.networks and restart; ttsctl works all the same"
        return warn(f"{seen}, which is in none of admin.networks", advice)
    return ok(seen)


def _own_address() -> str | None:
    """Return the address from which this machine would go out; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(SOMEWHERE)
        except OSError:
            return None
        return str(probe.getsockname()[0])
