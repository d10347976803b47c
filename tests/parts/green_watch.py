"""What an appliance says of its speech, beside what a client hears meanwhile.

The ledger's sampler does the same under load (`loadtests.ledger.sampler`); this one has threads, and hears
any voice.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable
from itertools import pairwise

from loadtests.ledger.sampler import HEALTH_EVERY_S, PATIENCE_S, SYNTHETIC_EVERY_S, Observations
from tests.parts.appliance import eventually
from tests.parts.speaking import Reachable, speak


class GreenWatch:
    """Somebody who asks `/health/tts` and for one sentence after the other, until it is closed."""

    def __init__(self, appliance: Reachable, voice: str) -> None:
        self._appliance = appliance
        self._voice = voice
        self._seen = Observations()
        self._heard_at_s: list[float] = []
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._look, args=(self._is_green, self._seen.health, HEALTH_EVERY_S)),
            threading.Thread(target=self._look, args=(self._is_heard, self._seen.truth, SYNTHETIC_EVERY_S)),
        ]
        self._begun_s = time.monotonic()
        for thread in self._threads:
            thread.start()

    def _look(self, ask: Callable[[], bool], samples: list[tuple[float, bool]], pause_s: float) -> None:
        while not self._stopped.wait(pause_s):
            at_s = time.monotonic()
            samples.append((at_s, ask()))

    def _is_green(self) -> bool:
        url = f"http://127.0.0.1:{self._appliance.port}/health/tts"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _is_heard(self) -> bool:
        answer = speak(self._appliance, "Is it true?", voice=self._voice, address="127.0.0.200")
        is_heard = answer.status == 200 and answer.is_whole
        if is_heard:
            self._heard_at_s.append(answer.ended_at_s)
        return is_heard and answer.took_s <= PATIENCE_S

    def false_green_s(self) -> float:
        """The seconds since the beginning in which health was green and requests failed."""
        return self._seen.false_green_s(self._begun_s, time.monotonic())

    @property
    def looks(self) -> int:
        """How often it has asked for each of both."""
        return min(len(self._seen.health), len(self._seen.truth))

    def wait_until_heard(self, limit_s: float = 30.0) -> None:
        """Wait for a whole answer that comes after this moment."""
        moment_s = time.monotonic()
        eventually(lambda: self._heard_at_s and self._heard_at_s[-1] > moment_s, limit_s)

    def longest_gap_s(self) -> float:
        """The most seconds between two whole answers, one after the other."""
        return max(after - before for before, after in pairwise(self._heard_at_s))

    def close(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
