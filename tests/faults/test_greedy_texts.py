"""One client asks for the longest texts there may be, many at once; the others hardly notice (row W7)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import pytest

from appliance.settings import Settings
from tests.parts.appliance import Appliance, eventually
from tests.parts.rounds import allowance_s
from tests.parts.speaking import (
    Clients,
    connected_workers,
    counted,
    exits,
    listening,
    percentile,
    speak,
)

pytestmark = pytest.mark.timeout(300)

GREEDY = 20
GREEDY_ADDRESS = "127.0.2.1"
LONGEST_CHARS = Settings().http.max_input_chars
SENTENCE = "A sentence that is one of very many, and that only one client wants to hear at all. "
LONGEST = (SENTENCE * (LONGEST_CHARS // len(SENTENCE) + 1))[:LONGEST_CHARS]
OTHERS_WITHIN_S = 0.5
LEAST_ANSWERS = 50


def cancelled(appliance: Appliance, after: int) -> int:
    """How many canonical lines say that the client itself has left."""
    wanted = {"event": "request_finished", "outcome": "cancelled", "ended_by": "client"}.items()
    return sum(wanted <= line.items() for line in appliance.lines[after:])


def test_others_when_one_client_asks_for_the_longest_texts_then_they_are_served_in_between(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(WORKERS_ESPEAK=2, WORKERS_TONE=0, HEALTH_PROBE_INTERVAL_S=3600)
    appliance.wait_until_ready()
    eventually(lambda: len(connected_workers(appliance, "ready")) == 2)
    alone_s = [speak(appliance, "Nobody else is here.", voice="en-us").took_s for _ in range(LEAST_ANSWERS)]
    enough, seen = threading.Event(), len(appliance.lines)
    with contextlib.closing(Clients(appliance, GREEDY)) as clients, contextlib.ExitStack() as at_the_end:
        at_the_end.callback(enough.set)
        asked = [
            clients.ask(LONGEST, voice="en-us", sound="mp3", address=GREEDY_ADDRESS, leave=enough)
            for _ in range(GREEDY)
        ]
        eventually(lambda: counted(appliance, "tts_requests_in_flight") == GREEDY)
        with listening(appliance, 2, voice="en-us") as others:
            eventually(lambda: len(others.answers) >= LEAST_ANSWERS)
        finished_too_soon = [each for each in asked if each.done()]
        enough.set()
        greedy = [each.result() for each in asked]
    during = others.answers
    p90_s = percentile([answer.took_s for answer in during], 0.9)
    print(
        f"W7: others' answers p90 {p90_s * 1000:.0f} ms of {len(during)} beside {GREEDY} texts of "
        f"{LONGEST_CHARS} characters (p90 {percentile(alone_s, 0.9) * 1000:.0f} ms without them), "
        f"first sound p90 {percentile([answer.first_s for answer in during], 0.9) * 1000:.0f} ms; "
        f"the greedy client heard {sum(len(answer.body) for answer in greedy) / 1e6:.1f} MB meanwhile"
    )
    assert finished_too_soon == []
    assert others.failed() == []
    assert p90_s < OTHERS_WITHIN_S + allowance_s()
    assert {answer.status for answer in greedy} == {200}
    assert any(answer.body for answer in greedy)
    eventually(lambda: counted(appliance, 'tts_requests_finished_total{outcome="cancelled"}') == GREEDY)
    eventually(lambda: cancelled(appliance, seen) == GREEDY)
    eventually(lambda: len(connected_workers(appliance, "ready")) == 2)
    assert speak(appliance, "All is quiet again.", voice="en-us").status == 200
    assert exits(appliance, "progress") == exits(appliance, "hung") == exits(appliance, "lost") == 0
