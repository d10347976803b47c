"""When refused clients are told to come back: one after the other, not all at once.

Owns: how far ahead the capacity is promised to clients that were refused.
Refuses to know: who they are, and whether they come; time (the caller says what time it is).
"""

from __future__ import annotations

MOST_AHEAD_S = 10.0
"""Capacity is promised this far ahead at most: many who are refused never come back, and who is told to wait
longer than the crowd lasts was told wrong."""


class ReturnBook:
    """Promises of capacity, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._promised_until_s = 0.0

    def promise(self, now_s: float, free_after_s: float, work_s: float) -> float:
        """Return the seconds after which a refused client should come back.

        Args:
            now_s: Monotonic time.
            free_after_s: Seconds until capacity is free if nobody else comes.
            work_s: Seconds for which its request will take that capacity.
        """
        begin_s = max(now_s + free_after_s, self._promised_until_s)
        self._promised_until_s = min(begin_s + work_s, now_s + MOST_AHEAD_S)
        return min(begin_s - now_s, max(free_after_s, MOST_AHEAD_S))
