"""When refused clients are told to come back: one after the other, not all at once.

Owns: how far ahead the capacity of one engine is promised to clients that were refused, and to whom.
Refuses to know: whether they come; time (the caller says what time it is).

A client has one promise: who asks again before its time is told the same time again, so that the impatient
don't push everybody else back.
"""

from __future__ import annotations

import random
from collections import OrderedDict

MOST_AHEAD_S = 10.0
"""Capacity is promised this far ahead at most: many who are refused never come back, and who is told to wait
longer than the crowd lasts was told wrong."""
MAX_CLIENTS = 1024
"""Clients whose promise is remembered; the oldest is forgotten first."""
RETRY_SPREAD = 0.2
"""Retry-After is spread by this share either way, so that refused clients don't come back together."""
DRAINED_S = 5.0
"""Who is refused because the appliance drains is asked to come back after about this long."""


def spread(seconds: float) -> float:
    """Return seconds that are a little different for everybody who is told to wait this long."""
    return seconds * random.uniform(1 - RETRY_SPREAD, 1 + RETRY_SPREAD)  # noqa: S311 (no secret)


class ReturnBook:
    """Promises of capacity, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._promised_until_s = 0.0
        self._begin_s: OrderedDict[str, float] = OrderedDict()

    def promise(self, client: str, now_s: float, free_after_s: float, work_s: float) -> float:
        """Return the seconds after which a refused client should come back.

        Args:
            client: Who was refused.
            now_s: Monotonic time.
            free_after_s: Seconds until capacity is free if nobody else comes.
            work_s: Seconds for which its request will take that capacity.
        """
        free_at_s = now_s + free_after_s
        begin_s = self._begin_s.get(client, now_s)
        if begin_s <= now_s or begin_s < free_at_s:  # it has none, or one that can't be kept
            begin_s = max(free_at_s, self._promised_until_s)
            self._promised_until_s = min(begin_s + work_s, now_s + MOST_AHEAD_S)
            self._begin_s.pop(client, None)
            self._begin_s[client] = begin_s
            if len(self._begin_s) > MAX_CLIENTS:
                self._begin_s.popitem(last=False)
        return min(begin_s - now_s, max(free_after_s, MOST_AHEAD_S))
