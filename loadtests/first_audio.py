"""First audio byte at the client while nothing else is asked.

Owns: the section `first-audio` of the measurements.
Refuses to know: how a request is sent.

One request at a time; formats and lengths take turns, so that all share the machine's good and bad moments.
"""

from __future__ import annotations

import math
from itertools import product
from statistics import median

from loadtests.appliance import running_appliance
from loadtests.client import Client, speech_request
from loadtests.figures import Figure
from loadtests.floor import VOICE_ID
from processes.ttsctl.voice_bench.texts import CHARS_150, CHARS_6000

FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
FINISHED_FIRST = ("wav", "flac")
"""At 150 characters their first byte comes with the whole, so that sizes are exact (decision 13).

That says how fast the engine is, so their streams are judged, of 6,000 characters.
"""
SAMPLES = {False: 60, True: 12}
WARM_UP = 10
MOST_MS = 5.0
MOST_GROWTH = 1.2
"""First audio of 6,000 characters over that of 150."""


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes a few minutes, or a few tens of seconds."""
    cases = list(product(FORMATS, (CHARS_150, CHARS_6000)))
    requests = {case: speech_request(case[1], VOICE_ID, case[0]) for case in cases}
    taken_ms: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    with running_appliance(WORKERS_ESPEAK=2) as appliance, Client(appliance.port) as client:
        for response_format in FORMATS * WARM_UP:
            client.send(requests[response_format, CHARS_150])
        for _ in range(SAMPLES[is_short]):
            for case in cases:
                taken_ms[case].append(1000 * client.send(requests[case]).first_byte_s)
    return [figure for name in FORMATS for figure in _figures(name, taken_ms)]


def _figures(name: str, taken_ms: dict[tuple[str, str], list[float]]) -> list[Figure]:
    short_ms, long_ms = taken_ms[name, CHARS_150], taken_ms[name, CHARS_6000]
    is_whole = name in FINISHED_FIRST
    most_ms = {CHARS_150: math.inf if is_whole else MOST_MS, CHARS_6000: MOST_MS if is_whole else math.inf}
    title = f"{name}, whole of 150 characters" if is_whole else f"{name}, first byte of 150 characters"
    return [
        Figure(title, median(short_ms), "ms", min(short_ms), most=most_ms[CHARS_150]),
        Figure(
            f"{name}, first byte of 6,000 characters",
            median(long_ms),
            "ms",
            min(long_ms),
            most=most_ms[CHARS_6000],
        ),
        Figure(
            f"{name}, 6,000 ÷ 150 characters",
            median(long_ms) / median(short_ms),
            "×",
            min(long_ms) / min(short_ms),
            most=MOST_GROWTH,
        ),
    ]
