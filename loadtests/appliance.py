"""An appliance to measure: the launcher and everything below it, on ports of its own.

Owns: starting and stopping it, the CPU and memory of its processes.
Refuses to know: what it is asked.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from appliance.lifecycle import LAUNCHER_FILE, read_json
from appliance.settings import ROOT
from processes.ttsctl.voice_bench.usage import cpu_s

LAUNCHER = ("processes.launcher",)
"""The module that starts an appliance, and its arguments."""
START_LIMIT_S = 60.0
STOP_LIMIT_S = 60.0
POLL_S = 0.05
SETTINGS = {
    "HTTP_HOST": "127.0.0.1",
    "HTTP_PORT": 0,
    "EXPORTER_PORT": 0,
    "WYOMING_PORT": 0,
    "HEALTH_PROBE_INTERVAL_S": 3600,
    "CACHE_SPEECH": "false",
}
"""Probes would add their own speech to what is measured, and of equal requests each is to be spoken."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one process uses."""

    own_bytes: int
    """Memory that it has for itself (USS)."""
    descriptors: int
    threads: int


class Appliance:
    """A running appliance; `running_appliance` makes and ends it."""

    def __init__(self, launcher: subprocess.Popen[bytes], run_dir: Path, port: int) -> None:
        self.launcher = launcher
        self.run_dir = run_dir
        self.data_dir = run_dir.parent / "data"
        self.port = port
        root = psutil.Process(launcher.pid)
        self._processes = {name_of(each): each for each in (root, *root.children(recursive=True))}

    @property
    def wyoming_port(self) -> int:
        """Where its Wyoming server listens."""
        return int(read_json(self.run_dir / LAUNCHER_FILE)["wyoming_port"] or 0)

    def cpu_s(self) -> float:
        """Return the CPU seconds that all processes together have used since their start."""
        return sum(cpu_s(each.pid) for each in self._processes.values())

    def idle_cpu_share(self, during_s: float) -> float:
        """Leave it alone for some seconds; return the CPU seconds it uses per second."""
        begun_s = self.cpu_s()
        time.sleep(during_s)
        return (self.cpu_s() - begun_s) / during_s

    def shared_out_bytes(self) -> int:
        """Return the memory of all processes, what several share counted once (PSS)."""
        return sum(each.memory_full_info().pss for each in self._processes.values())

    def resident_bytes(self, name: str) -> int:
        """Return the memory of one process, with what it shares (RSS)."""
        return int(self._processes[name].memory_info().rss)

    def memory_bytes(self) -> dict[str, int]:
        """Return the memory that each process has for itself (USS)."""
        return {name: each.memory_full_info().uss for name, each in self._processes.items()}

    def resources(self) -> dict[str, Resources]:
        """Return what each process uses now."""
        return {
            name: Resources(each.memory_full_info().uss, each.num_fds(), each.num_threads())
            for name, each in self._processes.items()
        }

    def file_count(self) -> int:
        """Return how many files lie in its directories: run, data and temporary ones."""
        return sum(len(names) for _, _, names in os.walk(self.run_dir.parent))


@contextlib.contextmanager
def on_cores(cores: Iterable[int]) -> Iterator[None]:
    """Have what this thread starts within the block, processes and threads, run on these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running_appliance(
    *, launcher: Sequence[str] = LAUNCHER, output: int = subprocess.DEVNULL, **settings: object
) -> Iterator[Appliance]:
    """Start an appliance, wait until all its workers are ready, stop it in the end.

    Args:
        launcher: What to run in place of the launcher: a module and its arguments.
        output: Where its log goes, as for `subprocess.Popen`; whoever takes it must read it.
        settings: For example `WORKERS_TONE=2` for `APPLIANCE_WORKERS_TONE`.

    Raises:
        TimeoutError: It isn't ready within `START_LIMIT_S`.
    """
    with tempfile.TemporaryDirectory(prefix="bench") as base:
        run_dir = Path(base) / "run"
        temporary = Path(base) / "tmp"
        temporary.mkdir()
        values = {"RUN_DIR": run_dir, "DATA_DIR": Path(base) / "data", **SETTINGS, **settings}
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("APPLIANCE_")}
        process = subprocess.Popen(
            [sys.executable, "-m", *launcher],
            cwd=ROOT,
            env=inherited
            | {"TMPDIR": str(temporary)}
            | {f"APPLIANCE_{name}": str(value) for name, value in values.items()},
            stdout=output,
            start_new_session=True,
        )
        try:
            yield Appliance(process, run_dir, _wait_until_ready(run_dir))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_LIMIT_S)


def name_of(process: psutil.Process) -> str:
    """Return what the appliance calls this process of its own."""
    arguments = process.cmdline()
    module = arguments[arguments.index("-m") + 1] if "-m" in arguments else arguments[0]
    name = module.removeprefix("processes.").rpartition(".")[2]
    if name == "worker":
        return (
            f"worker-{arguments[arguments.index('--engine') + 1]}-{arguments[arguments.index('--slot') + 1]}"
        )
    return name


def _wait_until_ready(run_dir: Path) -> int:
    """Return the HTTP port once every worker is ready."""
    deadline_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline_s:
        port = read_json(run_dir / LAUNCHER_FILE).get("http_port")
        if port is not None and _is_ready(port):
            return int(port)
        time.sleep(POLL_S)
    message = f"the appliance isn't ready after {START_LIMIT_S:g} s"
    raise TimeoutError(message)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_LIMIT_S)
    try:
        connection.request("GET", "/health")
        health = json.loads(connection.getresponse().read())
    except (OSError, ValueError):
        return False
    finally:
        connection.close()
    workers = health["worker"]
    return bool(health["status"] == "ok" and 0 < workers["ready"] == workers["total"])
