"""The appliance that is broken on purpose, and what can be asked of it from outside.

Owns: its log's reader, its programs' processes, the state of its pool as the gateway tells it.
Refuses to know: which faults there are.

Everything here may block; asynchronous callers use a thread.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from appliance.lifecycle import GATEWAY_SOCKET, PROGRAMS_FILE, read_json
from appliance.settings import ROOT
from appliance.unix_calls import UnixConnection
from loadtests.appliance import LAUNCHER, Appliance, running_appliance

LEDGER_NAME = "ledger.jsonl"
WORKERS = 4
DELAY_S = 0.01
"""Seconds that the tone engine takes for an utterance: long enough to be killed in."""
PROGRESS_S = 3.0
RECYCLE_BYTES = 96 * 1024 * 1024
"""Memory that ends a worker: twice that of a new one."""
SETTINGS: dict[str, object] = {
    "WORKERS_ESPEAK": 0,
    "WORKERS_TONE": WORKERS,
    "WORKERS_PROGRESS_S": PROGRESS_S,
    "WORKERS_RECYCLE_RSS_BYTES": RECYCLE_BYTES,
    "TONE_DELAY_S": DELAY_S,
    "TONE_HOOKS": "true",
    "DISPATCH_CORES": WORKERS,
    "HEALTH_PROBE_INTERVAL_S": 15,
    "VOICES_DEFAULT": "tone-low",
    "LOG_LEDGER_FILE": LEDGER_NAME,
    "STORE_HISTORY_ROWS": 10_000_000,
}
SUPERVISORCTL = str(Path(sys.executable).parent / "supervisorctl")
ASK_S = 1.0
COMMAND_S = 60.0


class LogReader:
    """Reads the appliance's log and counts its events, unless it is told to stall as a log driver would."""

    def __init__(self, pipe: int) -> None:
        """Start the thread.

        Args:
            pipe: The reading end; read until the last writer is gone.
        """
        self._pipe = pipe
        self._may_read = threading.Event()
        self._may_read.set()
        self.events: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._read, name="log-reader", daemon=True)
        self._thread.start()

    def stall(self) -> None:
        """Read nothing until `go_on`."""
        self._may_read.clear()

    def go_on(self) -> None:
        """Read again."""
        self._may_read.set()

    def join(self) -> None:
        """Wait until everything has been read."""
        self.go_on()
        self._thread.join(COMMAND_S)

    def _read(self) -> None:
        with os.fdopen(self._pipe, "rb") as lines:
            for line in lines:
                with suppress(ValueError):
                    self.events[str(json.loads(line).get("event"))] += 1
                self._may_read.wait()


class Target:
    """A running appliance under attack; `running_target` makes and ends it."""

    def __init__(self, appliance: Appliance, log: LogReader) -> None:
        self.port = appliance.port
        self.run_dir = appliance.run_dir
        self.log = log
        self.data_dir = appliance.data_dir
        self.ledger_path = appliance.data_dir / LEDGER_NAME

    def status(self) -> dict[str, Any]:
        """Return what the gateway says of itself on its socket; nothing if it doesn't answer in a second."""
        with suppress(ValueError):
            return dict(json.loads(self._ask("/admin/status")))
        return {}

    def counted(self, name: str) -> float | None:
        """Return a counter of the gateway's that has no labels; None if it doesn't answer in a second."""
        for line in self._ask("/metrics").decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return None

    def dead_parts(self) -> list[str]:
        """Return what `ttsctl live` calls dead.

        Raises:
            subprocess.TimeoutExpired: It doesn't end in time.
            ValueError: It says nothing that can be read.
        """
        done = subprocess.run(
            [sys.executable, "-m", "processes.ttsctl", "--run-dir", str(self.run_dir), "live", "--json"],
            cwd=ROOT,
            check=False,
            capture_output=True,
            timeout=COMMAND_S,
        )
        return list(json.loads(done.stdout)["dead"])

    def largest_worker_bytes(self) -> int:
        """Return the memory of its own of the largest worker, as the kernel tells it."""
        return max((_private_bytes(each["pid"]) for each in self.workers()), default=0)

    def _ask(self, path: str) -> bytes:
        """Return the gateway's answer on its socket; nothing if it doesn't answer in a second."""
        connection = UnixConnection(self.run_dir / GATEWAY_SOCKET, ASK_S)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            return connection.getresponse().read()
        return b""

    def workers(self) -> list[dict[str, Any]]:
        """Return the pool as the gateway sees it."""
        return list(self.status().get("workers", []))

    def is_whole(self) -> bool:
        """Return whether every worker is there and works."""
        return _serving(self.workers()) == WORKERS

    def misses_worker(self) -> bool:
        """Return whether the gateway answers and knows that a worker is gone or hangs."""
        status = self.status()
        return bool(status) and _serving(status["workers"]) < WORKERS

    def pid(self, program: str) -> int:
        """Return the process id of one of supervisord's programs; 0 without a process."""
        return int(read_json(self.run_dir / PROGRAMS_FILE).get(program, {}).get("pid", 0))

    def signal(self, program: str, number: signal.Signals) -> None:
        """Send a signal to a program's process, if it has one."""
        pid = self.pid(program)
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def supervisorctl(self, *arguments: str) -> None:
        """Run supervisorctl.

        Raises:
            subprocess.SubprocessError: It failed or took too long.
        """
        command = [SUPERVISORCTL, "-c", str(self.run_dir / "supervisord.conf"), *arguments]
        subprocess.run(command, cwd=ROOT, env={}, check=True, capture_output=True, timeout=COMMAND_S)


def _private_bytes(pid: int) -> int:
    """Return what counts against `workers.recycle_rss_bytes`; 0 of a process that is gone."""
    with suppress(psutil.NoSuchProcess):
        memory = psutil.Process(pid).memory_info()
        return int(memory.rss - memory.shared)
    return 0


def _serving(workers: list[dict[str, Any]]) -> int:
    return sum(worker["state"] in {"ready", "busy"} for worker in workers)


def wait_for(is_true: Callable[[], bool], limit_s: float, pause_s: float = 0.02) -> float | None:
    """Ask until the answer is true; return the monotonic time then, or None if it never was."""
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        if is_true():
            return time.monotonic()
        time.sleep(pause_s)
    return None


@contextmanager
def running_target(*, launcher: Sequence[str] = LAUNCHER, **settings: object) -> Iterator[Target]:
    """Start an appliance with a ledger and tone workers; stop it in the end.

    Args:
        launcher: As `running_appliance` takes it.
        settings: Over `SETTINGS`, for example `WORKERS_SILENCE_S=60`.

    Raises:
        TimeoutError: It isn't ready in time.
    """
    reading, writing = os.pipe()
    log = LogReader(reading)
    try:
        with running_appliance(launcher=launcher, output=writing, **{**SETTINGS, **settings}) as appliance:
            os.close(writing)
            writing = -1
            target = Target(appliance, log)
            try:
                yield target
            finally:
                log.go_on()
    finally:
        if writing >= 0:
            os.close(writing)
        log.join()
