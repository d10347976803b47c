"""Run grants: cores are scheduled, not left to the kernel.

Owns: as many grants as the CPU quota has cores; who holds one, and who gets the next.
Refuses to know: what an engine computes with it.

The next grant goes to the earliest deadline: first audio = arrival + target, a sounding stream = the moment
its listener runs dry or its connection has been quiet for long, jobs last. Source: DESIGN's window
scheduling; in simulation four listeners of a neural voice on one CPU get p90 first audio 347 ms, against
458 ms when processes share it.

An engine on an accelerator needs no core: its grants come at once and leave those of the cores to others.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection


class GrantLedger:
    """Hands run grants to workers, at most one each."""

    def __init__(self, cores: int, give: Callable[[str], None]) -> None:
        """Take the number of grants and the way to hand one over.

        Args:
            cores: How many engines may compute at a time, at least 1.
            give: Called with the holder's name when a grant becomes its own.
        """
        self._cores = cores
        self._give = give
        self._holders: set[str] = set()
        self._elsewhere: set[str] = set()
        """Those who compute, but on no core."""
        self._waiting: list[tuple[float, int, str]] = []
        self._order = itertools.count()

    def holds(self, name: str) -> bool:
        """Return whether a worker may compute now."""
        return name in self._holders or name in self._elsewhere

    def is_left(self, lost: Collection[str]) -> bool:
        """Return whether anybody else could compute on a core, were some never to give their grants back."""
        return len(self._holders.intersection(lost)) < self._cores

    def ask(self, name: str, deadline_s: float, *, needs_core: bool = True) -> None:
        """Ask for a grant; it is given at once or when one comes back.

        Args:
            name: Who asks; must hold none.
            deadline_s: Monotonic time by which its audio is needed.
            needs_core: Whether it computes on the CPU; if not, it has its grant at once.
        """
        if not needs_core:
            self._elsewhere.add(name)
            self._give(name)
            return
        heapq.heappush(self._waiting, (deadline_s, next(self._order), name))
        self._hand_out()

    def renew(self, name: str, deadline_s: float, *, needs_core: bool = True) -> None:
        """Give a grant back and ask for the next one, in one step.

        Giving back alone would hand it to whoever waits, however much later that one needs its audio.

        Args:
            name: Who holds one.
            deadline_s: Monotonic time by which its next audio is needed.
            needs_core: As for `ask`.
        """
        self._holders.discard(name)
        self.ask(name, deadline_s, needs_core=needs_core)

    def hurry(self, name: str, deadline_s: float) -> None:
        """Let one that waits for a grant have it by another time; one that doesn't wait is left alone.

        Args:
            name: Who waits.
            deadline_s: Monotonic time by which its audio is needed now.
        """
        self._waiting = [
            (deadline_s if waiting == name else before_s, order, waiting)
            for before_s, order, waiting in self._waiting
        ]
        heapq.heapify(self._waiting)

    def give_back(self, name: str) -> None:
        """Take a worker's grant or its place in the line back, if it has either."""
        self._holders.discard(name)
        self._elsewhere.discard(name)
        if any(waiting == name for _, _, waiting in self._waiting):
            self._waiting = [entry for entry in self._waiting if entry[2] != name]
            heapq.heapify(self._waiting)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and len(self._holders) < self._cores:
            _, _, name = heapq.heappop(self._waiting)
            self._holders.add(name)
            self._give(name)
