"""A worker hangs while its gateway restarts, so that no gateway ever hears from it: row W5 with G1 and G2."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from processes.worker.__main__ import ExitCode
from tests.parts.appliance import Appliance, eventually
from tests.parts.slow_clients import connect, speech
from tests.parts.speaking import (
    HOOKED,
    busy_worker,
    connected_workers,
    speak,
    stack_is_logged,
    wait_until_whole,
)

pytestmark = pytest.mark.timeout(180)

SIZE = 2
PROGRESS_S = 5.0
"""Longer than the gateway takes to end, which is what kills the worker here."""


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(
        WORKERS_TONE=SIZE,
        WORKERS_PROGRESS_S=PROGRESS_S,
        **HOOKED,
    )
    made.wait_until_ready()
    return made


def leave_a_worker_hanging(appliance: Appliance, text: str) -> dict[str, Any]:
    """Ask for what never ends, and hang up once a worker speaks it; return that worker."""
    with connect(appliance, speech(text)):
        return busy_worker(appliance)


@pytest.mark.parametrize(
    ("number", "event", "cause"),
    [
        (signal.SIGTERM, "worker_killed", {"cause": "cancel"}),
        (signal.SIGKILL, "worker_stuck", {"waited_s": PROGRESS_S + 2}),
    ],
    ids=["stopped", "killed"],
)
def test_worker_when_it_hangs_and_the_gateway_restarts_then_it_ends_with_its_stack_and_is_replaced(
    appliance: Appliance, number: signal.Signals, event: str, cause: dict[str, Any]
) -> None:
    wait_until_whole(appliance, SIZE)
    appliance.wait_until_running()
    gateway = appliance.program("gateway").pid
    seen = len(appliance.lines)
    hung = leave_a_worker_hanging(appliance, f"It never ends. __HANG__ {number}")
    os.kill(gateway, number)
    appliance.wait_for(event, after=seen, worker=hung["name"], **cause)
    eventually(lambda: stack_is_logged(appliance, "_hang", seen))
    eventually(lambda: len(connected_workers(appliance, "ready")) == SIZE)
    assert hung["pid"] not in {worker["pid"] for worker in connected_workers(appliance)}
    assert speak(appliance, "Well again.").status == 200
    if number == signal.SIGKILL:
        said = [str(line.get("message")) for line in appliance.lines[seen:] if line["event"] == "supervisord"]
        assert any(f"exit status {ExitCode.STUCK}" in line for line in said)
