"""The processes below the launcher: supervisord and whatever it may leave behind.

Owns: starting supervisord in a session of its own with a clean environment, reaping every child (the launcher
is the subreaper of all), ending what has lost its parent, killing what is left at the end.
Refuses to know: in which order the appliance stops.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from appliance.lifecycle import become_subreaper
from appliance.secret_settings import SECRET_VARIABLES
from appliance.settings import ROOT

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(8 * 1024**2), "MALLOC_TRIM_THRESHOLD_": str(32 * 1024**2)}
"""Buffers of audio come from the heap instead of fresh pages each time: a request costs a tenth less CPU, and
memory doesn't step. Source: mallopt(3); measured with `make bench`."""
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
"""The importer downloads models."""
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", *PROXY_VARIABLES)
KEPT_PREFIXES = ("APPLIANCE_", "PYTHON", "LC_", "COVERAGE_")
"""The environment that programs get; what a desktop session or a container adds stays out."""
KILL_S = 5.0
"""Seconds that killed processes may take to disappear."""
INIT_PID = 1


class Child(NamedTuple):
    """A process whose parent is this one."""

    pid: int
    name: str
    """Of its command, at most 15 bytes."""
    is_dead: bool
    """Whether only its exit status is left."""


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for supervisord and its programs, with this interpreter first in the PATH."""
    kept = {
        name: value
        for name, value in environ.items()
        if (name in KEPT_VARIABLES or name.startswith(KEPT_PREFIXES)) and name not in SECRET_VARIABLES
    }
    here = str(Path(sys.executable).parent)
    return ALLOCATOR | kept | {"PATH": f"{here}:{kept['PATH']}" if kept.get("PATH") else here}


class Children:
    """supervisord and every process that lost its own parent."""

    def __init__(self, configuration: Path) -> None:
        """Start supervisord.

        Args:
            configuration: Its configuration file.
        """
        become_subreaper()
        self._spared = {child.pid for child in _children_of(os.getpid())}
        """Children that it came with, as of a shell's `exec … > >(…)`, and those that it has killed once."""
        self.orphans: frozenset[int] = frozenset()
        """Processes that the last `end_orphans` saw and didn't end."""
        self.output, output_end = os.pipe()
        """Read end of what supervisord and the programs write."""
        command = [sys.executable, "-m", "processes.launcher.supervisord", "-n", "-c", str(configuration)]
        if os.geteuid() == 0:
            command += ["-u", "0"]  # said aloud, or supervisord warns that it runs as root
        self._supervisord = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=output_end,
            stderr=output_end,
            start_new_session=True,
        )
        os.close(output_end)
        self.exit_status: int | None = None
        """supervisord's exit code, or minus its signal's number; None while it runs."""

    def reap(self) -> None:
        """Take the exit status of every child that is dead; never blocks."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._supervisord.pid:
                self.exit_status = os.waitstatus_to_exitcode(status)
                self._supervisord.returncode = self.exit_status

    def end_orphans(self) -> list[Child]:
        """Kill what has lost its parent and was seen by the last call too; never blocks.

        A worker's child in a session of its own outlives its worker: it is in nobody's process group. Between
        two calls it may end by itself, and when supervisord dies, its programs are seen here before that is
        known. Does nothing once it is known, nor where this is process 1 and so the parent of whatever
        `docker exec` has left behind; the image has tini for that.

        Returns:
            What was killed.
        """
        if self.exit_status is not None or os.getpid() == INIT_PID:
            return []
        found = {child.pid: child for child in _children_of(os.getpid()) if not child.is_dead}
        found.pop(self._supervisord.pid, None)
        self._spared &= found.keys()
        ended = []
        for pid in self.orphans & found.keys():
            self._spared.add(pid)  # even if the kernel takes its time or refuses
            with contextlib.suppress(PermissionError):
                os.kill(pid, signal.SIGKILL)
                ended.append(found[pid])
        self.orphans = frozenset(found.keys() - self._spared)
        return ended

    def terminate(self) -> None:
        """Ask supervisord to stop; never blocks."""
        if self.exit_status is None:
            self._supervisord.send_signal(signal.SIGTERM)
            # It looks first, and takes the exit status of one that has ended since the last `reap`.
            self.exit_status = self._supervisord.returncode

    def kill_all(self) -> list[int]:
        """Kill supervisord and all that is left below this process; blocks `KILL_S` at most.

        Returns:
            The process ids that had to be killed.
        """
        killed: set[int] = set()
        deadline_s = time.monotonic() + KILL_S
        while (
            children := [child.pid for child in _children_of(os.getpid())]
        ) and time.monotonic() < deadline_s:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            killed.update(children)
            self.reap()
            time.sleep(0.01)
        self.reap()
        return sorted(killed)


def _children_of(parent: int) -> Iterator[Child]:
    """Yield every process, a zombie or not, whose parent this is.

    Source: proc(5), `/proc/pid/stat`: the state and the parent's id stand behind the parenthesised name.
    """
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            front, _, rest = (entry / "stat").read_bytes().rpartition(b")")
        except OSError:
            continue
        state, its_parent, *_ = rest.split()
        if int(its_parent) == parent:
            name = front.partition(b"(")[2].decode(errors="replace")
            yield Child(int(entry.name), name, is_dead=state == b"Z")
