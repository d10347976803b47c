"""How long a client waits for its answer when its worker dies in mid-request (row W2), over many deaths.

All workers of a pool are stopped, so that a request lies in each, and one goes on; then one after the other
of the rest is killed, and each time the request that lay in it must be answered by the one that lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait

import pytest

from loadtests.figures import Figure
from tests.parts.appliance import Appliance, eventually
from tests.parts.measured import say
from tests.parts.rounds import allowance_s, rounds
from tests.parts.speaking import (
    Answer,
    Clients,
    connected_workers,
    counted,
    exits,
    percentile,
    wait_for_looks,
    wait_until_whole,
)

pytestmark = pytest.mark.timeout(600)

SIZE = rounds(9, 26)
VICTIMS = SIZE - 1
ROUNDS = rounds(2, 4)
"""Fewer than the watchdog takes for a crash loop."""
ANSWER_WITHIN_S = 0.5


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(
        WORKERS_TONE=SIZE,
        WORKERS_SILENCE_S=30,
        WORKERS_PROGRESS_S=60,
        DISPATCH_CORES=2 * SIZE,
        DISPATCH_FIRST_AUDIO_LIMIT_S=60,
        HEALTH_PROBE_INTERVAL_S=3600,
        VOICES_DEFAULT="tone-low",
    )
    made.wait_until_ready()
    return made


def lay_requests_into(
    appliance: Appliance, clients: Clients, pids: list[int], words: str
) -> set[Future[Answer]]:
    """Stop all workers, ask until each has a request, let the first one go on; return what still waits."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    asked = {clients.ask(f"The listener beside {number} others, {words}.") for number in range(len(pids))}
    eventually(lambda: len(connected_workers(appliance, "busy")) == len(pids))
    os.kill(pids[0], signal.SIGCONT)
    done, waiting = wait(asked, 30, FIRST_COMPLETED)
    assert [answered.result().status for answered in done] == [200]
    return waiting


def events(appliance: Appliance, after: int) -> list[str]:
    return [str(line["event"]) for line in appliance.lines[after:]]


def killed_then_answered(pids: list[int], waiting: set[Future[Answer]]) -> list[float]:
    """Kill one worker after the other; return the seconds from each death to the answer that it delayed."""
    took_s = []
    for pid in pids:
        killed_at_s = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        done, waiting = wait(waiting, 30, FIRST_COMPLETED)
        [answered] = done
        assert answered.result().status == 200
        took_s.append(answered.result().ended_at_s - killed_at_s)
    return took_s


def test_request_when_its_worker_is_killed_then_answered_by_another_at_once(appliance: Appliance) -> None:
    took_s: list[float] = []
    with contextlib.closing(Clients(appliance, SIZE)) as clients:
        for number in range(ROUNDS):
            wait_until_whole(appliance, SIZE)
            wait_for_looks(appliance, 6)  # and the probe that follows every change of the pool is over
            seen = len(appliance.lines)
            pids = [worker["pid"] for worker in connected_workers(appliance)]
            # Always other texts, as one that has lost two workers is refused.
            waiting = lay_requests_into(appliance, clients, pids, f"round {number}")
            took_s += killed_then_answered(pids[1:], waiting)
            eventually(lambda: events(appliance, seen).count("utterance_retried") == VICTIMS)  # noqa: B023
            eventually(lambda: events(appliance, seen).count("worker_process_ended") == VICTIMS)  # noqa: B023
    p99_s = percentile(took_s, 0.99)
    say(
        "W2",
        Figure("deaths in mid-request", len(took_s), ""),
        Figure("answer after such a death, p50", percentile(took_s, 0.5) * 1000, "ms"),
        Figure("answer after such a death, p99", p99_s * 1000, "ms", most=ANSWER_WITHIN_S * 1000),
    )
    assert p99_s <= ANSWER_WITHIN_S + allowance_s()
    assert exits(appliance, "lost") == len(took_s)
    assert counted(appliance, "tts_utterance_retries_total") == len(took_s)
    assert counted(appliance, 'tts_worker_signals_total{signal="SIGKILL"}') == len(took_s)
    eventually(lambda: len(connected_workers(appliance, "ready")) == SIZE)
