"""Several clients of one voice at a time.

Owns: listeners who hear a text out, pause and ask for the next; short requests at one moment.
Refuses to know: what of it is judged.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from loadtests.exchange import Manner, Order, Outcome, Target, speak
from loadtests.sound import PCM_BYTES_PER_S
from loadtests.texts import SEED, sentences

PAUSE_S = 3.0
"""Mean seconds between the end of a text and the next one; exponential, so that nobody keeps in step."""
CHARS = 150
FIRST_HOST = 2


def targets(port: int, count: int) -> list[Target]:
    """Return the appliance as so many clients see it, each with an address of its own."""
    return [
        Target(f"http://127.0.0.1:{port}", source=f"127.0.0.{FIRST_HOST + each}") for each in range(count)
    ]


def listen(port: int, voice: str, count: int, during_s: float) -> list[Outcome]:
    """Have so many listeners hear texts of `CHARS` characters; blocks, a little longer than `during_s`.

    Seconds count from sending a request. Each text is another; the sound begins with the first byte, and a
    listener asks again when it has ended and a pause is over.
    """
    until_s = time.monotonic() + during_s
    places = targets(port, count)
    with ThreadPoolExecutor(count) as threads:
        heard = threads.map(lambda place: list(_listener(places[place], voice, place, until_s)), range(count))
        return [outcome for outcomes in heard for outcome in outcomes]


def _listener(target: Target, voice: str, place: int, until_s: float) -> Iterator[Outcome]:
    chosen = random.Random(SEED + place)
    texts = _texts(place)
    time.sleep(chosen.expovariate(1 / PAUSE_S))
    while time.monotonic() < until_s:
        asked_at_s = time.monotonic()
        outcome = speak(target, Order(next(texts), voice, "pcm", Manner.LISTENING), asked_at_s)
        yield outcome
        sounded_s = (outcome.first_audio_s or 0.0) + outcome.body_bytes / PCM_BYTES_PER_S + outcome.gap_s
        time.sleep(max(0.0, asked_at_s + sounded_s - time.monotonic()) + chosen.expovariate(1 / PAUSE_S))


def _texts(place: int) -> Iterator[str]:
    """Yield single sentences of about `CHARS` characters, other ones for each listener."""
    words = islice(sentences(), place * 1000, None)
    while True:
        text = next(words)[:-1]
        while len(text) < CHARS - 1:
            text += ", " + next(words)[:-1].lower()
        yield text[: CHARS - 1].rstrip(", ") + "."


def at_once(port: int, voice: str, text: str, count: int) -> list[Outcome]:
    """Have a short text spoken for so many clients at one moment; blocks until all have it."""
    begin = threading.Barrier(count)

    def ask(target: Target) -> Outcome:
        begin.wait()
        return speak(target, Order(text, voice, "pcm"), time.monotonic())

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(ask, targets(port, count)))


def until(ended: threading.Event, sample: Callable[[], int], pause_s: float) -> int:
    """Sample a number again and again until an event; return the largest."""
    largest = sample()
    while not ended.wait(pause_s):
        largest = max(largest, sample())
    return largest
