"""Finished answers of `GET /v1/audio/speech`, kept in memory so that HEAD and Range can be served.

Owns: a byte-bounded cache, least recently used out first, and one synthesis for equal requests at a time.
Refuses to know: HTTP, what a key means.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Audio:
    """A finished answer."""

    data: bytes
    media_type: str
    etag: str
    """Strong: names these very bytes."""


def finished_audio(data: bytes, media_type: str) -> Audio:
    """Name finished bytes by their hash."""
    return Audio(data, media_type, f'"{hashlib.sha256(data).hexdigest()[:32]}"')


class KeptAudio:
    """The cache."""

    def __init__(self, max_bytes: int) -> None:
        """Make an empty cache.

        Args:
            max_bytes: Bytes of audio kept in all; 0 keeps nothing.
        """
        self.max_bytes = max_bytes
        self._kept: OrderedDict[str, Audio] = OrderedDict()
        self._kept_bytes = 0
        self._tasks: dict[str, asyncio.Task[Audio]] = {}
        self._waiting: Counter[str] = Counter()

    async def get(self, key: str, make: Callable[[], Awaitable[Audio]]) -> Audio:
        """Return the audio of a key, making it if it isn't kept; equal callers wait for the same making.

        A caller that is cancelled leaves the others alone; with the last one the making is cancelled.

        Args:
            key: Hash of everything that decides the bytes.
            make: Makes the audio.

        Raises:
            ApplianceError: What `make` raises.
        """
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.ensure_future(self._make(key, make))
            self._tasks[key] = task
        self._waiting[key] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
                self._tasks.pop(key, None)
                task.cancel()

    async def _make(self, key: str, make: Callable[[], Awaitable[Audio]]) -> Audio:
        audio = await make()
        if len(audio.data) <= self.max_bytes:
            self._kept[key] = audio
            self._kept_bytes += len(audio.data)
            while self._kept_bytes > self.max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= len(oldest.data)
        return audio
