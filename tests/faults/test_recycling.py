"""Workers that leak or have spoken much are replaced, and nobody who listens notices (row W8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from loadtests.figures import Figure
from tests.parts.appliance import Appliance, eventually
from tests.parts.measured import say
from tests.parts.rounds import rounds
from tests.parts.speaking import (
    connected_workers,
    counted,
    exits,
    listening,
    percentile,
    speak,
    wait_until_whole,
)

pytestmark = pytest.mark.timeout(600)

MIB = 1024 * 1024
LEAK_BYTES = MIB // 4
GROWTH_BYTES = 45 * MIB
"""So much that a worker is older than the recycler's least age when it is due."""
RECYCLES = rounds(6, 100)
WAITING_BYTES = 25 * MIB
"""What one worker may leak while it waits for the replacement of another, on a slow machine."""
LIMIT_S = 480.0


def recycled(appliance: Appliance, after: int) -> list[dict[str, Any]]:
    return [line for line in appliance.lines[after:] if line["event"] == "worker_recycled"]


def engines_recycled(appliance: Appliance, after: int) -> Counter[str]:
    return Counter(line["worker"].split("-")[1] for line in recycled(appliance, after))


def assert_one_at_a_time(lines: list[dict[str, Any]]) -> None:
    """See that no worker was told to end before the replacement of the one before had joined."""
    away = None
    for line in lines:
        if line["event"] == "worker_recycling":
            assert away is None, f"{line['worker']} goes while {away} is away"
            away = line["worker"]
        elif line["event"] == "worker_joined" and line["worker"] == away:
            away = None


def assert_ended_well(appliance: Appliance, after: int) -> None:
    """See that every process ended with 0, and supervisord took none for a failed start."""
    lines = appliance.lines[after:]
    codes = [line.get("exit_code") for line in lines if line["event"] == "worker_process_ended"]
    assert set(codes) == {0}
    said = [line["message"] for line in lines if line["event"] == "supervisord"]
    assert [message for message in said if "not expected" in message or "FATAL" in message] == []


def new_worker_bytes(appliance_factory: Callable[..., Appliance]) -> int:
    """How much memory a worker has that has just come."""
    appliance = appliance_factory(TONE_LEAK_BYTES=0)
    appliance.wait_until_ready()
    [new] = eventually(lambda: [each for each in connected_workers(appliance, "ready") if each["rss_bytes"]])
    appliance.close()
    return int(new["rss_bytes"])


@pytest.mark.slow
def test_workers_when_they_leak_then_replaced_one_at_a_time_and_no_request_fails(
    appliance_factory: Callable[..., Appliance],
) -> None:
    limit_bytes = new_worker_bytes(appliance_factory) + GROWTH_BYTES
    appliance = appliance_factory(
        WORKERS_TONE=3,
        TONE_LEAK_BYTES=LEAK_BYTES,
        TONE_DELAY_S=0.02,
        WORKERS_RECYCLE_RSS_BYTES=limit_bytes,
        DISPATCH_CORES=4,
        VOICES_DEFAULT="tone-low",
    )
    appliance.wait_until_ready()
    wait_until_whole(appliance, 3)
    seen = len(appliance.lines)
    with listening(appliance, 2) as others:
        eventually(lambda: len(recycled(appliance, seen)) >= RECYCLES, LIMIT_S)
    eventually(lambda: len(connected_workers(appliance, "ready")) == 3)

    told = [line for line in appliance.lines[seen:] if line["event"] == "worker_recycling"]
    over_bytes = [line["rss_bytes"] - limit_bytes for line in told]
    took_s = [answer.took_s for answer in others.answers]
    say(
        "W8",
        Figure("workers recycled", len(told), "", least=RECYCLES),
        Figure("requests meanwhile", len(others.answers), ""),
        Figure("requests that failed", len(others.failed()), "", most=0),
        Figure("memory over the limit, at most", max(over_bytes) / MIB, "MiB", most=WAITING_BYTES / MIB),
        Figure("answers meanwhile, p99", percentile(took_s, 0.99) * 1000, "ms"),
    )
    assert others.failed() == []
    assert over_bytes[0] <= 2 * LEAK_BYTES + MIB
    assert max(over_bytes) <= WAITING_BYTES
    assert_one_at_a_time(appliance.lines[seen:])
    eventually(lambda: exits(appliance, "recycled") == len(told))
    assert_ended_well(appliance, seen)
    assert exits(appliance, "lost") == 0
    assert counted(appliance, "tts_utterance_retries_total") == 0
    assert {line["reason"] for line in told} == {"rss"}


def test_workers_when_those_of_two_engines_are_due_then_still_one_at_a_time(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(
        WORKERS_TONE=2, WORKERS_ESPEAK=2, WORKERS_RECYCLE_UTTERANCES=20, VOICES_DEFAULT="tone-low"
    )
    appliance.wait_until_ready()
    wait_until_whole(appliance, 4)
    seen = len(appliance.lines)
    with listening(appliance, 2) as others, listening(appliance, 2, voice="en-us") as more:
        eventually(lambda: engines_recycled(appliance, seen) >= Counter(tone=2, espeak=2), LIMIT_S)
    assert [*others.failed(), *more.failed()] == []
    assert_one_at_a_time(appliance.lines[seen:])


def test_worker_when_it_is_the_only_one_then_who_asks_meanwhile_waits_for_the_next(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(WORKERS_RECYCLE_UTTERANCES=20, VOICES_DEFAULT="tone-low")
    appliance.wait_until_ready()
    seen = len(appliance.lines)
    with listening(appliance, 2) as others:
        eventually(lambda: len(recycled(appliance, seen)) >= 2, LIMIT_S)
    assert others.failed() == []
    print(f"the longest wait of {len(others.answers)}: {max(each.took_s for each in others.answers):.2f} s")
    assert_ended_well(appliance, seen)


def test_worker_when_the_other_is_away_then_it_stays_until_that_is_back(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(
        WORKERS_TONE=2, WORKERS_RECYCLE_UTTERANCES=20, VOICES_DEFAULT="tone-low", HEALTH_PROBE_INTERVAL_S=3600
    )
    appliance.wait_until_ready()
    wait_until_whole(appliance, 2)
    assert appliance.supervisorctl("stop", "worker-tone-2").returncode == 0
    seen = len(appliance.lines)
    eventually(lambda: len(connected_workers(appliance)) == 1)
    for number in range(40):
        assert speak(appliance, f"Number {number}.").status == 200
    assert [line for line in appliance.lines[seen:] if line["event"] == "worker_recycling"] == []
    assert appliance.supervisorctl("start", "worker-tone-2").returncode == 0
    told = appliance.wait_for("worker_recycling", after=seen, worker="worker-tone-1", reason="utterances")
    assert told["utterances"] >= 40
    appliance.wait_for("worker_joined", after=seen, worker="worker-tone-1")
    assert_one_at_a_time(appliance.lines[seen:])
