"""ttsctl as a part of a test: the real command against a running appliance."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.settings import ROOT
from tests.parts.appliance import Appliance

LIMIT_S = 60.0
NOTING = """
import runpy, sys
def note(event, arguments):
    if event == "sqlite3.connect":
        print("opened:", arguments[0], file=sys.stderr)
sys.addaudithook(note)
sys.argv[0] = "ttsctl"
runpy.run_module("processes.ttsctl", run_name="__main__")
"""


def run_ttsctl(appliance: Appliance, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ttsctl with the appliance's environment and wait for its end.

    Args:
        appliance: Whose run directory is asked.
        arguments: Of the command line.
        variables: Of the environment, besides the appliance's.
    """
    return run_ttsctl_in(appliance.environment | variables, *arguments)


def run_ttsctl_noting(appliance: Appliance, *arguments: str) -> tuple[str, list[str]]:
    """Run ttsctl; return its standard output, and each database that it opened itself."""
    done = subprocess.run(
        [sys.executable, "-c", NOTING, *arguments],
        cwd=ROOT,
        env=appliance.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if line.startswith("opened:")]


def run_ttsctl_in(
    environment: dict[str, str], *arguments: str, typed: str = "", cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run ttsctl in an environment, with something on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "processes.ttsctl", *arguments],
        cwd=cwd,
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@contextmanager
def listening(path: Path, answer: bytes) -> Iterator[None]:
    """Somebody at a gateway's socket who says the same to everybody; nothing at all if it is empty."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))
        server.listen()
        taken: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                taken.append(connection)
                if not answer:
                    continue
                with suppress(ConnectionError):  # ttsctl has heard enough and left
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65_536):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in taken:
            connection.close()


def environment_of(run_dir: Path) -> dict[str, str]:
    """This environment with a run directory of its own, and no other setting."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_")}
    return kept | {"APPLIANCE_RUN_DIR": str(run_dir)}
