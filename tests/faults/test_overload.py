"""More work than there is capacity for: who is served, who is refused and how, and that it passes."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from loadtests.ledger.lines import ClientLine
from loadtests.open_loop import Speakers, client_address, speakers
from tests.parts.appliance import Appliance, eventually
from tests.parts.speaking import counted, speak

pytestmark = pytest.mark.timeout(120)

DELAY_S = 0.05
WORKERS = 2
CAPACITY_HZ = WORKERS / DELAY_S
"""Sentences a second, as nearly as two workers come to it."""
LIMIT_S = 0.3
SECOND_PEAK = 1.2
"""Times the capacity that clients are told to come back in one second, at most: bound of row L2."""
FLOOD = int(10 * CAPACITY_HZ)
"""Requests that one client has at the same moment: row L3, ten times what can be done in a second."""
BACKLOG = 64
MODEST = 5
CROWDS = 3
REFUSED = 'tts_requests_rejected_total{reason="capacity"}'
PROBED_AT = 'tts_probe_timestamp_seconds{engine="tone"}'


def started(appliance_factory: Callable[..., Appliance], **settings: object) -> Appliance:
    """Two workers, forty utterances a second."""
    made = appliance_factory(
        WORKERS_TONE=WORKERS,
        TONE_DELAY_S=DELAY_S,
        DISPATCH_CLIENT_BACKLOG=BACKLOG,
        DISPATCH_CORES=2,
        DISPATCH_FIRST_AUDIO_LIMIT_S=LIMIT_S,
        HEALTH_PROBE_INTERVAL_S=3600,
        VOICES_DEFAULT="tone-low",
        **settings,
    )
    made.wait_until_ready()
    return made


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    return started(appliance_factory)


@pytest.fixture(scope="module")
def keeping(appliance_factory: Callable[..., Appliance]) -> Appliance:
    return started(appliance_factory, CACHE_SPEECH="true")


@pytest.fixture
async def clients(used: Appliance) -> Any:
    eventually(lambda: json.loads(used.get("/health"))["status"] == "ok")
    async with speakers(used.port) as made:
        for number in range(3):
            await made.ask(f"warm-{id(made)}-{number}", client_address(999), time.monotonic(), number)
        yield made


def sentence_of(name: str) -> str:
    """A sentence that nobody else asks for, so that it has to be spoken."""
    return f"A sentence of which a crowd wants to hear {name}."


async def ask_at_once(clients: Speakers, name: str, count: int, client_count: int) -> list[ClientLine]:
    now_s = time.monotonic()
    return await asyncio.gather(
        *(
            clients.ask(
                f"{name}-{number}",
                client_address(number % client_count),
                now_s,
                number,
                input=sentence_of(f"{name} {number}"),
            )
            for number in range(count)
        )
    )


async def stay_away_as_told(retry_after_s: int) -> None:
    """Do what `Retry-After` says: that the time is enough is what a test shows, so nothing ends it sooner."""
    await asyncio.sleep(retry_after_s)


async def test_overload_when_many_clients_come_at_once_then_each_is_served_whole_or_refused_with_a_time(
    either: Appliance, clients: Speakers
) -> None:
    seen = len(either.lines)
    refused_before = counted(either, REFUSED)
    lines = await ask_at_once(clients, "crowd", 100, 100)
    served = [line for line in lines if line.is_acknowledged]
    refused = [line for line in lines if line.is_rejected]
    assert len(served) + len(refused) == 100
    assert len(served) >= 5
    assert len(refused) >= 20
    assert {(line.status, line.code) for line in refused} == {(503, "overloaded")}
    told_s = [line.retry_after_s for line in refused if line.retry_after_s is not None]
    assert len(told_s) == len(refused)
    assert min(told_s) >= 1
    assert max(told_s) > min(told_s), "all were told to come back at the same moment"

    ids = {line.id for line in refused}
    either.wait_for("request_refused", after=seen, code="overloaded", status=503)
    spoken = {line["request_id"] for line in either.lines[seen:] if line["event"] == "request_finished"}
    assert not ids & spoken, "a refusal touched a worker"
    assert counted(either, REFUSED) - refused_before == len(refused)
    eventually(lambda: json.loads(either.get("/health"))["status"] == "ok")
    assert all(line.is_acknowledged for line in await ask_at_once(clients, "calm", 3, 3))


async def test_overload_when_one_client_floods_then_the_others_are_served(
    either: Appliance, clients: Speakers
) -> None:
    seen = len(either.lines)
    flood = asyncio.gather(
        *(
            clients.ask(
                f"flood-{number}",
                client_address(500),
                time.monotonic(),
                number,
                input=sentence_of(f"flood {number}"),
            )
            for number in range(FLOOD)
        )
    )
    await asyncio.to_thread(eventually, lambda: counted(either, "tts_requests_in_flight") > 10)
    others = await ask_at_once(clients, "modest", MODEST, MODEST)
    assert not flood.done()
    assert [line.status for line in others if line.is_acknowledged] == [200] * MODEST
    answers = await flood
    assert {line.code for line in answers if line.is_rejected} == {"queue_full"}
    assert sum(line.is_acknowledged for line in answers) >= BACKLOG
    assert counted(either, 'tts_requests_rejected_total{reason="quota"}') >= 1
    either.wait_for("request_refused", after=seen, code="queue_full", status=429)
    eventually(lambda: counted(either, "tts_requests_in_flight") == 0)


async def test_overload_when_refused_clients_come_back_as_told_then_all_are_served(
    either: Appliance, clients: Speakers
) -> None:
    async def insist(number: int) -> int:
        for attempt in range(15):
            line = await clients.ask(
                f"storm-{number}-{attempt}",
                client_address(number),
                time.monotonic(),
                number,
                input=sentence_of(f"storm {number}"),
            )
            if line.is_acknowledged:
                return attempt
            await stay_away_as_told(line.retry_after_s or 0)
        return -1

    seen, refused_before = len(either.lines), counted(either, REFUSED)
    attempts = await asyncio.gather(*map(insist, range(50)))
    assert min(attempts) == 0
    assert max(attempts) > 0
    assert -1 not in attempts
    assert counted(either, REFUSED) - refused_before == sum(attempts)
    either.wait_for("request_refused", after=seen, code="overloaded", status=503)
    eventually(lambda: counted(either, "tts_requests_in_flight") == 0)


async def test_overload_when_a_crowd_is_refused_then_no_second_of_its_return_is_more_than_can_be_done(
    appliance: Appliance, clients: Speakers
) -> None:
    told_s: Counter[int] = Counter()
    for crowd in range(CROWDS):
        lines = await ask_at_once(clients, f"peak-{crowd}", 100, 100)
        told = [line.retry_after_s or 0 for line in lines if line.is_rejected]
        assert len(told) > SECOND_PEAK * CAPACITY_HZ, "too few for a second peak"
        told_s.update(told)
        await stay_away_as_told(max(told))
    peak_hz = max(told_s.values()) / CROWDS  # of several crowds, as each time is spread by chance
    print(
        f"L2: second peak {peak_hz / CAPACITY_HZ:.2f} × the capacity, of {told_s.total() / CROWDS:.0f} "
        f"refused; told seconds and how many: {sorted(told_s.items())}"
    )
    assert peak_hz <= SECOND_PEAK * CAPACITY_HZ


def test_quota_when_used_up_then_429_with_the_headers_and_the_others_and_probes_go_on(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(
        DISPATCH_CLIENT_RATE_PER_MIN=1,
        DISPATCH_CLIENT_BURST=2,
        HEALTH_PROBE_INTERVAL_S=1,
        VOICES_DEFAULT="tone-low",
    )
    appliance.wait_until_ready()
    seen = len(appliance.lines)
    ask = functools.partial(speak, appliance, "Once more.")
    assert [ask(address="127.0.9.1").status for _ in range(2)] == [200, 200]
    refused = ask(address="127.0.9.1")
    assert (refused.status, refused.code) == (429, "quota")
    assert json.loads(refused.body)["error"]["type"] == "rate_limit_error"
    headers = refused.headers
    assert 1 <= int(headers["Retry-After"]) <= 60 * 1.2
    assert (headers["RateLimit-Limit"], headers["RateLimit-Remaining"]) == ("2", "0")
    assert 60 < int(headers["RateLimit-Reset"]) <= 120
    assert ask(address="127.0.9.2").status == 200
    appliance.wait_for("request_refused", after=seen, code="quota", status=429)
    assert counted(appliance, 'tts_requests_rejected_total{reason="quota"}') == 1
    for _ in range(3):  # more probes than a client of the appliance might make
        before_s = counted(appliance, PROBED_AT)
        eventually(functools.partial(is_probed_since, appliance, before_s))
    assert counted(appliance, 'tts_probe_success{engine="tone"}') == 1


def is_probed_since(appliance: Appliance, at_s: float) -> bool:
    return counted(appliance, PROBED_AT) > at_s
