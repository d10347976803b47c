"""Whether somebody has set the wall clock.

Owns: comparing it with the clock that runs since the machine's boot, and for how long a step is told.
Refuses to know: who sets it, and what depends on it.

A time service that steers a clock steers both alike, and the boot clock goes on while the machine sleeps:
only a step moves them apart. The step is told for an hour in a gauge, since a server that scrapes on the same
machine steps too and loses what it knew of the time before.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

LEAST_S = 1.0
"""Seconds that the clocks move apart at least where one was set."""
TOLD_S = 3600.0
"""Seconds for which a step is told."""
MOST_BETWEEN_S = 0.1
"""Seconds that may pass between two readings that belong together."""
MAX_STEPS = 64
"""Steps that are remembered; a clock that is set more often has lost older ones."""


def boot_s() -> float:
    """Return the seconds since the machine's boot, with those that it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockWatch:
    """Compares the two clocks whenever it is asked to."""

    def __init__(self, wall: Callable[[], float] = time.time, boot: Callable[[], float] = boot_s) -> None:
        """Read both clocks for the first time.

        Args:
            wall: Reads the wall clock, in seconds.
            boot: Reads the clock that nobody sets, in seconds.
        """
        self._wall = wall
        self._boot = boot
        self._apart_s: float | None = None
        """Wall clock minus boot clock."""
        self._steps: deque[tuple[float, float]] = deque(maxlen=MAX_STEPS)
        """Boot clock and size of each, the oldest first."""
        self.look()

    def look(self) -> float:
        """Return the largest step of the last hour, in seconds: below 0 when set back, 0 without one."""
        before_s, wall_s, now_s = self._boot(), self._wall(), self._boot()
        if now_s - before_s <= MOST_BETWEEN_S:
            self._compare(wall_s - now_s, now_s)
        while self._steps and now_s - self._steps[0][0] >= TOLD_S:
            self._steps.popleft()
        return max((size_s for _at_s, size_s in self._steps), key=abs, default=0.0)

    def _compare(self, apart_s: float, now_s: float) -> None:
        step_s = 0.0 if self._apart_s is None else apart_s - self._apart_s
        if abs(step_s) >= LEAST_S:
            self._steps.append((now_s, step_s))
        if self._apart_s is None or abs(step_s) >= LEAST_S:
            self._apart_s = apart_s
