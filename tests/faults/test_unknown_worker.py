"""A worker hangs with the interpreter's lock held and its gateway is killed: rows W5 and G1.

It can't end itself, no gateway ever hears from it, and to supervisord it runs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import psutil
import pytest

from loadtests.figures import Figure
from tests.parts.appliance import Appliance, eventually
from tests.parts.measured import say
from tests.parts.scrape import scrape
from tests.parts.speaking import Clients, busy_worker, connected_workers, counted, speak, wait_until_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SIZE = 2
SILENCE_S = 2.0
CANCEL_S = 0.5
PROGRESS_S = 5.0
"""Longer than it takes to see that the worker is silent."""
SILENT_S = 1.0
WARM_UP_S = 6.0
SHORT_S = 0.5
"""With this in place of `PROGRESS_S` a worker that warms up takes longer than one that hangs may."""


@pytest.fixture(scope="module")
def pair(appliance_factory: Callable[..., Appliance]) -> tuple[Appliance, Appliance]:
    """An appliance whose watchdog is quick, and one whose watchdog lets everybody hang."""
    settings = {
        "WORKERS_TONE": SIZE,
        "TONE_HOOKS": "true",
        "TEXT_MAKE_SPEAKABLE": "false",
        "WORKERS_SILENCE_S": 60,
        "WORKERS_CANCEL_S": CANCEL_S,
        "WORKERS_PROGRESS_S": PROGRESS_S,
        "WATCHDOG_HEARTBEAT_S": 0.2,
        "HEALTH_PROBE_INTERVAL_S": 3600,
        "VOICES_DEFAULT": "tone-low",
    }
    made = (
        appliance_factory(WATCHDOG_SILENCE_S=SILENCE_S, **settings),
        appliance_factory(WATCHDOG_SILENCE_S=0, **settings),
    )
    for each in made:
        each.wait_until_ready()
    for each in made:
        each.wait_until_running()
    return made


def is_silent(appliance: Appliance) -> bool:
    """Whether a worker hasn't beaten for a while."""
    return time.time() - counted(appliance, "tts_worker_heartbeat_timestamp_seconds") > SILENT_S


def block_a_worker_and_kill_the_gateway(appliance: Appliance) -> tuple[str, int]:
    """Return the worker's name and its process, once the next gateway is ready."""
    wait_until_whole(appliance, SIZE)
    gateway = appliance.program("gateway")
    with contextlib.closing(Clients(appliance, 1)) as clients:
        answer = clients.ask("It never ends. __BLOCK__")
        hung = busy_worker(appliance)
        eventually(lambda: is_silent(appliance))
        gateway.kill()
        assert answer.result().status == 0
    eventually(lambda: len(connected_workers(appliance, "ready")) == SIZE - 1)
    assert psutil.pid_exists(hung["pid"])
    return str(hung["name"]), int(hung["pid"])


def test_worker_when_it_blocks_and_its_gateway_is_killed_then_the_watchdog_replaces_it(
    pair: tuple[Appliance, Appliance],
) -> None:
    appliance, control = pair
    left_name, left_pid = block_a_worker_and_kill_the_gateway(control)
    seen = len(appliance.lines)
    name, pid = block_a_worker_and_kill_the_gateway(appliance)
    begun_s = time.monotonic()
    line = appliance.wait_for("program_hung", after=seen, name=name)
    seen_s = time.monotonic() - begun_s
    assert (line["hung_pid"], line["cause"], line["level"]) == (pid, "unknown", "ERROR")
    eventually(lambda: len(connected_workers(appliance, "ready")) == SIZE)
    say("W5", Figure("worker that no gateway knows, seen after", seen_s, "s"))
    eventually(lambda: "in _block" in stacks(appliance, seen))
    eventually(lambda: appliance.programs()[name]["last_exit"] == "hung")
    assert appliance.programs()[name]["hangs"] == 1
    assert scrape(appliance.exporter_url)["tts_process_hangs_total", "worker"] == 1
    with contextlib.closing(Clients(appliance, SIZE)) as clients:
        answers = [clients.ask(f"Well again, {number}.") for number in range(2 * SIZE)]
        assert {answer.result().status for answer in answers} == {200}
    hung = [each["name"] for each in appliance.lines[seen:] if each["event"] == "program_hung"]
    assert hung == [name]  # and nobody else
    # The control: without a limit it hangs for ever.
    assert control.programs()[left_name]["pid"] == left_pid
    assert control.programs()[left_name]["state"] == "RUNNING"
    assert len(connected_workers(control)) == SIZE - 1


def stacks(appliance: Appliance, after: int) -> str:
    return "\n".join(
        str(line.get("message")) for line in appliance.lines[after:] if line["event"] == "output"
    )


def test_worker_when_it_warms_up_for_longer_than_one_may_hang_then_it_is_not_killed(
    appliance_factory: Callable[..., Appliance],
) -> None:
    """`WARM_UP_S` is more than `CANCEL_S` + `SHORT_S` + `SILENCE_S`, and the gateway is ready meanwhile."""
    appliance = appliance_factory(
        TONE_WARM_UP_S=WARM_UP_S,
        WORKERS_CANCEL_S=CANCEL_S,
        WORKERS_PROGRESS_S=SHORT_S,
        WATCHDOG_HEARTBEAT_S=0.2,
        WATCHDOG_SILENCE_S=SILENCE_S,
        VOICES_DEFAULT="tone-low",
    )
    appliance.wait_until_ready()
    [worker] = eventually(lambda: connected_workers(appliance, "ready"))
    assert appliance.programs()[worker["name"]]["restarts"] == 0
    assert speak(appliance, "Warm now.").status == 200
    assert not [line for line in appliance.lines if line["event"] == "program_hung"]
