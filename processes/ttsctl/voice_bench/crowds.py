"""Several clients of one voice at a time.

Owns: listeners who hear a text out, pause and ask for the next; short requests at one moment.
Refuses to know: how a request is sent, what is judged.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from processes.ttsctl.voice_bench.playback import PCM_BYTES_PER_S
from processes.ttsctl.voice_bench.texts import SEED, sentences

PAUSE_S = 3.0
"""Mean seconds between the end of a text and the next one; exponential, so that nobody keeps in step."""
CHARS = 150


@dataclass(frozen=True, slots=True)
class Heard:
    """What one client heard of one text, as 24 kHz PCM."""

    is_whole: bool
    first_audio_s: float | None
    """From asking to the first byte of sound."""
    body_bytes: int
    gap_s: float
    """Longest time that the sound stood still, 0 if never for long."""


Speak = Callable[[int, str], Heard]
"""Takes the client's number, from 0, and a text; has it spoken and blocks until all of it is heard."""


def listen(speak: Speak, count: int, during_s: float) -> list[Heard]:
    """Have so many listeners hear texts of `CHARS` characters; blocks, a little longer than `during_s`.

    Everybody hears one at least. Each text is another; the sound begins with the first byte, and a listener
    asks again when it has ended and a pause is over.
    """
    until_s = time.monotonic() + during_s
    with ThreadPoolExecutor(count) as threads:
        heard = threads.map(lambda place: list(_listener(speak, place, until_s)), range(count))
        return [each for some in heard for each in some]


def _listener(speak: Speak, place: int, until_s: float) -> Iterator[Heard]:
    chosen = random.Random(SEED + place)  # noqa: S311 (no secret)
    texts = _texts(place)
    time.sleep(chosen.expovariate(1 / PAUSE_S))
    while True:
        asked_at_s = time.monotonic()
        heard = speak(place, next(texts))
        yield heard
        sounded_s = (heard.first_audio_s or 0.0) + heard.body_bytes / PCM_BYTES_PER_S + heard.gap_s
        asks_at_s = max(asked_at_s + sounded_s, time.monotonic()) + chosen.expovariate(1 / PAUSE_S)
        if asks_at_s >= until_s:
            return
        time.sleep(max(0.0, asks_at_s - time.monotonic()))


def _texts(place: int) -> Iterator[str]:
    """Yield single sentences of about `CHARS` characters, other ones for each listener."""
    words = islice(sentences(), place * 1000, None)
    while True:
        text = next(words)[:-1]
        while len(text) < CHARS - 1:
            text += ", " + next(words)[:-1].lower()
        yield text[: CHARS - 1].rstrip(", ") + "."


def at_once(speak: Speak, text: str, count: int) -> list[Heard]:
    """Have a short text spoken for so many clients at one moment; blocks until all have it."""
    begin = threading.Barrier(count)

    def ask(place: int) -> Heard:
        begin.wait()
        return speak(place, text)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(ask, range(count)))


def until(ended: threading.Event, sample: Callable[[], int], pause_s: float) -> int:
    """Sample a number again and again until an event; return the largest."""
    largest = sample()
    while not ended.wait(pause_s):
        largest = max(largest, sample())
    return largest
