"""One synthesis that several listen to."""

from __future__ import annotations

import asyncio
import functools
from contextlib import ExitStack
from typing import Any, cast

import pytest

from appliance.errors import EngineFailedError
from appliance.metrics import GatewayMetrics
from processes.gateway.audio_memory import Audio, AudioMemory, finished_audio
from processes.gateway.shared_speech import AHEAD, Listener, Room, SharedSpeech
from processes.gateway.unsent import Unsent


def room_of(answer_bytes: int = 100, limit_bytes: int = 1_000, small_bytes: int = 0) -> Room:
    return Room(answer_bytes, limit_bytes, small_bytes)


class Making:
    """Makes a part whenever it is let; the speech itself doesn't matter here."""

    def __init__(self, room: Room | None = None) -> None:
        self.room = room or room_of()
        nothing: Any = None
        self.shared = SharedSpeech(nothing, cast("Any", nothing), self.room)
        self.made = 0
        self.was_cancelled = False
        self.closed = asyncio.Event()
        self.done = asyncio.Event()
        self._work: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.shared.start(self._make, self.closed.set)

    def let(self, *parts: bytes | Exception | None) -> None:
        for part in parts:
            self._work.put_nowait(part)

    async def _make(self, shared: SharedSpeech) -> None:
        shared.begin()
        try:
            while (part := await self._work.get()) is not None:
                if isinstance(part, Exception):
                    raise part
                await shared.put(part)
                self.made += 1
            if shared.is_joinable:
                shared.audio = finished_audio(b"".join(shared.parts()), "audio/mpeg")
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        finally:
            self.done.set()


async def heard(listener: Listener) -> bytes:
    """Everything that a listener hears."""
    parts = []
    while part := await listener.next_part():
        parts.append(part)
    return b"".join(parts)


async def turns(count: int = 20) -> None:
    """Let everything that can go on go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_join_when_others_come_later_then_all_hear_it_from_the_beginning() -> None:
    making = Making()
    first = making.shared.join()
    making.let(b"one ", b"two ")
    assert await first.next_part() == b"one "
    second = making.shared.join()
    assert await second.next_part() == b"one "
    making.let(b"three", None)
    assert await heard(first) == b"two three"
    assert await heard(second) == b"two three"


async def test_put_when_nobody_listens_on_then_little_is_made_ahead() -> None:
    making = Making()
    listener = making.shared.join()
    making.let(*[b"x"] * 10)
    await turns()
    assert making.made == AHEAD
    await listener.next_part()
    await turns()
    assert making.made == AHEAD + 1
    making.shared.leave(listener)
    await making.done.wait()


async def test_put_when_all_may_be_kept_then_the_fastest_sets_the_pace() -> None:
    making = Making()
    fast, slow = making.shared.join(), making.shared.join()
    making.let(*[b"x"] * 10, None)
    assert await heard(fast) == b"x" * 10
    assert await heard(slow) == b"x" * 10


@pytest.mark.parametrize("room", [room_of(answer_bytes=5), room_of(limit_bytes=5)])
async def test_put_when_it_outgrows_its_room_then_nobody_waits_and_what_the_slow_one_lacks_is_counted(
    room: Room,
) -> None:
    making = Making(room)
    fast, slow = making.shared.join(), making.shared.join()
    making.let(*[b"abc"] * 10, None)
    assert await heard(fast) == b"abc" * 10
    assert not making.shared.is_joinable
    assert room.held_bytes == 0
    assert fast.held().size_bytes == 0
    assert slow.held() == (id(making.shared), 30)
    await slow.next_part()
    assert slow.held() == (id(making.shared), 27)
    assert await heard(slow) == b"abc" * 9
    assert making.shared.parts() == []


async def test_held_when_the_making_waits_for_one_then_that_one_holds_nothing_and_is_not_cut() -> None:
    """Two live answers wait for their only listeners, as a third one's slow listener is looked at."""
    unsent, cut = Unsent(20, AudioMemory(100), GatewayMetrics()), list[str]()
    makings = [Making(room_of(answer_bytes=5)) for _ in range(3)]
    live, pace = makings[0].shared.join(), makings[1].shared.join()
    fast, slow = makings[2].shared.join(), makings[2].shared.join()
    for making in makings:
        making.let(*[b"x" * 10] * 5)
    for _ in range(4):
        await fast.next_part()
    await pace.next_part()
    await turns()
    assert [making.made for making in makings] == [AHEAD, AHEAD + 1, 5]
    with ExitStack() as sent:
        for name, listener in (("live", live), ("pace", pace), ("fast", fast), ("slow", slow)):
            sent.enter_context(unsent.holding(listener.held, functools.partial(cut.append, name), ""))
        assert [each.held().size_bytes for each in (live, pace, fast, slow)] == [0, 0, 0, 50]
        unsent.look()
        assert (cut, unsent.bytes) == (["slow"], 0)
    for making, listener in zip([*makings, makings[2]], (live, pace, fast, slow), strict=True):
        making.shared.leave(listener)


async def test_next_part_when_all_has_been_made_then_the_rest_comes_out_of_the_whole() -> None:
    making = Making()
    fast, slow = making.shared.join(), making.shared.join()
    making.let(*[b"abc"] * 10, None)
    assert await slow.next_part() == b"abc"
    assert slow.held().size_bytes == 0  # as long as it may be kept it has its room
    assert await heard(fast) == b"abc" * 10
    assert making.shared.parts() == []
    assert making.shared.audio is not None
    assert slow.held() == (id(making.shared.audio.data), 30)
    assert await heard(slow) == b"abc" * 9


async def test_make_when_it_fails_then_everybody_gets_that_error() -> None:
    making = Making()
    listeners = [making.shared.join() for _ in range(3)]
    making.let(b"x", EngineFailedError("broken"))
    for listener in listeners:
        with pytest.raises(EngineFailedError):
            await heard(listener)
    await making.done.wait()
    assert not making.shared.is_joinable
    assert making.room.held_bytes == 0


async def test_leave_when_one_of_two_leaves_then_the_other_hears_all() -> None:
    making = Making()
    first, second = making.shared.join(), making.shared.join()
    making.let(b"one ")
    await first.next_part()
    making.shared.leave(first)
    making.let(b"two", None)
    assert await heard(second) == b"one two"
    assert not making.was_cancelled


async def test_leave_when_the_last_one_leaves_then_the_work_is_cancelled_and_nobody_joins() -> None:
    making = Making()
    first, second = making.shared.join(), making.shared.join()
    await turns()
    making.shared.leave(first)
    making.shared.leave(second)
    assert not making.shared.is_joinable
    await making.done.wait()
    assert making.was_cancelled
    assert making.room.held_bytes == 0


async def test_leave_when_the_slowest_leaves_then_what_was_held_for_it_is_dropped() -> None:
    making = Making(room_of(answer_bytes=2))
    fast, slow = making.shared.join(), making.shared.join()
    making.let(*[b"abc"] * 10)
    for _ in range(10):
        await fast.next_part()
    assert len(making.shared.parts()) == 10
    making.shared.leave(slow)
    assert making.shared.parts() == []
    making.let(None)
    assert await heard(fast) == b""


async def whole(listener: Listener) -> bytes | None:
    """The bytes of the whole; None where it has outgrown its room."""
    audio = await listener.whole()
    return audio.data if isinstance(audio, Audio) else None


async def test_whole_when_it_is_made_then_all_at_once_for_everybody_and_nobody_holds_it_up() -> None:
    making = Making()
    waiting = [asyncio.create_task(whole(making.shared.join())) for _ in range(3)]
    making.let(*[b"abc"] * 10)
    await turns()
    assert making.made == 10
    assert not any(task.done() for task in waiting)
    making.let(None)
    assert await asyncio.gather(*waiting) == [b"abc" * 10] * 3
    assert making.room.held_bytes == 0


@pytest.mark.parametrize("room", [room_of(answer_bytes=5), room_of(limit_bytes=5)])
async def test_whole_when_it_outgrows_its_room_then_it_is_heard_from_the_start_as_it_is_made(
    room: Room,
) -> None:
    making = Making(room)
    listeners = [making.shared.join() for _ in range(2)]
    waiting = [asyncio.create_task(whole(listener)) for listener in listeners]
    making.let(*[b"abc"] * 10, None)
    assert await asyncio.gather(*waiting) == [None, None]
    await turns()
    assert making.made < 10
    assert making.shared.is_too_long is (room.answer_bytes == 5)
    assert await asyncio.gather(*map(heard, listeners)) == [b"abc" * 10] * 2


async def test_whole_when_it_fails_then_everybody_who_waits_gets_that_error() -> None:
    making = Making()
    waiting = [asyncio.create_task(whole(making.shared.join())) for _ in range(3)]
    making.let(b"x", EngineFailedError("broken"))
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in errors] == [EngineFailedError] * 3


async def test_put_when_it_is_small_then_it_has_room_whatever_the_others_hold() -> None:
    room = room_of(limit_bytes=10, small_bytes=4)
    large, small = Making(room), Making(room)
    waiting = [asyncio.create_task(whole(making.shared.join())) for making in (large, small)]
    large.let(b"x" * 10)
    small.let(b"xxxx")
    await turns()
    assert (large.shared.is_joinable, small.shared.is_joinable) == (True, True)
    small.let(b"x", None)
    large.let(None)
    assert await asyncio.gather(*waiting) == [b"x" * 10, None]


async def test_end_when_the_making_has_work_left_then_nobody_joins_and_nothing_is_held() -> None:
    making = Making()
    listener = making.shared.join()
    making.let(b"x")
    assert await listener.next_part() == b"x"
    making.shared.end()
    assert making.closed.is_set()
    assert making.room.held_bytes == 0
    assert await heard(listener) == b""
    making.shared.leave(listener)
    making.let(None)
    await making.done.wait()
    assert not making.was_cancelled


async def test_leave_when_all_has_been_made_then_what_is_left_to_do_is_done() -> None:
    making = Making()
    listener = making.shared.join()
    making.let(b"x")
    assert await listener.next_part() == b"x"
    making.shared.made([])
    making.shared.leave(listener)
    making.let(None)
    await making.done.wait()
    assert not making.was_cancelled
    assert making.shared.audio is not None


async def test_leave_when_the_making_has_not_even_begun_then_nobody_joins() -> None:
    making = Making()
    making.shared.leave(making.shared.join())
    await making.closed.wait()
    await turns()
    assert making.shared.is_over
    assert not making.shared.is_joinable
