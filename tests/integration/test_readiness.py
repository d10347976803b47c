"""What a program tells a watchdog that comes later than itself."""

from __future__ import annotations

import contextlib
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from appliance.lifecycle import NOTIFY_SOCKET, listen_unix, make_private_dir
from tests.parts.program import PATIENCE_S, Program, running_gateway, running_program
from tests.parts.worker_link import WorkerProcess


def running_exporter(base: Path) -> AbstractContextManager[Program]:
    make_private_dir(base / "run")
    return running_program("exporter", base)


@contextlib.contextmanager
def watchdog_socket(base: Path) -> Iterator[Callable[[], dict[str, str]]]:
    """A watchdog's ear; yields a function that returns the next datagram's assignments."""
    with listen_unix(base / "run" / NOTIFY_SOCKET, socket.SOCK_DGRAM) as ear:
        ear.settimeout(PATIENCE_S)
        yield lambda: dict(line.split("=", 1) for line in ear.recv(4096).decode().split("\n"))


GATEWAY_TOLD = {"READY": "1", "STATUS": "workers tone 0/1"}


@pytest.mark.parametrize(
    ("run", "event", "told"),
    [
        (running_gateway, "gateway_ready", GATEWAY_TOLD),
        (running_exporter, "exporter_ready", {"READY": "1"}),
    ],
    ids=["gateway", "exporter"],
)
def test_ready_when_the_watchdog_comes_later_then_it_is_told_again(
    run_dir: Path, run: Callable[[Path], AbstractContextManager[Program]], event: str, told: dict[str, str]
) -> None:
    with run(run_dir) as program:
        program.wait_for(event)
        with watchdog_socket(run_dir) as heard:
            assert told.items() <= heard().items()


def test_exporter_when_it_cannot_write_where_it_listens_then_it_serves_all_the_same(run_dir: Path) -> None:
    (run_dir / "run" / "exporter.json").mkdir(parents=True)
    with running_exporter(run_dir) as program:
        program.wait_for("state_not_written")
        port = program.wait_for("exporter_ready")["port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
            assert b"tts_up 0" in answer.read()  # there is no gateway


def test_ready_when_the_watchdog_is_replaced_and_knew_it_alone_then_it_is_told_again(run_dir: Path) -> None:
    with running_gateway(run_dir) as program:
        program.wait_for("gateway_ready")
        for _watchdog in range(2):
            with watchdog_socket(run_dir) as heard:
                while not GATEWAY_TOLD.items() <= heard().items():
                    pass


def test_heartbeat_when_a_worker_comes_and_goes_then_the_gateway_names_it_and_no_longer(
    run_dir: Path,
) -> None:
    with running_gateway(run_dir) as program, watchdog_socket(run_dir) as heard:
        program.wait_for("gateway_ready")
        with WorkerProcess(run_dir / "run") as worker:
            wait_until_told(heard, str(worker.pid))
        wait_until_told(heard, "")


def wait_until_told(heard: Callable[[], dict[str, str]], workers: str) -> None:
    """Wait for a heartbeat with this list of workers."""
    while heard().get("X_WORKERS") != workers:
        pass
