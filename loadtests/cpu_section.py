"""CPU per request of all processes, over the CPU of the same speech with no appliance around it.

Owns: the section `cpu` of the measurements.
Refuses to know: how a request is sent, how CPU is read.

A round measures the bare engine and then every format in a small block, so that all share the machine's good
and bad moments. What the idle appliance uses in the same time is taken off.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from loadtests.appliance import Appliance, running_appliance
from loadtests.client import Client, speech_request
from loadtests.figures import Figure
from loadtests.floor import VOICE_ID, BareEspeak, Floor, OwnEspeak
from processes.ttsctl.voice_bench.texts import CHARS_150

BOUNDS = {"wav": 1.35, "mp3": 3.4, "opus": 6.0, "aac": 6.0, "flac": 2.5, "pcm": float("inf")}
"""CPU of a request over CPU of the bare engine."""
PARALLEL = (1, 8)
"""Requests at a time; the bounds are for one."""
ROUNDS = {False: 15, True: 4}
BLOCK = 24
"""Requests in a block."""
IDLE_S = 4.0
WARM_UP = 50


class Rounds:
    """The CPU seconds of one speech, for each thing that is measured, round by round."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._floors = {"bare": Floor(BareEspeak), "engine": Floor(OwnEspeak)}
        self._clients = [Client(appliance.port) for _ in range(max(PARALLEL))]
        self._threads = ThreadPoolExecutor(max(PARALLEL))
        self._idle_share = 0.0
        self.cpu_s: dict[tuple[str, int], list[float]] = {}

    def warm_up(self) -> None:
        """Have every path taken often enough, and see what the idle appliance uses."""
        for floor in self._floors.values():
            floor.cpu_s(CHARS_150, WARM_UP)
        for response_format in BOUNDS:
            for parallel in PARALLEL:
                self._ask(response_format, parallel, WARM_UP)
        self._idle_share = self._appliance.idle_cpu_share(IDLE_S)

    def measure(self) -> None:
        """Measure everything once."""
        for name, floor in self._floors.items():
            self.cpu_s.setdefault((name, 1), []).append(floor.cpu_s(CHARS_150, BLOCK))
        for response_format in BOUNDS:
            for parallel in PARALLEL:
                used_s = self._ask(response_format, parallel, BLOCK)
                self.cpu_s.setdefault((response_format, parallel), []).append(used_s)

    def close(self) -> None:
        """End threads, connections and processes."""
        self._threads.shutdown()
        for floor in self._floors.values():
            floor.close()
        for client in self._clients:
            client.close()

    def _ask(self, response_format: str, parallel: int, times: int) -> float:
        """Return the CPU seconds of one request, over so many of them."""
        request = speech_request(CHARS_150, VOICE_ID, response_format)

        def ask_in_turn(client: Client) -> None:
            for _ in range(times // parallel):
                client.send(request)

        begun_s, begun_cpu_s = time.perf_counter(), self._appliance.cpu_s()
        for _ in self._threads.map(ask_in_turn, self._clients[:parallel]):
            pass
        idle_s = self._idle_share * (time.perf_counter() - begun_s)
        return (self._appliance.cpu_s() - begun_cpu_s - idle_s) / (times // parallel * parallel)


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes a few minutes, or a few tens of seconds."""
    with running_appliance(WORKERS_ESPEAK=2) as appliance:
        rounds = Rounds(appliance)
        rounds.warm_up()
        for _ in range(ROUNDS[is_short]):
            rounds.measure()
        rounds.close()
    floor_s = rounds.cpu_s["bare", 1]
    figures = [Figure("bare espeak-ng, CPU of 150 characters", *_milliseconds(floor_s))]
    for (name, parallel), taken_s in rounds.cpu_s.items():
        if name == "bare":
            continue
        ratios = [each / floor for each, floor in zip(taken_s, floor_s, strict=True)]
        figures.append(
            Figure(
                _title(name, parallel),
                median(ratios),
                "×",
                min(taken_s) / min(floor_s),
                most=BOUNDS.get(name, float("inf")) if parallel == 1 else float("inf"),
            )
        )
    return figures


def _milliseconds(taken_s: list[float]) -> tuple[float, str, float]:
    return 1000 * median(taken_s), "ms", 1000 * min(taken_s)


def _title(name: str, parallel: int) -> str:
    if name == "engine":
        return "the appliance's engine in one process ÷ bare"
    return f"{name} over HTTP ÷ bare" + ("" if parallel == 1 else f", {parallel} at a time")
