"""Audio that answers hold until their clients have taken it, beyond what is kept anyway.

Owns: how much that is, how much it may be, whose answer is ended where it is more.
Refuses to know: HTTP, how an answer is sent (`whole_answer`, `sharing`), what is kept (`audio_memory`).

A client that takes a little now and then is never too slow by itself. Many of them would hold more than there
is memory for, each another answer; so the one who takes its own most slowly has to go, then the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from loguru import logger

from appliance.metrics import GatewayMetrics
from processes.gateway.audio_memory import AudioMemory

REASON = "memory"
"""As connections are counted that are ended here."""
YOUNG_S = 1.0
"""An answer younger than this isn't slow yet: what the kernel has taken of it says nothing of its client."""


class Held(NamedTuple):
    """What an answer holds."""

    name: int
    """The same for all who hold the same: the `id` of what they hold."""
    size_bytes: int
    """Its part of that; 0 where it holds nobody's memory but what is counted elsewhere."""


@dataclass(eq=False, slots=True)
class Holder:
    """An answer that its client hasn't taken yet."""

    held: Callable[[], Held]
    """What it holds now."""
    cut: Callable[[], None]
    """Ends it; called once at most, and doesn't block."""
    peer: str
    begun_at_s: float
    """Monotonic."""
    taken_bytes: int = 0
    """What has been written of it."""

    def rank(self, now_s: float) -> tuple[bool, float]:
        """Return its place among those who have to go: the slowest first, the young last, by their age.

        Args:
            now_s: Monotonic time.
        """
        age_s = now_s - self.begun_at_s
        return (True, self.begun_at_s) if age_s < YOUNG_S else (False, self.taken_bytes / age_s)


class Unsent:
    """All that is held for clients. All state is the event loop's."""

    def __init__(self, limit_bytes: int, memory: AudioMemory, metrics: GatewayMetrics) -> None:
        """Begin with nothing.

        Args:
            limit_bytes: What answers may hold together, beyond what is kept; a single one may hold more.
            memory: What is kept, and costs nothing more for being sent.
            metrics: Where ended connections are counted.
        """
        self.limit_bytes = limit_bytes
        self._memory = memory
        self._metrics = metrics
        self._holders: set[Holder] = set()

    @property
    def bytes(self) -> int:
        """What is held now, beyond what is kept."""
        return _total(self._beyond())

    @contextmanager
    def holding(self, held: Callable[[], Held], cut: Callable[[], None], peer: str) -> Iterator[Holder]:
        """Count what an answer holds while the block sends it; others, or it itself, may be ended for that.

        Args:
            held: Says what it holds.
            cut: Ends it.
            peer: Its client's address, for the log.

        Yields:
            Itself, to be told what has been taken.
        """
        holder = Holder(held, cut, peer, time.monotonic())
        self._holders.add(holder)
        try:
            self.look()
            yield holder
        finally:
            self._holders.discard(holder)

    def look(self) -> None:
        """End the slowest answers until no more is held than may be; to be called whenever more may be held.

        What only one answer holds is left to it, unless somebody else hears the same faster.
        """
        if _total(self._all()) <= self.limit_bytes:  # whatever of it is kept
            return
        beyond = self._beyond()
        while _total(beyond) > self.limit_bytes:
            now_s = time.monotonic()
            slowest = min(beyond, key=lambda holder: holder.rank(now_s))
            if len(beyond) == 1 and not self._is_outrun(slowest):
                return
            del beyond[slowest]
            self._end(slowest)

    def _is_outrun(self, holder: Holder) -> bool:
        """Return whether anybody else hears what an answer holds."""
        name = holder.held().name
        return sum(held.name == name for held in self._all().values()) > 1

    def _end(self, holder: Holder) -> None:
        self._holders.discard(holder)
        holder.cut()
        self._metrics.http_connections_closed.labels(REASON).inc()
        logger.warning("connections_closed", reason=REASON, count=1, peer=holder.peer)

    def _all(self) -> dict[Holder, Held]:
        return {holder: holder.held() for holder in self._holders}

    def _beyond(self) -> dict[Holder, Held]:
        """Return who holds anything that isn't kept."""
        kept = self._memory.ids()
        return {
            holder: held for holder, held in self._all().items() if held.size_bytes and held.name not in kept
        }


def _total(held: dict[Holder, Held]) -> int:
    """Return the bytes of all, where what several hold counts once: as much as the most that one needs."""
    most: dict[int, int] = {}
    for name, size_bytes in held.values():
        most[name] = max(size_bytes, most.get(name, 0))
    return sum(most.values())
