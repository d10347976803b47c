"""More work than there is capacity for: who is let in, how soon the others are told, and what is left of it.

Owns: the section `overload` of the measurements, and its bounds.
Refuses to know: how a request is sent.

Two tone workers that take 50 ms for an utterance are the appliance, so that the clients aren't what limits.
All clients follow a schedule, and latency counts from the intended start. Answers aren't
kept, since each request is to be spoken, and nothing is probed meanwhile (`loadtests.appliance`); all other
settings are as they come.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from statistics import median
from typing import Any

import uvloop

from loadtests.appliance import running_appliance
from loadtests.figures import Figure
from loadtests.ledger.lines import ClientLine
from loadtests.ledger.reference import TEXTS
from loadtests.open_loop import Speakers, client_address, run_schedule, speakers
from processes.ttsctl.voice_bench.texts import SEED, sentences

SETTINGS: dict[str, Any] = {
    "WORKERS_ESPEAK": 0,
    "WORKERS_TONE": 2,
    "TONE_DELAY_S": 0.05,
    "DISPATCH_CORES": 2,
    "VOICES_DEFAULT": "tone-low",
}
CLIENTS = 60
CLOSED_CLIENTS = 8
"""Enough to keep two workers busy, too few for anybody to be refused."""
OVERLOAD = 3.0
GREEDY, MODEST = 10.0, 0.1
"""Times the capacity that the greedy client and each of the five others ask for."""
MODEST_CLIENTS = 5
MOST_SENTENCES = 8
MIXED_TEXTS = 300
RETRYING_CLIENTS = 50
MOST_ATTEMPTS = 20
WARM_UP_S = 2.0
CAPACITY_S = {False: 15.0, True: 6.0}
BASE_S = {False: 15.0, True: 8.0}
OVERLOAD_S = {False: 60.0, True: 10.0}
ROUNDS = 3
COMPARED_S = {False: 30.0, True: 8.0}
GREEDY_S = {False: 10.0, True: 4.0}
CALM_WINDOW_S = 2.0
CALM_FACTOR, CALM_SLACK_S = 1.5, 0.05
CALM_SHARE = 0.9
"""Back to base: from then on, for 2 s, nine of ten are served with a first sound within 1.5 × the p90 before
the overload and 50 ms."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of load and what became of it."""

    lines: Sequence[ClientLine]
    begun_at_s: float
    ended_at_s: float

    def accepted(self) -> list[ClientLine]:
        """Return the attempts that were answered with audio."""
        return [line for line in self.lines if line.is_acknowledged]

    def refused(self) -> list[ClientLine]:
        """Return the attempts that were told no."""
        return [line for line in self.lines if line.is_rejected]

    def goodput_hz(self) -> float:
        """Return the whole answers per second that came while the phase went on."""
        ended = [line for line in self.accepted() if line.ended_at_s <= self.ended_at_s]
        return len(ended) / (self.ended_at_s - self.begun_at_s)

    def late_s(self) -> float:
        """Return the p99 of how far behind the schedule requests left: the generator's own part."""
        return percentile([line.sent_at_s - line.intended_at_s for line in self.lines], 0.99)


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes six minutes, or two."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        with running_appliance(**SETTINGS) as appliance:
            figures = runner.run(_measure_crowds(appliance.port, is_short=is_short))
        with running_appliance(**SETTINGS) as appliance:
            figures += runner.run(_compare_loads(appliance.port, is_short=is_short))
    return figures


async def _measure_crowds(port: int, *, is_short: bool) -> list[Figure]:
    base_s = BASE_S[is_short]
    async with speakers(port) as clients:
        await _closed_loop(clients, "warm", WARM_UP_S)
        capacity_hz = (await _closed_loop(clients, "peak", CAPACITY_S[is_short])).goodput_hz()
        plan = [
            ("base", capacity_hz / 2, base_s),
            ("over", OVERLOAD * capacity_hz, OVERLOAD_S[is_short]),
            ("after", capacity_hz / 2, base_s),
        ]
        base, over, after = await _random_load(clients, plan)
        rounds = [
            await _greedy_load(clients, f"{number}", capacity_hz, GREEDY_S[is_short])
            for number in range(ROUNDS)
        ]
        attempts = await _retry_storm(clients)
    return [
        *_overload_figures(capacity_hz, base, over, after),
        *_greedy_figures(rounds),
        *_retry_figures(capacity_hz, attempts),
    ]


async def _compare_loads(port: int, *, is_short: bool) -> list[Figure]:
    """Measure the first audio at half of the capacity and at 85 % of it."""
    during_s = COMPARED_S[is_short]
    async with speakers(port) as clients:
        await _closed_loop(clients, "warm", WARM_UP_S, mixed_texts())
        capacity_hz = (await _closed_loop(clients, "peak", CAPACITY_S[is_short], mixed_texts())).goodput_hz()
        halves: list[Phase] = []
        highs: list[Phase] = []
        for number in range(ROUNDS):
            half = (f"half-{number}", 0.5 * capacity_hz, during_s)
            high = (f"high-{number}", 0.85 * capacity_hz, during_s)
            halves += await _random_load(clients, [half], mixed_texts())
            highs += await _random_load(clients, [high], mixed_texts())
    half_s = [first_audio_p90_s(each.accepted()) for each in halves]
    high_s = [first_audio_p90_s(each.accepted()) for each in highs]
    ratios = [high / half for half, high in zip(half_s, high_s, strict=True)]
    return [
        Figure("capacity, requests of 1 to 8 sentences", capacity_hz, "requests/s"),
        Figure("p90 first audio at 50 % load", 1000 * median(half_s), "ms", 1000 * min(half_s)),
        Figure("p90 first audio at 85 % load", 1000 * median(high_s), "ms", 1000 * min(high_s)),
        Figure("85 % ÷ 50 %", median(ratios), "×", min(ratios), most=1.6),
        Figure("refused at 85 % load", sum(len(each.refused()) for each in highs), ""),
    ]


@lru_cache(maxsize=1)
def mixed_texts() -> tuple[str, ...]:
    """Return texts of one to eight sentences, of which only the first decides over the first sound."""
    chosen = random.Random(SEED)
    source = sentences()
    return tuple(" ".join(islice(source, chosen.randint(1, MOST_SENTENCES))) for _ in range(MIXED_TEXTS))


async def _closed_loop(clients: Speakers, name: str, during_s: float, mixed: Sequence[str] = ()) -> Phase:
    """Let a few clients ask for their next as soon as they have the last."""
    begun_at_s = time.monotonic()
    until_s = begun_at_s + during_s

    async def ask_on(client: int) -> list[ClientLine]:
        lines: list[ClientLine] = []
        while time.monotonic() < until_s:
            number = client + CLOSED_CLIENTS * len(lines)
            request_id = f"{name}-{number}"
            fields = {"input": mixed[number % len(mixed)]} if mixed else {}
            lines.append(
                await clients.ask(
                    request_id, client_address(client), time.monotonic(), number % TEXTS, **fields
                )
            )
        return lines

    answered = await asyncio.gather(*map(ask_on, range(CLOSED_CLIENTS)))
    return Phase([line for lines in answered for line in lines], begun_at_s, until_s)


async def _random_load(
    clients: Speakers, plan: Sequence[tuple[str, float, float]], mixed: Sequence[str] = ()
) -> list[Phase]:
    """Send requests at random moments from many clients, one stretch after another, and wait for all answers.

    Args:
        clients: Who sends.
        plan: Of each stretch its name, requests per second on average, and seconds.
        mixed: The texts; those of the ledger if there are none.
    """
    begun_at_s = time.monotonic()
    chosen = random.Random(SEED)
    starts_s: list[float] = []
    phases: list[tuple[float, float]] = []
    for _, rate_hz, during_s in plan:
        end_s = begun_at_s + during_s
        phases.append((begun_at_s, end_s))
        while (begun_at_s := begun_at_s + chosen.expovariate(rate_hz)) < end_s:
            starts_s.append(begun_at_s)
        begun_at_s = end_s
    name = "-".join(each for each, _, _ in plan)
    lines = await _send(clients, name, starts_s, CLIENTS, mixed=mixed)
    return [
        Phase([line for line in lines if begin_s <= line.intended_at_s < end_s], begin_s, end_s)
        for begin_s, end_s in phases
    ]


async def _send(
    clients: Speakers,
    name: str,
    starts_s: Sequence[float],
    count: int,
    *,
    first: int = 0,
    mixed: Sequence[str] = (),
) -> list[ClientLine]:
    """Send a request at each time, from so many clients by turns; return what became of all."""
    lines: list[ClientLine] = []

    async def ask(number: int, at_s: float) -> None:
        address = client_address(first + number % count)
        fields = {"input": mixed[number % len(mixed)]} if mixed else {}
        lines.append(await clients.ask(f"{name}-{number}", address, at_s, number % TEXTS, **fields))

    await run_schedule(starts_s, ask)
    return sorted(lines, key=lambda line: line.intended_at_s)


async def _greedy_load(
    clients: Speakers, name: str, capacity_hz: float, during_s: float
) -> tuple[Phase, Phase]:
    """Let one client ask for ten times the capacity, and five others for a tenth each."""
    begun_at_s = time.monotonic()
    end_s = begun_at_s + during_s

    def evenly(rate_hz: float) -> list[float]:
        return [begun_at_s + number / rate_hz for number in range(int(during_s * rate_hz))]

    modest_starts_s = evenly(MODEST_CLIENTS * MODEST * capacity_hz)
    greedy, modest = await asyncio.gather(
        _send(clients, f"greedy-{name}", evenly(GREEDY * capacity_hz), 1),
        _send(clients, f"modest-{name}", modest_starts_s, MODEST_CLIENTS, first=1),
    )
    return Phase(greedy, begun_at_s, end_s), Phase(modest, begun_at_s, end_s)


async def _retry_storm(clients: Speakers) -> list[ClientLine]:
    """Let fifty clients ask at one moment and come back whenever they are told to; return all attempts."""
    begun_at_s = time.monotonic()

    async def insist(client: int) -> list[ClientLine]:
        lines: list[ClientLine] = []
        at_s = begun_at_s
        for attempt in range(MOST_ATTEMPTS):
            await asyncio.sleep(max(0.0, at_s - time.monotonic()))
            lines.append(await clients.ask(f"storm-{client}-{attempt}", client_address(client), at_s, client))
            if not lines[-1].is_rejected:
                break
            at_s = time.monotonic() + (lines[-1].retry_after_s or 0)
        return lines

    attempts = await asyncio.gather(*map(insist, range(RETRYING_CLIENTS)))
    return sorted((line for lines in attempts for line in lines), key=lambda line: line.intended_at_s)


def _overload_figures(capacity_hz: float, base: Phase, over: Phase, after: Phase) -> list[Figure]:
    refused_s = [line.ended_at_s - line.intended_at_s for line in over.refused()]
    base_s = first_audio_p90_s(base.accepted())
    failed = sum(not line.is_acknowledged and not line.is_rejected for line in over.lines)
    return [
        Figure("capacity, requests of 1 to 3 sentences", capacity_hz, "requests/s"),
        Figure("p90 first audio at 50 % load", 1000 * base_s, "ms"),
        Figure("3 × overload, p90 first audio", 1000 * first_audio_p90_s(over.accepted()), "ms", most=500),
        Figure("3 × overload, p99 of refusals", 1000 * percentile(refused_s, 0.99), "ms", most=50),
        Figure("3 × overload, goodput ÷ capacity", over.goodput_hz() / capacity_hz, "×", least=0.9),
        Figure("3 × overload, neither served nor refused", failed, "", most=0),
        Figure("back to base after", calm_after_s(after, base_s), "s", most=5),
        Figure("the generator's own delay, p99", 1000 * over.late_s(), "ms"),
    ]


def _greedy_figures(rounds: Sequence[tuple[Phase, Phase]]) -> list[Figure]:
    greedy = [100 * len(each.accepted()) / len(each.lines) for each, _ in rounds]
    served = [100 * len(each.accepted()) / len(each.lines) for _, each in rounds]
    p90_ms = [1000 * first_audio_p90_s(each.accepted()) for _, each in rounds]
    return [
        Figure("greedy client, its requests served", median(greedy), "%", max(greedy)),
        Figure("five others beside it, served", median(served), "%", max(served), least=99),
        Figure("five others beside it, p90 first audio", median(p90_ms), "ms", min(p90_ms), most=500),
    ]


def _retry_figures(capacity_hz: float, attempts: Sequence[ClientLine]) -> list[Figure]:
    served = sum(line.is_acknowledged for line in attempts)
    returns_s = [line.sent_at_s for line in attempts if not line.id.endswith("-0")]
    return [
        Figure("50 clients at once, served in the end", served, "", least=RETRYING_CLIENTS),
        Figure("50 clients at once, second peak ÷ capacity", peak_hz(returns_s) / capacity_hz, "×", most=1.2),
    ]


def peak_hz(times_s: Sequence[float]) -> float:
    """Return the most events in any second."""
    times_s = sorted(times_s)
    return float(
        max((bisect_left(times_s, at_s + 1.0) - number for number, at_s in enumerate(times_s)), default=0)
    )


def calm_after_s(after: Phase, base_s: float) -> float:
    """Return the seconds until there was a calm stretch; infinite where there was none.

    Args:
        after: Load at the base's rate, right behind an overload.
        base_s: p90 first audio in seconds before it.
    """
    most_s = CALM_FACTOR * base_s + CALM_SLACK_S
    bad_s = [
        line.intended_at_s
        for line in after.lines
        if not line.is_acknowledged or line.first_audio_s is None or line.first_audio_s > most_s
    ]
    starts_s = [line.intended_at_s for line in after.lines]
    for at_s in (after.begun_at_s, *(each + 1e-6 for each in bad_s)):
        if at_s + CALM_WINDOW_S > after.ended_at_s:
            break
        until_s = at_s + CALM_WINDOW_S
        count = bisect_left(starts_s, until_s) - bisect_left(starts_s, at_s)
        if bisect_left(bad_s, until_s) - bisect_left(bad_s, at_s) <= (1 - CALM_SHARE) * count:
            return at_s - after.begun_at_s
    return math.inf


def first_audio_p90_s(lines: Sequence[ClientLine]) -> float:
    """Return the p90 of the seconds from intended start to first audio."""
    return percentile([line.first_audio_s for line in lines if line.first_audio_s is not None], 0.9)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least a share of the values doesn't exceed; infinite without any."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else math.inf
