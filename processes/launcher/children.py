"""The processes below the launcher: supervisord and whatever it may leave behind.

Owns: starting supervisord in a session of its own with a clean environment, reaping every child (the launcher
is the subreaper of all), killing what is left at the end.
Refuses to know: in which order the appliance stops.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from appliance.lifecycle import become_subreaper
from appliance.settings import ROOT

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(8 * 1024**2), "MALLOC_TRIM_THRESHOLD_": str(32 * 1024**2)}
"""Buffers of audio come from the heap instead of fresh pages each time: a request costs a tenth less CPU, and
memory doesn't step. Source: mallopt(3); measured with `make bench`."""
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
KEPT_PREFIXES = ("APPLIANCE_", "PYTHON", "LC_", "COVERAGE_")
"""The environment that programs get; what a desktop session or a container adds stays out."""
KILL_S = 5.0
"""Seconds that killed processes may take to disappear."""


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for supervisord and its programs, with this interpreter first in the PATH."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in KEPT_VARIABLES or name.startswith(KEPT_PREFIXES)
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
        while (children := list(_children_of(os.getpid()))) and time.monotonic() < deadline_s:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            killed.update(children)
            self.reap()
            time.sleep(0.01)
        self.reap()
        return sorted(killed)


def _children_of(parent: int) -> Iterator[int]:
    """Yield every process, a zombie or not, whose parent this is.

    Source: proc(5), `/proc/pid/stat`: the parent's id is the second field behind the parenthesised name.
    """
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            yield int(entry.name)
