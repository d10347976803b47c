"""Whether anything grows in an appliance that speaks for a long time.

Owns: the section `long-run` of the measurements.
Refuses to know: how a request is sent, how memory is read.

Four clients ask for a sentence five times a second each, engines and formats in turns; one request in ten is
hung up on at its first audio. What is judged lies behind the middle, when every cache is full: the slope of a
straight line through each process's own memory (USS), and the medians of descriptors, threads and files. A
second appliance, whose tone engine leaks on purpose, shows that a leak would be seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from statistics import linear_regression, median

from loadtests.appliance import Appliance, Resources, running_appliance
from loadtests.client import Client, speech_request
from loadtests.figures import Figure
from processes.ttsctl.voice_bench.texts import sentences

DURATION_S = {False: 600.0, True: 60.0}
CONTROL_S = 60.0
CLIENTS = 4
INTERVAL_S = 0.2
"""Between two requests of a client."""
SAMPLE_S = 1.0
WARM_UP = 40
"""Requests that each client sends first with each engine in each format, at the same time as the others, so
that the most encoders there can be at a time have left their traces in the allocator."""
LEAVER = 10
"""Each client hangs up on one request of so many."""
FORMATS = ("mp3", "wav", "opus", "flac", "aac", "pcm")
VOICES = ("tone-low", "en-us")
LEAK_BYTES = 16_384
"""Per utterance of the tone engine, in the control: 10 MiB a minute."""
LEAKER = "worker-tone-1"
MOST_MIB = 1.0
"""More growth than this behind the middle counts: the allocator takes and gives back as much all the time."""
MIB = 1024 * 1024


@dataclass(slots=True)
class Growth:
    """What one appliance used, sample by sample."""

    at_s: list[float] = field(default_factory=list)
    used: list[dict[str, Resources]] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def take(self, appliance: Appliance) -> None:
        """Take a sample."""
        self.at_s.append(time.monotonic())
        self.used.append(appliance.resources())
        self.files.append(appliance.file_count())

    def growth_mib(self, name: str) -> float:
        """Return what a process's own memory grew by, by the slope of the judged half."""
        half = len(self.at_s) // 2
        times_s = self.at_s[half:]
        slope, _ = linear_regression(times_s, [each[name].own_bytes / MIB for each in self.used[half:]])
        return slope * (times_s[-1] - times_s[0])

    def count_growth(self, counts: list[int]) -> float:
        """Return the median of a count's last quarter less that of the quarter behind the middle."""
        half, last = len(counts) // 2, 3 * len(counts) // 4
        return median(counts[last:]) - median(counts[half:last])


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes eleven minutes, or two."""
    duration_s = DURATION_S[is_short]
    with running_appliance(WORKERS_TONE=1, WORKERS_ESPEAK=1) as appliance:
        growth, requests = _measure(appliance, duration_s)
    with running_appliance(WORKERS_TONE=1, WORKERS_ESPEAK=1, TONE_LEAK_BYTES=LEAK_BYTES) as appliance:
        control, _ = _measure(appliance, CONTROL_S)
    return [*figures_of(growth, requests, duration_s), _control(control)]


def figures_of(growth: Growth, requests: int, duration_s: float) -> Iterator[Figure]:
    """Yield what an appliance grew by under so many requests in so many seconds, with the bounds."""
    yield Figure(f"requests in {duration_s / 60:g} min", requests, "")
    for name in growth.used[0]:
        yield Figure(f"{name}, growth of its own memory", growth.growth_mib(name), "MiB", most=MOST_MIB)
    counts = {
        "open descriptors": [sum(each.descriptors for each in used.values()) for used in growth.used],
        "threads": [sum(each.threads for each in used.values()) for used in growth.used],
        "files in its directories": growth.files,
    }
    for what, count in counts.items():
        name = f"{what} of all processes, {count[-1]} at the end, growth"
        yield Figure(name, growth.count_growth(count), "", most=0)


def _control(growth: Growth) -> Figure:
    name = f"control: {LEAKER} told to leak {LEAK_BYTES // 1024} KiB an utterance, growth in 1 min"
    return Figure(name, growth.growth_mib(LEAKER), "MiB", least=MOST_MIB)


def _measure(appliance: Appliance, duration_s: float) -> tuple[Growth, int]:
    """Load an appliance for some seconds; return its samples and how many requests it had."""
    growth = Growth()
    ended = threading.Event()
    listeners = [_Listener(appliance.port, place) for place in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as threads:
        for _ in threads.map(_Listener.warm_up, listeners):
            pass
        asked = [threads.submit(listener.listen, ended) for listener in listeners]
        until_s = time.monotonic() + duration_s
        try:
            while time.monotonic() < until_s and not any(each.done() for each in asked):
                ended.wait(SAMPLE_S)
                growth.take(appliance)
        finally:
            ended.set()
        return growth, sum(each.result() for each in asked)


class _Listener:
    """One client: a sentence after the other, every engine in every format, and now and then it leaves."""

    def __init__(self, port: int, place: int) -> None:
        self._port = port
        self._texts = sentences()
        self.requests = place

    def warm_up(self) -> None:
        """Use each format as often as it takes."""
        for pair in [(voice, name) for name in FORMATS for voice in VOICES]:
            with Client(self._port) as client:
                for _ in range(WARM_UP):
                    self._speak(client, pair)

    def listen(self, ended: threading.Event) -> int:
        """Go on until the end; return how many requests that took."""
        before = self.requests
        with Client(self._port) as client:
            for pair in cycle([(voice, name) for name in FORMATS for voice in VOICES]):
                if ended.wait(INTERVAL_S):
                    break
                self._speak(client, pair)
        return self.requests - before

    def _speak(self, client: Client, pair: tuple[str, str]) -> None:
        request = speech_request(next(self._texts), *pair)
        self.requests += 1
        if self.requests % LEAVER:
            client.send(request)
        else:
            with Client(self._port) as leaver:
                leaver.begin(request)
