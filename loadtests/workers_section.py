"""What a second worker adds.

Owns: the section `workers` of the measurements.
Refuses to know: how a request is sent.

Two appliances run side by side, one with a single worker of each engine and one with two, and are loaded in
turns: eight clients, each asking for its next sentence as soon as it has the last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from loadtests.appliance import running_appliance
from loadtests.client import Client
from loadtests.figures import Figure
from processes.ttsctl.voice_bench.texts import CHARS_150, sentences

CLIENTS = 8
TONE_DELAY_S = 0.05
ROUNDS = {False: 7, True: 3}
BLOCK_S = {False: 4.0, True: 2.0}
LEAST_TONE = 1.9
"""Requests per second of two tone workers over those of one."""
VOICES = {"tone": "tone-low", "espeak": "en-us"}


class Crowd:
    """Eight clients of one appliance that speak different sentences."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sentences = sentences()
        self._lock = threading.Lock()

    def rate_hz(self, engine: str, during_s: float) -> float:
        """Return the requests per second that were answered."""
        begun_s = time.perf_counter()
        until_s = begun_s + during_s
        with ThreadPoolExecutor(CLIENTS) as threads:
            answered = sum(threads.map(lambda _: self._ask_until(engine, until_s), range(CLIENTS)))
        return answered / (time.perf_counter() - begun_s)

    def _ask_until(self, engine: str, until_s: float) -> int:
        answered = 0
        with Client(self._port) as client:
            while time.perf_counter() < until_s:
                client.speak(self._text(engine), VOICES[engine], "wav")
                answered += 1
        return answered

    def _text(self, engine: str) -> str:
        """Return the next sentence; espeak-ng gets one long enough to be worth a worker."""
        with self._lock:
            sentence = next(self._sentences)
        return sentence if engine == "tone" else f"{sentence} {CHARS_150}"


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes a minute or two."""
    rates: dict[tuple[str, int], list[float]] = {}
    shared: dict[str, Any] = {"TONE_DELAY_S": TONE_DELAY_S, "DISPATCH_CORES": 2}
    with (
        running_appliance(WORKERS_TONE=1, WORKERS_ESPEAK=1, **shared) as single,
        running_appliance(WORKERS_TONE=2, WORKERS_ESPEAK=2, **shared) as double,
    ):
        crowds = {1: Crowd(single.port), 2: Crowd(double.port)}
        for _ in range(ROUNDS[is_short]):
            for engine in VOICES:
                for workers, crowd in crowds.items():
                    rate_hz = crowd.rate_hz(engine, BLOCK_S[is_short])
                    rates.setdefault((engine, workers), []).append(rate_hz)
    return [figure for engine in VOICES for figure in _figures(engine, rates)]


def _figures(engine: str, rates: dict[tuple[str, int], list[float]]) -> Iterator[Figure]:
    for workers in (1, 2):
        measured = rates[engine, workers]
        yield Figure(f"{engine}, {workers} worker(s)", median(measured), "requests/s", max(measured))
    growth = [two / one for one, two in zip(rates[engine, 1], rates[engine, 2], strict=True)]
    least = LEAST_TONE if engine == "tone" else float("-inf")
    yield Figure(f"{engine}, two workers ÷ one", median(growth), "×", max(growth), least=least)
