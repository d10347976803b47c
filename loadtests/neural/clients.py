"""Clients of the appliance that is measured, each with an address of its own.

Owns: how the crowds' requests are sent.
Refuses to know: who asks when.
"""

from __future__ import annotations

import time

from loadtests.exchange import Ending, Manner, Order, Target, speak
from processes.ttsctl.voice_bench.crowds import Heard, Speak

FIRST_HOST = 2


def clients(port: int, voice: str) -> Speak:
    """Return how clients have texts spoken by a voice at a port of this machine."""

    def ask(place: int, text: str) -> Heard:
        target = Target(f"http://127.0.0.1:{port}", source=f"127.0.0.{FIRST_HOST + place}")
        outcome = speak(target, Order(text, voice, "pcm", Manner.LISTENING), time.monotonic())
        return Heard(
            outcome.ending is Ending.COMPLETED, outcome.first_audio_s, outcome.body_bytes, outcome.gap_s
        )

    return ask
