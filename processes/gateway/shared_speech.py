"""One synthesis that several equal requests listen to, each from its beginning, as it is made.

Owns: what has been made so far, who listens to it, how far each is, when it ends, whether the whole is kept.
Refuses to know: HTTP, keys, how speech is made (`make` does it, in a task of this module's).

While everything may still be kept, a newcomer begins at the start. Who waits for the whole hears nothing
meanwhile and holds nobody up. An answer that outgrows what may be kept lets nobody more in and drops what all
have heard; who waited for the whole hears it from the start. The fastest listener sets the pace, so that
nobody waits for another one; what is held for those behind it is counted (`Listener.held`) and bounded
(`unsent`). Once the whole is there, they hear the rest out of that.

    making ──all of it──▶ whole: every listener comes to the end; kept
    making ──a failure──▶ every listener gets the same error
    making ──the last listener leaves──▶ cancelled
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from appliance.speech import TimedWord
from appliance.voices import Voice
from processes.gateway.account import EncodingTime
from processes.gateway.audio_memory import PIECE_BYTES, Audio
from processes.gateway.fallback import Replaced
from processes.gateway.record import RequestRecord
from processes.gateway.ticket import Stream
from processes.gateway.unsent import Held

AHEAD = 1
"""Parts that may be made before the fastest listener has passed the last on."""


@dataclass(slots=True)
class Room:
    """How much answers may hold while they are made."""

    answer_bytes: int
    """What one may hold."""
    limit_bytes: int
    """What all together may hold."""
    small_bytes: int = 0
    """One that holds no more than this has its room always."""
    held_bytes: int = 0
    """What all together hold now."""


class Listener:
    """One of those who hear it."""

    def __init__(self, shared: SharedSpeech) -> None:
        self.shared = shared
        self.wakeup = asyncio.Event()
        self.position = 0
        """Number of the part that it hears next."""
        self.heard_bytes = 0
        self.waits_for_whole = False

    def held(self) -> Held:
        """Return what is there only for this one, and for others who are as far behind."""
        return self.shared.held_for(self)

    async def begun(self) -> None:
        """Wait until it is known who speaks, or that nobody does.

        Raises:
            Exception: It failed.
        """
        while not (self.shared.has_begun or self.shared.is_over):
            await self._woken()
        if not self.shared.has_begun:
            self.shared.raise_error()

    async def next_part(self) -> bytes:
        """Return the next bytes, empty at the end; the ones before have been passed on.

        Raises:
            Exception: It failed; no more bytes come.
        """
        while not (part := self.shared.part(self)):
            if self.shared.is_over:
                self.shared.raise_error()
                return b""
            self.shared.moved()
            await self._woken()
        self.position += 1
        self.heard_bytes += len(part)
        self.shared.moved()
        return part

    async def whole(self) -> Audio | None:
        """Wait for all of it; None as soon as it has outgrown what may be kept: `next_part` gives it then.

        Raises:
            Exception: It failed.
        """
        self.waits_for_whole = True
        self.shared.moved()
        while self.shared.is_joinable and not self.shared.is_over:
            await self._woken()
        self.waits_for_whole = False
        if self.shared.is_over:
            self.shared.raise_error()
        return self.shared.audio

    async def _woken(self) -> None:
        self.wakeup.clear()
        await self.wakeup.wait()


class SharedSpeech:
    """The synthesis."""

    def __init__(self, voice: Voice, stream: Stream, room: Room, *, is_finished_first: bool = False) -> None:
        """Begin with nothing; `start` has it made.

        Args:
            voice: Who was asked to speak.
            stream: The request that the workers know.
            room: How much it may hold.
            is_finished_first: Whether it comes in one part, with exact sizes.
        """
        self.voice = voice
        """Who really speaks, once it has begun."""
        self.replaced: Replaced | None = None
        """In whose place, where that is a fallback."""
        self.stream = stream
        self.is_finished_first = is_finished_first
        self.records: list[RequestRecord] = []
        """Those of the requests that hear it, in the order in which they came."""
        self.account: RequestRecord | None = None
        """The one among them with the figures of what workers do; none where it is spoken ahead."""
        self.audio: Audio | None = None
        """The whole, once it is over, if all of it was held."""
        self.words: list[TimedWord] = []
        self.encoding = EncodingTime()
        self.has_begun = self.is_being_made = self.is_over = self._is_made = False
        """Whether it is known who speaks; its task has begun; it has ended; all of it is made."""
        self.is_joinable = True
        """Whether all of it is still there, so that it can be heard from the beginning and kept."""
        self.is_too_long = False
        """Whether it alone has outgrown what one may hold."""
        self._room = room
        self._parts: deque[bytes] = deque()
        self._dropped = 0
        """Parts that nobody will hear any more."""
        self._made_bytes = 0
        self._listeners: set[Listener] = set()
        self._has_room = asyncio.Event()
        self._error: Exception | None = None
        self._close: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None

    def start(self, make: Callable[[SharedSpeech], Awaitable[None]], close: Callable[[], None]) -> None:
        """Have it made in a task.

        Args:
            make: Tells everything to this object; cancelled when the last listener has left. Behind `end` it
                may have work left that nobody hears.
            close: Called once, as soon as nobody may join any more.
        """
        self._close = close
        self._task = asyncio.create_task(self._run(make))
        self._task.add_done_callback(lambda _: self.end())  # a task that is cancelled at once never runs

    def join(self) -> Listener:
        """Begin to listen, from the start; `leave` at the end, whatever happens."""
        listener = Listener(self)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Stop listening; with the last one the synthesis is cancelled, if it isn't whole."""
        self._listeners.discard(listener)
        has_work = not (self._is_made or self.is_over)
        if not self._listeners and has_work and self._task is not None:
            self._let_go()
            self._task.cancel()
        self.moved()

    def parts(self) -> list[bytes]:
        """Return all of it that has been made; only where it is joinable."""
        return list(self._parts)

    # What the making tells.

    def spoken_by(self, voice: Voice, replaced: Replaced | None) -> None:
        """Learn who speaks, and in whose place."""
        self.voice, self.replaced = voice, replaced

    def begin(self) -> None:
        """Say that nobody else will speak any more."""
        self.has_begun = True
        self._wake()

    async def put(self, data: bytes) -> None:
        """Pass bytes on, if there are any; waits until the fastest listener has passed them on."""
        if not data:
            return
        self._take(data)
        while not self._may_go_on():
            self._has_room.clear()
            await self._has_room.wait()

    def made(self, words: list[TimedWord]) -> None:
        """Say that all of it has been put; what is left to do is done even if everybody leaves.

        Args:
            words: When its words sound, where the request wants to know.
        """
        self.words = words
        self._is_made = True

    # What listeners ask.

    def part(self, listener: Listener) -> bytes:
        """Return what a listener hears next; empty if it hasn't been made."""
        if self.is_over and self.audio is not None:
            return self.audio.data[listener.heard_bytes : listener.heard_bytes + PIECE_BYTES]
        index = listener.position - self._dropped
        return self._parts[index] if index < len(self._parts) else b""

    def held_for(self, listener: Listener) -> Held:
        """Return what a listener needs to be held; nothing as long as that is counted in the room.

        Nor where it is no further behind than the fastest may be, for whom the making waits with one part
        more: who only listens as fast as it sounds isn't slow, and its end would free nothing.
        """
        if self.is_joinable:
            return Held(id(self), 0)
        if self.audio is not None:
            return Held(id(self.audio.data), len(self.audio.data))
        is_behind = self._dropped + len(self._parts) - listener.position > AHEAD + 1
        return Held(id(self), self._made_bytes - listener.heard_bytes if is_behind else 0)

    def raise_error(self) -> None:
        """Raise what it failed with, if it failed.

        Raises:
            Exception: The same for everybody.
        """
        if self._error is not None:
            raise self._error

    def moved(self) -> None:
        """Note that a listener has come further, or has left."""
        if not self.is_joinable:
            self._drop_heard()
        if not self._has_room.is_set() and self._may_go_on():
            self._has_room.set()

    async def _run(self, make: Callable[[SharedSpeech], Awaitable[None]]) -> None:
        self.is_being_made = True
        try:
            await make(self)
        except asyncio.CancelledError:
            self._error = ConnectionResetError("every listener has left")
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, each listener's handler answers for it)
            self._error = error

    def end(self) -> None:
        """Say that all of it is there, or that no more comes; the second time does nothing."""
        if not self.is_over:
            self.is_over = True
            self._let_go()
            if self.audio is not None:
                self._parts.clear()
            self._wake()

    def _take(self, data: bytes) -> None:
        self._parts.append(data)
        self._made_bytes += len(data)
        if self.is_joinable:
            self._room.held_bytes += len(data)
            self.is_too_long = self._made_bytes > self._room.answer_bytes
            is_small = self._made_bytes <= self._room.small_bytes
            is_crowded = self._room.held_bytes > self._room.limit_bytes and not is_small
            if self.is_too_long or is_crowded:
                self._let_go()
        self._wake()

    def _let_go(self) -> None:
        """Hold nothing for newcomers any more, and let none in."""
        if self.is_joinable:
            self.is_joinable = False
            self._room.held_bytes -= self._made_bytes
            self._close()

    def _drop_heard(self) -> None:
        least = min((each.position for each in self._listeners), default=self._dropped)
        while self._parts and self._dropped < least:
            self._parts.popleft()
            self._dropped += 1

    def _may_go_on(self) -> bool:
        positions = [each.position for each in self._listeners]
        if not positions or (self.is_joinable and any(each.waits_for_whole for each in self._listeners)):
            return True
        return self._dropped + len(self._parts) - max(positions) <= AHEAD

    def _wake(self) -> None:
        for listener in self._listeners:
            listener.wakeup.set()
