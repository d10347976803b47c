"""Finished answers of `GET /v1/audio/speech`, kept in memory so that HEAD and Range can be served.

Owns: a byte-bounded cache, least recently used out first; one synthesis for equal requests at a time; how
much of the answers may lie in memory while they are made.
Refuses to know: HTTP, what a key means, how audio is made.

    making --whole, within the bound--> kept
    making --past the bound--> unfinished: one caller takes it and streams it, the others make their own
    making --every caller has left--> cancelled
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

SMALL_BYTES = 1_048_576
"""An answer up to this size is made whole whatever else is being made: two minutes of mp3."""
MAX_LONG_KEYS = 1_024
"""Keys remembered as too long to be kept; the one not used for longest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Audio:
    """A finished answer."""

    data: bytes
    media_type: str
    etag: str
    """Strong: names these very bytes."""


class Unfinished(Protocol):
    """An answer that outgrew its room while it was being made; it holds what there is, and the rest comes."""

    @property
    def is_too_long(self) -> bool:
        """Whether it can't be kept, however much room the others leave."""

    async def close(self) -> None:
        """Let go of it, as nobody wants it."""


def finished_audio(data: bytes, media_type: str) -> Audio:
    """Name finished bytes by their hash. Blocks while it is computed: 20 ms for 32 MiB."""
    return Audio(data, media_type, f'"{hashlib.sha256(data).hexdigest()[:32]}"')


class Room:
    """What one answer may take up in memory until it is finished."""

    def __init__(self, kept: KeptAudio) -> None:
        self._kept = kept
        self.held_bytes = 0
        """Bytes that it holds now."""

    @property
    def has_outgrown_all(self) -> bool:
        """Whether it holds more than the cache could ever keep."""
        return self.held_bytes > self._kept.max_bytes

    def take(self, count: int) -> bool:
        """Take so many bytes more; return whether that is within the bounds.

        One answer may hold as much as the cache keeps, and all that are being made together as much again;
        small ones get their room always.
        """
        self.held_bytes += count
        self._kept.making_bytes += count
        is_small = self.held_bytes <= SMALL_BYTES
        return not self.has_outgrown_all and (is_small or self._kept.making_bytes <= self._kept.max_bytes)

    def give_back(self, count: int) -> None:
        """Give room back, of bytes that have been sent."""
        self.held_bytes -= count
        self._kept.making_bytes -= count


class _Making:
    """One synthesis, and who waits for it."""

    def __init__(self, task: asyncio.Task[Audio | Unfinished]) -> None:
        self.task = task
        self.callers = 0
        self._is_taken = False

    def take(self) -> Unfinished | None:
        """Return what there is, once; it is the taker's to close."""
        made = self.task.result()
        if self._is_taken or isinstance(made, Audio):
            return None
        self._is_taken = True
        return made

    async def end(self) -> None:
        """Stop it, or let go of what nobody has taken; called when the last caller has left."""
        if not self.task.done():
            self.task.cancel()
        elif not self.task.cancelled() and self.task.exception() is None:
            unfinished = self.take()
            if unfinished is not None:
                await unfinished.close()


class KeptAudio:
    """The cache."""

    def __init__(self, max_bytes: int) -> None:
        """Make an empty cache.

        Args:
            max_bytes: Bytes of audio kept in all; 0 keeps nothing.
        """
        self.max_bytes = max_bytes
        self.making_bytes = 0
        """Bytes of the answers that are being made, or have outgrown their room and aren't sent yet."""
        self._kept: OrderedDict[str, Audio] = OrderedDict()
        self._kept_bytes = 0
        self._makings: dict[str, _Making] = {}
        self._long_keys: OrderedDict[str, None] = OrderedDict()

    @contextmanager
    def room(self) -> Iterator[Room]:
        """Give room for one answer that is being made; taken back with the block."""
        room = Room(self)
        try:
            yield room
        finally:
            room.give_back(room.held_bytes)

    def is_known_as_long(self, key: str) -> bool:
        """Return whether the audio of a key has turned out too long to be kept."""
        if key not in self._long_keys:
            return False
        self._long_keys.move_to_end(key)
        return True

    async def get(
        self, key: str, make: Callable[[], Awaitable[Audio | Unfinished]], *, takes_unfinished: bool = True
    ) -> Audio | Unfinished | None:
        """Return the audio of a key, making it if it isn't kept; equal callers wait for the same making.

        A caller that is cancelled leaves the others alone; with the last one the making is cancelled.

        Args:
            key: Hash of everything that decides the bytes.
            make: Makes the audio; gives up once its `room` says so.
            takes_unfinished: Whether this caller can go on with what `make` gave up on.

        Returns:
            Finished audio; or what has outgrown its room, for one caller, who closes it; or None for the
            others then, who make their own without keeping it.

        Raises:
            ApplianceError: What `make` raises.
        """
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        making = self._makings.get(key)
        if making is None:
            making = self._makings[key] = _Making(asyncio.ensure_future(self._make(key, make)))
        making.callers += 1
        try:
            made = await asyncio.shield(making.task)
            if isinstance(made, Audio):
                return made
            return making.take() if takes_unfinished else None
        finally:
            making.callers -= 1
            if not making.callers:
                if self._makings.get(key) is making:
                    del self._makings[key]
                await making.end()

    async def _make(self, key: str, make: Callable[[], Awaitable[Audio | Unfinished]]) -> Audio | Unfinished:
        made = await make()
        if isinstance(made, Audio):
            self._keep(key, made)
        elif made.is_too_long:
            self._long_keys[key] = None
            if len(self._long_keys) > MAX_LONG_KEYS:
                self._long_keys.popitem(last=False)
        return made

    def _keep(self, key: str, audio: Audio) -> None:
        if len(audio.data) <= self.max_bytes:
            self._kept[key] = audio
            self._kept_bytes += len(audio.data)
            while self._kept_bytes > self.max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= len(oldest.data)
