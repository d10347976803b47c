"""What a kept answer costs: CPU of a hit over the least that any server needs for it, and over speaking it.

Owns: the section `cache` of the measurements.
Refuses to know: how a request is sent, how CPU is read.

A round takes the floor, hits from memory, hits from files and speech in turn, so that all share the machine's
good and bad moments. What the idle appliance uses in the same time is taken off.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import count, cycle, islice
from statistics import median
from typing import Self

from loadtests.appliance import Appliance, running_appliance
from loadtests.cache_floor import LruFloor
from loadtests.client import Client, UnexpectedAnswerError, speech_request
from loadtests.cpu_section import IDLE_S
from loadtests.figures import Figure
from loadtests.floor import VOICE_ID
from processes.ttsctl.voice_bench.texts import CHARS_150

MOST_OVER_FLOOR = 1.5
"""CPU of a hit from memory over that of the floor."""
LEAST_CHEAPER = 20.0
"""Times that speaking costs more than a hit. Source: measurements A 5, 20 to 60."""
ROUNDS = {False: 30, True: 8}
BLOCK, SPOKEN_BLOCK = 400, 16
"""Requests in a block."""
FORMAT, MEDIA_TYPE = "mp3", "audio/mpeg"
CHEAPEST_FORMAT = "wav"
"""What is spoken costs least as wav."""
ANSWERS = 6
"""Asked for in turn where hits come from files: more than there is room for in memory."""
MEMORY_BYTES = 200_000
MICROSECONDS, MILLISECONDS = 1e6, 1e3
FLOOR, MEMORY, FILES, SPEECH = "floor", "memory", "files", "speech"


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes a minute and a half, or half a minute."""
    appliances = running_appliance(WORKERS_ESPEAK=1, CACHE_SPEECH="true", CACHE_MEMORY_BYTES=MEMORY_BYTES)
    with appliances as appliance, Rounds(appliance) as rounds:
        for _ in range(1 + ROUNDS[is_short]):
            rounds.measure()
        # The first one has warmed everything up.
    return _figures({name: taken_s[1:] for name, taken_s in rounds.cpu_s.items()})


class Rounds:
    """The CPU seconds of one answer, for each way to get it, round by round; a context manager."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._owned = ExitStack()
        self._client = self._owned.enter_context(Client(appliance.port))
        self._requests = [
            speech_request(f"{number}. {CHARS_150}", VOICE_ID, FORMAT) for number in range(ANSWERS)
        ]
        self._new = (
            speech_request(f"{number}. {CHARS_150}", VOICE_ID, CHEAPEST_FORMAT) for number in count()
        )
        sizes_bytes = [self._client.send(request).body_bytes for request in self._requests * 2][ANSWERS:]
        self._floor = LruFloor(dict(zip(self._requests, sizes_bytes, strict=True)), MEDIA_TYPE)
        self._owned.callback(self._floor.close)
        self._floor_client = self._owned.enter_context(Client(self._floor.port))
        self._idle_share = appliance.idle_cpu_share(IDLE_S)
        self.cpu_s: dict[str, list[float]] = {FLOOR: [], MEMORY: [], FILES: [], SPEECH: []}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._owned.close()

    def measure(self) -> None:
        """Measure everything once."""
        again = [self._requests[0]] * BLOCK
        self._client.send(again[0])  # what comes from a file is in memory from then on
        begun_s = self._floor.cpu_s()
        _send(self._floor_client, again, is_kept=False)
        self.cpu_s[FLOOR].append((self._floor.cpu_s() - begun_s) / BLOCK)
        self.cpu_s[MEMORY].append(self._ask(again, is_kept=True))
        self.cpu_s[FILES].append(self._ask(list(islice(cycle(self._requests), BLOCK)), is_kept=True))
        self.cpu_s[SPEECH].append(self._ask(list(islice(self._new, SPOKEN_BLOCK)), is_kept=False))

    def _ask(self, requests: Sequence[bytes], *, is_kept: bool) -> float:
        """Return the CPU seconds of one answer, over so many of them."""
        begun_s, begun_cpu_s = time.perf_counter(), self._appliance.cpu_s()
        _send(self._client, requests, is_kept=is_kept)
        idle_s = self._idle_share * (time.perf_counter() - begun_s)
        return (self._appliance.cpu_s() - begun_cpu_s - idle_s) / len(requests)


def _send(client: Client, requests: Sequence[bytes], *, is_kept: bool) -> None:
    """Send requests, one after the other.

    Raises:
        UnexpectedAnswerError: An answer was kept that was to be spoken, or the other way round.
    """
    if any(client.send(request).is_kept is not is_kept for request in requests):
        message = "an answer didn't come from where it should"
        raise UnexpectedAnswerError(message)


def _figures(cpu_s: Mapping[str, list[float]]) -> list[Figure]:
    floor_s, speech_s = cpu_s[FLOOR], cpu_s[SPEECH]
    return [
        Figure("in-memory LRU in a plain handler, CPU", *_figure(floor_s, MICROSECONDS, "µs")),
        Figure("hit from memory, CPU", *_figure(cpu_s[MEMORY], MICROSECONDS, "µs")),
        Figure("hit from memory ÷ in-memory LRU", *_ratio(cpu_s[MEMORY], floor_s), most=MOST_OVER_FLOOR),
        Figure("hit from a file, CPU", *_figure(cpu_s[FILES], MICROSECONDS, "µs")),
        Figure("hit from a file ÷ in-memory LRU", *_ratio(cpu_s[FILES], floor_s)),
        Figure(f"150 characters spoken as {CHEAPEST_FORMAT}, CPU", *_figure(speech_s, MILLISECONDS, "ms")),
        Figure("spoken ÷ hit from memory", *_ratio(speech_s, cpu_s[MEMORY]), least=LEAST_CHEAPER),
        Figure("spoken ÷ hit from a file", *_ratio(speech_s, cpu_s[FILES]), least=LEAST_CHEAPER),
    ]


def _figure(taken_s: list[float], factor: float, unit: str) -> tuple[float, str, float]:
    return factor * median(taken_s), unit, factor * min(taken_s)


def _ratio(taken_s: list[float], by_s: list[float]) -> tuple[float, str, float]:
    ratios = [each / other for each, other in zip(taken_s, by_s, strict=True)]
    return median(ratios), "×", min(taken_s) / min(by_s)
