"""How many requests each client may make: a token bucket for each.

Owns: the buckets, bounded in number.
Refuses to know: who a client is, what a request costs, time (the caller says what time it is).
"""

from __future__ import annotations

from collections import OrderedDict

from appliance.errors import QuotaExceededError
from processes.gateway.return_book import spread

MAX_CLIENTS = 4_096
"""Buckets kept; the one not used for longest is forgotten, and full, first."""
MINUTE_S = 60.0


class ClientQuota:
    """A bucket for each client: full at first, refilled evenly, a request takes one."""

    def __init__(self, requests_per_min: int, burst: int) -> None:
        """Begin with full buckets.

        Args:
            requests_per_min: Requests that a client may make in the long run; 0 for any number.
            burst: Requests that it may make at once, at least 1.
        """
        self._rate_hz = requests_per_min / MINUTE_S
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, client: str, now_s: float) -> None:
        """Take one request from a client's bucket.

        Args:
            client: Whose request it is.
            now_s: Monotonic time.

        Raises:
            QuotaExceededError: The bucket is empty; nothing was taken.
        """
        if not self._rate_hz:
            return
        left, at_s = self._buckets.pop(client, (float(self._burst), now_s))
        left = min(float(self._burst), left + (now_s - at_s) * self._rate_hz)
        is_allowed = left >= 1
        self._buckets[client] = (left - 1 if is_allowed else left, now_s)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if not is_allowed:
            allowed_after_s = (1 - left) / self._rate_hz
            raise QuotaExceededError(
                limit=self._burst,
                full_after_s=(self._burst - left) / self._rate_hz,
                # Who came sooner would be refused once more, whatever it was told.
                retry_after_s=max(allowed_after_s, spread(allowed_after_s)),
            )
