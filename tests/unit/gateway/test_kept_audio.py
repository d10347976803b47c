"""Finished answers in memory."""

from __future__ import annotations

import asyncio

import pytest

from appliance.errors import EngineFailedError
from processes.gateway.kept_audio import Audio, KeptAudio, finished_audio


class Maker:
    """Makes audio when it is let, and counts."""

    def __init__(self, data: bytes = b"audio") -> None:
        self.data = data
        self.count = 0
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.was_cancelled = False

    async def __call__(self) -> Audio:
        self.count += 1
        self.begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return finished_audio(self.data, "audio/mpeg")


async def test_get_when_equal_requests_come_together_then_it_is_made_once() -> None:
    kept, make = KeptAudio(100), Maker()
    callers = [asyncio.create_task(kept.get("key", make)) for _ in range(5)]
    await make.begun.wait()
    make.may_end.set()
    assert {audio.data for audio in await asyncio.gather(*callers)} == {b"audio"}
    assert (await kept.get("key", make)).data == b"audio"
    assert make.count == 1


async def test_get_when_one_of_two_callers_leaves_then_the_other_is_served() -> None:
    kept, make = KeptAudio(100), Maker()
    leaver, stayer = (asyncio.create_task(kept.get("key", make)) for _ in range(2))
    await make.begun.wait()
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    make.may_end.set()
    assert (await stayer).data == b"audio"


async def test_get_when_the_last_caller_leaves_then_the_making_is_cancelled() -> None:
    kept, make = KeptAudio(100), Maker()
    caller = asyncio.create_task(kept.get("key", make))
    await make.begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    again = Maker(b"again")
    again.may_end.set()
    assert (await kept.get("key", again)).data == b"again"
    assert make.was_cancelled


async def test_get_when_the_bound_is_reached_then_the_least_used_goes() -> None:
    kept = KeptAudio(10)
    makers = {key: Maker(key.encode() * 4) for key in "abc"}
    for key in "aba":
        makers[key].may_end.set()
        await kept.get(key, makers[key])
    makers["c"].may_end.set()
    await kept.get("c", makers["c"])
    await kept.get("a", makers["a"])
    await kept.get("b", makers["b"])
    assert {key: maker.count for key, maker in makers.items()} == {"a": 1, "b": 2, "c": 1}


async def test_get_when_making_fails_then_every_caller_hears_it_and_nothing_is_kept() -> None:
    kept = KeptAudio(100)

    async def fail() -> Audio:
        await asyncio.sleep(0)
        raise EngineFailedError

    results = await asyncio.gather(*(kept.get("key", fail) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [EngineFailedError] * 3
    make = Maker()
    make.may_end.set()
    assert (await kept.get("key", make)).data == b"audio"
