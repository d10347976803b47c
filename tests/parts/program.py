"""One program of the appliance by itself, without supervisord."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.settings import ROOT, load_settings
from processes.launcher.listeners import SocketHandOver
from tests.parts.appliance import launcher_environment

PATIENCE_S = 15.0
"""Seconds after which a test gives up; no test waits for it to pass."""


class Program:
    """A running program and its log."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def wait_for(self, event: str) -> dict[str, Any]:
        """Wait for its next log line of this event."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            values: dict[str, Any] = json.loads(line)
            if values["event"] == event:
                return values
        message = f"it ended without {event}"
        raise AssertionError(message)


@contextlib.contextmanager
def running_program(package: str, base: Path, **settings: object) -> Iterator[Program]:
    """Run `python -m processes.<package>`, with its run directory in `base`, and kill it at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", f"processes.{package}"],
        cwd=ROOT,
        env=launcher_environment(base, **settings),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Program(process)
        finally:
            process.kill()


@contextlib.contextmanager
def running_gateway(base: Path, **settings: object) -> Iterator[Program]:
    """Run a gateway on a free port, with this test in the launcher's place."""
    known = load_settings(
        {name: text for name, text in launcher_environment(base).items() if name.startswith("APPLIANCE_")}
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hand_over = SocketHandOver(known, {"http": listener})
        with contextlib.closing(hand_over), running_program("gateway", base, **settings) as program:
            assert select.select([hand_over], [], [], PATIENCE_S)[0], "the gateway didn't ask for its socket"
            hand_over.serve_one()
            yield program
