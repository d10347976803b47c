"""Whoever waits for the gateway to come back is served, though all of them come at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

from tests.parts.appliance import Appliance
from tests.parts.slow_clients import connect, read_to_end, speech

CROWD = 40
DELAY_S = 0.05
"""Of one worker: the crowd's work is 2 s, and 0.3 s is what others' work may cost (`first_audio_limit_s`)."""


def test_gateway_when_a_crowd_has_waited_for_it_to_come_back_then_nobody_is_refused(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(TONE_DELAY_S=DELAY_S)
    appliance.wait_until_ready()
    seen = len(appliance.lines)
    appliance.program("gateway").send_signal(signal.SIGKILL)
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(connect(appliance, source=f"127.0.1.{1 + each}")) for each in range(CROWD)
        ]
        for number, client in enumerate(clients):
            client.sendall(speech(f"Somebody, of many the {number}th.", version="1.0"))
        answers = [read_to_end(client) for client in clients]
    assert [answer.split(b" ")[1] for answer in answers] == [b"200"] * CROWD
    waited = appliance.wait_for("connections_waited", after=seen)["count"]
    assert CROWD / 2 < waited <= CROWD
