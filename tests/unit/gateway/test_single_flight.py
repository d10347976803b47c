"""Work that is done once at a time by name."""

from __future__ import annotations

import asyncio

import pytest

from appliance.errors import EngineFailedError
from processes.gateway.single_flight import SingleFlight


class Work:
    """Counts how often it is begun, and ends when it is let."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return number


def asking(flights: SingleFlight[int], work: Work, *names: str) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(flights.do(name, work)) for name in names]


async def turns() -> None:
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_do_when_asked_for_at_one_time_then_done_once_and_anew_afterwards() -> None:
    flights, work = SingleFlight[int](), Work()
    tasks = asking(flights, work, "a", "a", "b")
    await turns()
    work.may_end.set()
    assert await asyncio.gather(*tasks) == [1, 1, 2]
    assert await flights.do("a", work) == 3


async def test_do_when_it_fails_then_for_all_who_wait() -> None:
    flights, work = SingleFlight[int](), Work()
    work.error = EngineFailedError()
    tasks = asking(flights, work, "a", "a")
    await turns()
    work.may_end.set()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [work.error, work.error]


async def test_do_when_one_of_two_is_cancelled_then_it_goes_on_and_with_the_last_one_it_ends() -> None:
    flights, work = SingleFlight[int](), Work()
    first, second = asking(flights, work, "a", "a")
    await turns()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert work.cancelled == 0
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert work.cancelled == 1
    work.may_end.set()
    assert await flights.do("a", work) == 2
