"""Finished answers in memory."""

from __future__ import annotations

import asyncio

import pytest

from appliance.errors import EngineFailedError
from processes.gateway.kept_audio import MAX_LONG_KEYS, SMALL_BYTES, Audio, KeptAudio, finished_audio


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


async def data_of(kept: KeptAudio, make: Maker, key: str = "key") -> bytes:
    """The bytes of audio that must have been finished."""
    audio = await kept.get(key, make)
    assert isinstance(audio, Audio)
    return audio.data


async def test_get_when_equal_requests_come_together_then_it_is_made_once() -> None:
    kept, make = KeptAudio(100), Maker()
    callers = [asyncio.create_task(data_of(kept, make)) for _ in range(5)]
    await make.begun.wait()
    make.may_end.set()
    assert set(await asyncio.gather(*callers)) == {b"audio"}
    assert await data_of(kept, make) == b"audio"
    assert make.count == 1


async def test_get_when_one_of_two_callers_leaves_then_the_other_is_served() -> None:
    kept, make = KeptAudio(100), Maker()
    leaver, stayer = (asyncio.create_task(data_of(kept, make)) for _ in range(2))
    await make.begun.wait()
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    make.may_end.set()
    assert await stayer == b"audio"


async def test_get_when_the_last_caller_leaves_then_the_making_is_cancelled() -> None:
    kept, make = KeptAudio(100), Maker()
    caller = asyncio.create_task(kept.get("key", make))
    await make.begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    again = Maker(b"again")
    again.may_end.set()
    assert await data_of(kept, again) == b"again"
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
    assert await data_of(kept, make) == b"audio"


class Outgrown:
    """What is left of a making that gave up."""

    def __init__(self, *, is_too_long: bool = True) -> None:
        self.is_too_long = is_too_long
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True


class GivingUp(Maker):
    """Makes too much when it is let."""

    def __init__(self, *, is_too_long: bool = True) -> None:
        super().__init__()
        self.ended = asyncio.Event()
        self.outgrown = Outgrown(is_too_long=is_too_long)

    async def __call__(self) -> Outgrown:  # type: ignore[override]  # gives up instead of finishing
        await super().__call__()
        self.ended.set()
        return self.outgrown


async def test_get_when_the_making_outgrows_its_room_then_one_caller_takes_it_and_the_others_know() -> None:
    kept, make = KeptAudio(100), GivingUp()
    asker = asyncio.create_task(kept.get("key", make, takes_unfinished=False))
    callers = [asyncio.create_task(kept.get("key", make)) for _ in range(3)]
    await make.begun.wait()
    make.may_end.set()
    assert await asyncio.gather(asker, *callers) == [None, make.outgrown, None, None]
    assert make.count == 1
    assert not make.outgrown.is_closed
    assert kept.is_known_as_long("key")
    assert not kept.is_known_as_long("another")


async def test_get_when_nobody_takes_what_has_outgrown_its_room_then_it_is_closed() -> None:
    kept, make = KeptAudio(100), GivingUp(is_too_long=False)
    make.may_end.set()
    assert await kept.get("key", make, takes_unfinished=False) is None
    assert make.outgrown.is_closed
    assert not kept.is_known_as_long("key")


async def test_get_when_the_last_caller_leaves_just_as_the_making_gives_up_then_it_is_closed() -> None:
    kept, make = KeptAudio(100), GivingUp()
    caller = asyncio.create_task(kept.get("key", make))
    await make.begun.wait()
    make.may_end.set()
    await make.ended.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert make.outgrown.is_closed


async def test_long_keys_when_there_are_many_then_the_least_used_is_forgotten() -> None:
    kept = KeptAudio(100)
    for number in range(MAX_LONG_KEYS):
        make = GivingUp()
        make.may_end.set()
        await kept.get(f"{number}", make)
    assert kept.is_known_as_long("0")
    make = GivingUp()
    make.may_end.set()
    await kept.get("last", make)
    assert kept.is_known_as_long("0")
    assert not kept.is_known_as_long("1")


def test_room_when_taken_then_all_together_have_as_much_as_the_cache_and_small_ones_always_some() -> None:
    kept = KeptAudio(4 * SMALL_BYTES)
    with kept.room() as first, kept.room() as second, kept.room() as small:
        assert first.take(3 * SMALL_BYTES)
        assert small.take(SMALL_BYTES)
        assert not second.take(2 * SMALL_BYTES)
        assert not second.has_outgrown_all
        first.give_back(3 * SMALL_BYTES)
        assert second.take(SMALL_BYTES)
    assert kept.making_bytes == 0


def test_room_when_one_answer_takes_more_than_the_cache_then_it_has_outgrown_all() -> None:
    with KeptAudio(4 * SMALL_BYTES).room() as room:
        assert room.take(4 * SMALL_BYTES)
        assert not room.take(1)
        assert room.has_outgrown_all


def test_room_when_the_cache_is_small_then_a_small_answer_outgrows_it_too() -> None:
    with KeptAudio(10).room() as room:
        assert room.take(10)
        assert not room.take(1)
