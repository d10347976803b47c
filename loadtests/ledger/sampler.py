"""What the appliance says of itself, beside what is true of it.

Owns: looking at `/health/tts`, at the counters' identity and whether a request would succeed, many times a
second; the seconds in which health and truth disagree.
Refuses to know: faults.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from loadtests.ledger.compare import unaccounted
from loadtests.ledger.reference import TEXTS, audio_hashes
from loadtests.open_loop import Speakers

HEALTH_EVERY_S = 0.1
SYNTHETIC_EVERY_S = 0.2
SCRAPE_EVERY_S = 1.0
LEAST_SHARE = 0.5
"""Of the looks that should be; with fewer nothing is known of a time."""
PATIENCE_S = 2.0
"""A synthetic request that isn't answered in this time didn't succeed; a health that isn't told is red."""
ADDRESS = "127.0.0.200"
_SAMPLE = re.compile(
    rb"^(tts_requests_(?:accepted_total|finished_total|in_flight))(?:\{.*\})? (\S+)$", re.MULTILINE
)

Samples = Sequence[tuple[float, bool]]
"""(monotonic time, whether it was good then), ascending; each holds until the next."""


@dataclass
class Observations:
    """What the sampler has seen."""

    health: list[tuple[float, bool]] = field(default_factory=list)
    truth: list[tuple[float, bool]] = field(default_factory=list)
    """Whether a synthetic request that began then succeeded."""
    scrapes: int = 0
    accepted: list[float] = field(default_factory=list)
    """Requests that each gateway, one after the other, had accepted when it was last asked."""
    unaccounted: list[tuple[float, float]] = field(default_factory=list)
    """Scrapes at which the identity was off, and by how much."""

    def note_accepted(self, count: float) -> None:
        """Take in a gateway's count of accepted requests; a smaller one than before is a new gateway's."""
        if self.accepted and count >= self.accepted[-1]:
            self.accepted.pop()
        self.accepted.append(count)

    def is_dense(self, start_s: float, end_s: float) -> bool:
        """Return whether there were at least half of the looks that there should be between two times."""
        wanted = ((self.health, HEALTH_EVERY_S), (self.truth, SYNTHETIC_EVERY_S))
        return all(
            sum(start_s <= at_s < end_s for at_s, _ in samples) >= LEAST_SHARE * (end_s - start_s) / every_s
            for samples, every_s in wanted
        )

    def false_green_s(self, start_s: float, end_s: float) -> float:
        """Return the seconds in which health was green and requests failed."""
        return disagreement_s(self.health, self.truth, start_s, end_s)

    def false_red_s(self, start_s: float, end_s: float) -> float:
        """Return the seconds in which requests succeeded and health was red."""
        return disagreement_s(self.truth, self.health, start_s, end_s)


class Sampler:
    """Looks at one appliance until it is cancelled."""

    def __init__(self, port: int, speakers: Speakers) -> None:
        """Take where to look and how to ask.

        Args:
            port: Of the appliance's HTTP.
            speakers: Send the synthetic requests, so that the ledger knows of them.
        """
        self._port = port
        self._speakers = speakers
        self.seen = Observations()

    async def run(self) -> None:
        """Look again and again; cancelled at the end."""
        url = f"http://127.0.0.1:{self._port}"
        async with (
            ClientSession(url, timeout=ClientTimeout(total=PATIENCE_S)) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(_every(HEALTH_EVERY_S, lambda _: self._look(session)))
            group.create_task(_every(SYNTHETIC_EVERY_S, self._ask))
            group.create_task(_every(SCRAPE_EVERY_S, lambda _: self._scrape(session)))

    async def _look(self, session: ClientSession) -> None:
        at_s = time.monotonic()
        is_green = False
        with suppress(ClientError, OSError, TimeoutError):
            async with session.get("/health/tts", headers={"Connection": "close"}) as answer:
                is_green = answer.ok
        self.seen.health.append((at_s, is_green))

    async def _ask(self, number: int) -> None:
        at_s = time.monotonic()
        text = number % TEXTS
        is_good = False
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                line = await self._speakers.ask(f"synthetic-{number}", ADDRESS, at_s, text, kind="synthetic")
                is_good = line.is_acknowledged and line.sha256 in audio_hashes(text)
        self.seen.truth.append((at_s, is_good))

    async def _scrape(self, session: ClientSession) -> None:
        with suppress(ClientError, OSError, TimeoutError):
            async with session.get("/metrics", headers={"Connection": "close"}) as answer:
                accepted, off = identity(await answer.read())
                self.seen.note_accepted(accepted)
                self.seen.scrapes += 1
                if off:
                    self.seen.unaccounted.append((time.monotonic(), off))


def identity(exposition: bytes) -> tuple[float, float]:
    """Return how many requests were accepted, and by how much accepted − finished = in flight is off."""
    sums: dict[bytes, float] = {}
    for name, value in _SAMPLE.findall(exposition):
        sums[name] = sums.get(name, 0.0) + float(value)
    accepted, finished, in_flight = (
        sums[b"tts_requests_" + name] for name in (b"accepted_total", b"finished_total", b"in_flight")
    )
    return accepted, unaccounted(accepted, finished, in_flight)


def disagreement_s(good: Samples, bad: Samples, start_s: float, end_s: float) -> float:
    """Return the seconds between two times in which one thing was good and another wasn't.

    What hasn't been sampled yet counts as neither.
    """
    good, bad = sorted(good), sorted(bad)
    edges = sorted({start_s, end_s, *(at_s for at_s, _ in (*good, *bad) if start_s < at_s < end_s)})
    total_s = 0.0
    good_at, bad_at = _Steps(good), _Steps(bad)
    for begin_s, until_s in itertools.pairwise(edges):
        if good_at.value(begin_s) is True and bad_at.value(begin_s) is False:
            total_s += until_s - begin_s
    return total_s


class _Steps:
    """Samples as a step function that is asked for ascending times."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._next = 0
        self._value: bool | None = None

    def value(self, at_s: float) -> bool | None:
        while self._next < len(self._samples) and self._samples[self._next][0] <= at_s:
            self._value = self._samples[self._next][1]
            self._next += 1
        return self._value


async def _every(pause_s: float, work: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """Start something again and again, whether or not what was started before has ended."""
    begun_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in itertools.count():
            await asyncio.sleep(max(0.0, begun_s + number * pause_s - time.monotonic()))
            group.create_task(work(number))
