"""The whole appliance as a part of a test: the real launcher with everything below it."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from appliance.lifecycle import LAUNCHER_FILE, PROGRAMS_FILE, read_json
from appliance.settings import ROOT
from appliance.watched import ONE_SHOT_PROGRAM

START_LIMIT_S = 60.0
"""A machine that runs many tests at once is slow to start six interpreters."""
POLL_S = 0.02
SUPERVISORCTL = str(Path(sys.executable).parent / "supervisorctl")


def launcher_environment(base: Path, **settings: object) -> dict[str, str]:
    """The environment of an appliance of its own: free ports, one tone worker, nothing of the caller's.

    Args:
        base: Gets `run/` and `data/`; a short path.
        settings: For example `WORKERS_TONE=2` for `APPLIANCE_WORKERS_TONE`; None leaves one to the file.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_")}
    values: dict[str, object] = {
        "RUN_DIR": base / "run",
        "DATA_DIR": base / "data",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": 0,
        "EXPORTER_PORT": 0,
        "WYOMING_HOST": "127.0.0.1",
        "WYOMING_PORT": 0,
        "WORKERS_ESPEAK": 0,
        "WORKERS_TONE": 1,
        "WORKERS_VITS": 0,
        "WORKERS_COQUI": 0,
        "STORE_BALLAST_BYTES": 0,
        "CACHE_SPEECH": "false",  # so that each request of a test is spoken
        **settings,
    }
    return inherited | {
        f"APPLIANCE_{name}": str(value) for name, value in values.items() if value is not None
    }


def run_launcher(base: Path, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a launcher that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "processes.launcher", *arguments],
        cwd=ROOT,
        env=launcher_environment(base, **settings),
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
        check=False,
    )


def eventually(check: Callable[[], Any], limit_s: float = START_LIMIT_S) -> Any:
    """Ask again and again until the answer is true, and return it."""
    deadline_s = time.monotonic() + limit_s
    while not (answer := check()):
        assert time.monotonic() < deadline_s, f"not within {limit_s} s: {check}"
        time.sleep(POLL_S)
    return answer


class Appliance:
    """A running appliance with a run directory and ports of its own.

    Its log is read by a thread; `pause_reading` stops that, as a log driver that stalls would.
    """

    def __init__(
        self, base: Path, *, pipe_bytes: int = 0, inside: Sequence[str] = (), **settings: object
    ) -> None:
        """Start the launcher and come back at once.

        Args:
            base: Gets `run/`, `data/` and `config/`; a short path.
            pipe_bytes: Size of the pipe for its output; 0 leaves the kernel's.
            inside: What stands before the command, such as that which enters a network namespace.
            settings: For example `WORKERS_TONE=2` for `APPLIANCE_WORKERS_TONE`.
        """
        self.base = base
        self.run_dir = base / "run"
        self.environment = launcher_environment(base, **settings)
        self.lines: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._may_read = threading.Event()
        self._may_read.set()
        self.process = subprocess.Popen(
            [*inside, sys.executable, "-m", "processes.launcher"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self._output = self.process.stdout
        if pipe_bytes:
            fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, pipe_bytes)
        self._reader = threading.Thread(target=self._read, name="log-reader", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._output:
            with self._news:
                self.lines.append(json.loads(line))
                self._news.notify_all()
            self._may_read.wait()
        with self._news:
            self._news.notify_all()

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    def wait_for(
        self, event: str, *, after: int = 0, limit_s: float = START_LIMIT_S, **fields: Any
    ) -> dict[str, Any]:
        """Wait for a log line and return it.

        Args:
            event: The line's event.
            after: Leave out this many lines (`len(appliance.lines)` of an earlier moment).
            limit_s: Seconds to wait.
            fields: What the line must have.
        """
        wanted = {"event": event, **fields}

        def found() -> dict[str, Any] | None:
            return next((line for line in self.lines[after:] if wanted.items() <= line.items()), None)

        with self._news:
            self._news.wait_for(lambda: found() or self.process.poll() is not None, limit_s)
            line = found()
        assert line, f"no {wanted} within {limit_s} s in:\n" + "\n".join(map(str, self.lines[after:]))
        return line

    def wait_until_ready(self) -> None:
        self.wait_for("appliance_ready")
        assert self.port  # read once, so that no test reads the file on an event loop
        assert self.wyoming_port is not None

    def wait_until_running(self) -> None:
        """Wait until supervisord calls every program that stays RUNNING (`startsecs` after the start)."""

        def states() -> set[str]:
            programs = self.programs().items()
            return {program["state"] for name, program in programs if name != ONE_SHOT_PROGRAM}

        eventually(lambda: states() == {"RUNNING"})

    @functools.cached_property
    def port(self) -> int:
        return int(read_json(self.run_dir / LAUNCHER_FILE)["http_port"])

    @functools.cached_property
    def wyoming_port(self) -> int:
        """0 where nobody listens."""
        return int(read_json(self.run_dir / LAUNCHER_FILE)["wyoming_port"] or 0)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def exporter_url(self) -> str:
        """Known once the exporter has started."""
        port = eventually(lambda: read_json(self.run_dir / "exporter.json").get("port"))
        return f"http://127.0.0.1:{port}"

    def get(self, path: str) -> bytes:
        """GET a path of the gateway."""
        with urllib.request.urlopen(self.base_url + path, timeout=30) as response:
            body: bytes = response.read()
            return body

    def programs(self) -> dict[str, dict[str, Any]]:
        """What the watchdog wrote."""
        return read_json(self.run_dir / PROGRAMS_FILE)

    def program(self, name: str) -> psutil.Process:
        """The process of one of supervisord's programs; waits while the watchdog still names a dead one."""

        def running() -> psutil.Process | None:
            pid = self.programs().get(name, {}).get("pid")
            return psutil.Process(pid) if pid and psutil.pid_exists(pid) else None

        found: psutil.Process = eventually(running)
        return found

    def supervisord(self) -> psutil.Process:
        return psutil.Process(int((self.run_dir / "supervisord.pid").read_text()))

    def supervisorctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run supervisorctl as an operator does: with the file in `config/`, nothing in the environment."""
        config = self.base / "config" / "supervisord.conf"
        config.parent.mkdir(exist_ok=True)
        config.write_bytes((ROOT / "config" / "supervisord.conf").read_bytes())
        return subprocess.run(
            [SUPERVISORCTL, "-c", str(config), *arguments],
            cwd="/",
            env={},
            capture_output=True,
            text=True,
            timeout=START_LIMIT_S,
            check=False,
        )

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, limit_s: float = START_LIMIT_S) -> int:
        """Wait for the launcher's end and all of its log, and return the exit code."""
        exit_code = self.process.wait(limit_s)
        self.resume_reading()
        self._reader.join(limit_s)
        return exit_code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop the appliance, see that nothing is left of it, and return the exit code."""
        self.send_signal(number)
        exit_code = self.wait()
        self.assert_nothing_left()
        return exit_code

    def left_processes(self) -> list[psutil.Process]:
        """Every living process that was started with this run directory."""
        mine = f"{self.run_dir}"
        left = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("APPLIANCE_RUN_DIR") == mine:
                    left.append(process)
        return left

    def assert_nothing_left(self) -> None:
        assert self.left_processes() == []

    def close(self) -> None:
        """End everything, whatever state it is in."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for process in self.left_processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.resume_reading()
        self._reader.join()
        self._output.close()


@contextlib.contextmanager
def running_appliance(base: Path, **settings: Any) -> Iterator[Appliance]:
    """An appliance that is ready, and ended with the block."""
    with contextlib.closing(Appliance(base, **settings)) as appliance:
        appliance.wait_until_ready()
        yield appliance


def taken_port() -> tuple[socket.socket, int]:
    """A listening socket and its port, which nobody else can take."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, listener.getsockname()[1]


def free_port() -> int:
    """A port on which nobody listens now."""
    listener, port = taken_port()
    listener.close()
    return port
