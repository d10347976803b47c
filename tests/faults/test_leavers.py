"""Clients that hang up at any moment (row L4)."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.parts.appliance import Appliance, eventually
from tests.parts.rounds import rounds
from tests.parts.slow_clients import connect, read_to_end, sample, speech, status

pytestmark = pytest.mark.timeout(rounds(180, 1800))

LEAVERS = rounds(1_000, 10_000)
CLIENTS = 8
ONE_BY_ONE = 100
"""Leavers in a row, for the measuring of what is wasted."""
LONGEST_STAY_S = 0.25
CHUNK_DELAY_S = 0.002
WASTE = 0.05
TEXT = (
    "Each of these sentences is as long as an utterance may be, so that a worker is busy for a while, " * 190
)
RESET = struct.pack("ii", 1, 0)


def start(factory: Callable[..., Appliance], workers: int, **settings: Any) -> Appliance:
    appliance = factory(
        WORKERS_TONE=workers,
        DISPATCH_CORES=workers,
        VOICES_DEFAULT="tone-low",
        TONE_DELAY_S=CHUNK_DELAY_S,
        TONE_CHUNK_DELAY_S=CHUNK_DELAY_S,
        DISPATCH_CLIENT_BACKLOG=1_000,
        HEALTH_PROBE_INTERVAL_S=3600,
        **settings,
    )
    appliance.wait_until_ready()
    eventually(lambda: len(status(appliance)["workers"]) == workers)
    return appliance


def leave(appliance: Appliance, stay_s: float, *, with_reset: bool) -> bool:
    """Ask for a long speech, listen for a while and hang up; return whether there was more to hear."""
    leave_at_s = time.monotonic() + stay_s
    with connect(appliance, speech(TEXT)) as client:
        while (left_s := leave_at_s - time.monotonic()) > 0:
            if select.select([client], [], [], left_s)[0] and not client.recv(1_000_000):
                return False
        if with_reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return True


def finished(appliance: Appliance, seen: int) -> list[dict[str, Any]]:
    """The canonical lines, once there is one for every request that was taken in."""
    eventually(lambda: status(appliance)["requests"]["in_flight"] == 0)

    def lines() -> list[dict[str, Any]]:
        return [line for line in appliance.lines[seen:] if line["event"] == "request_finished"]

    eventually(lambda: len(lines()) == status(appliance)["requests"]["accepted"])
    return lines()


@pytest.mark.slow
@pytest.mark.parametrize("keeps", ["false", "true"])
def test_slots_when_a_thousand_clients_leave_at_any_moment_then_none_is_taken(
    appliance_factory: Callable[..., Appliance], keeps: str
) -> None:
    appliance = start(appliance_factory, CLIENTS, CACHE_SPEECH=keeps)  # kept ones hear each other's
    chance = random.Random(4)
    stays_s = [chance.uniform(0, LONGEST_STAY_S / 2) for _ in range(LEAVERS)]
    seen, pids = len(appliance.lines), {each["pid"] for each in status(appliance)["workers"]}
    left: list[bool] = []

    def client(number: int) -> None:
        left.extend(
            leave(appliance, stays_s[index], with_reset=bool(index % 16 // 8))
            for index in range(number, LEAVERS, CLIENTS)
        )

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left == [True] * LEAVERS

    lines = finished(appliance, seen)
    eventually(lambda: {each["state"] for each in status(appliance)["workers"]} == {"ready"})
    now = status(appliance)
    assert (now["queue"]["waiting"], now["queue"]["running"]) == (0, 0)
    assert {each["pid"] for each in now["workers"]} == pids  # none had to be killed for it
    assert now["requests"]["accepted"] == sum(now["requests"]["finished"].values())
    assert sample(appliance, "tts_requests_in_flight") == 0
    assert {(line["outcome"], line["ended_by"]) for line in lines} == {("cancelled", "client")}
    print(f"{len(lines)} of {LEAVERS} taken in, ended in {dict(Counter(line['ended_in'] for line in lines))}")

    with contextlib.ExitStack() as stack:
        data = speech("Hello.").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        clients = [stack.enter_context(connect(appliance, data)) for _ in range(2 * CLIENTS)]
        assert all(read_to_end(each).startswith(b"HTTP/1.1 200 ") for each in clients)


@pytest.mark.slow
def test_worker_when_its_clients_leave_one_after_another_then_little_of_its_time_is_wasted(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = start(appliance_factory, 1)
    chance = random.Random(5)
    seen = len(appliance.lines)
    for index in range(ONE_BY_ONE):
        assert leave(appliance, chance.uniform(0, LONGEST_STAY_S), with_reset=bool(index % 2))
    lines = finished(appliance, seen)
    # The only worker is waited for while it still speaks to the one who has left.
    waits_s = [line["total_s"] if line["queue_wait_s"] is None else line["queue_wait_s"] for line in lines]
    wasted_s, worked_s = sum(waits_s), sum(line["total_s"] for line in lines)
    print(f"{wasted_s / worked_s:.1%} of {worked_s:.1f} s of a worker's time wasted by {len(lines)} leavers")
    assert wasted_s / worked_s <= WASTE
