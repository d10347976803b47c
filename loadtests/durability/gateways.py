"""The smallest appliance that speaks jobs: the shipped gateway, again and again, and one tone worker.

Owns: their processes, the listening socket that outlives every gateway.
Refuses to know: what is asked of them.

supervisord starts a gateway that died at once only when it has run for three seconds, so this takes its place
and the launcher's.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from appliance.settings import ROOT, load_settings
from loadtests.durability import CONTROL
from processes.launcher.listeners import SocketHandOver
from tests.parts.appliance import launcher_environment

PATIENCE_S = 600.0
"""For a machine that has other work; nobody waits for it to pass."""
SETTINGS: dict[str, object] = {
    "VOICES_DEFAULT": "tone-low",
    "TONE_DELAY_S": 0.02,
    "TONE_HOOKS": "false",
    "HEALTH_PROBE_INTERVAL_S": 3600,
    "STORE_BACKUP_AT": "",
}
"""A tone worker takes 20 ms for an utterance, so that kills come amid jobs too."""


class Gateways:
    """One gateway after another on one port; `running_gateways` makes and ends them."""

    def __init__(
        self, base: Path, nursery: subprocess.Popen[str], hand_over: SocketHandOver, port: int
    ) -> None:
        self.data_dir = base / "data"
        self.port = port
        self._environment = environment(base)
        self._nursery = nursery
        self._hand_over = hand_over
        self._worker: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def start(self) -> None:
        """Start a gateway, unless one runs; returns when it has its socket, before it answers.

        Raises:
            ChildProcessError: It ended before.
        """
        if self._pid:
            return
        if self._worker is None or self._worker.poll() is not None:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "processes.worker", "--engine", "tone", "--slot", "1"],
                cwd=ROOT,
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        assert self._nursery.stdin is not None
        self._nursery.stdin.write("\n")
        self._nursery.stdin.flush()
        self._pid = int(self._told())
        assert self._nursery.stdout is not None
        sources = [self._hand_over.fileno(), self._nursery.stdout.fileno()]
        ready, _, _ = select.select(sources, [], [], PATIENCE_S)
        if self._hand_over.fileno() not in ready:
            message = "the gateway has ended before it asked for its socket"
            raise ChildProcessError(message)
        self._hand_over.serve_one()

    def stand_still(self) -> None:
        """Let the gateway take no further step."""
        os.kill(self._pid, signal.SIGSTOP)

    def kill(self) -> None:
        """Kill the gateway, if one runs; returns when it is gone."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self._told()
            self._pid = 0

    def end(self) -> None:
        """Kill all there is."""
        self.kill()
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()

    def _told(self) -> str:
        assert self._nursery.stdout is not None
        return self._nursery.stdout.readline()


def environment(base: Path) -> dict[str, str]:
    """Return the environment of all processes that work in a folder."""
    return launcher_environment(base, **SETTINGS)


@contextlib.contextmanager
def running_gateways(base: Path, *, is_control: bool = False) -> Iterator[Gateways]:
    """Make what gateways are started from; all of it ends with the block.

    Args:
        base: Gets `run/`, `data/` and the log; a short path.
        is_control: Whether their databases force nothing to the disk.
    """
    known = load_settings(
        {name: text for name, text in environment(base).items() if name.startswith("APPLIANCE_")}
    )
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        hand_over = stack.enter_context(contextlib.closing(SocketHandOver(known, {"http": listener})))
        log = stack.enter_context((base / "log").open("ab"))
        nursery = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "loadtests.durability.nursery", *([CONTROL] if is_control else [])],
                cwd=ROOT,
                env=environment(base),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )
        )
        stack.callback(nursery.kill)
        gateways = Gateways(base, nursery, hand_over, listener.getsockname()[1])
        stack.callback(gateways.end)
        yield gateways
