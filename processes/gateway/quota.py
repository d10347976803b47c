"""How many requests each client may make: a token bucket for each.

Owns: the buckets, bounded in number.
Refuses to know: who a client is, what a request costs, time (the caller says what time it is).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from appliance.errors import QuotaExceededError
from processes.gateway.return_book import spread

MAX_CLIENTS = 4_096
"""Buckets kept; the one not used for longest is forgotten, and full, first."""
MINUTE_S = 60.0


class Quota(NamedTuple):
    """How many requests a client may make."""

    requests_per_min: int
    """In the long run; 0 for any number."""
    burst: int
    """At once, at least 1."""


class ClientQuota:
    """A bucket for each client: full at first, refilled evenly, a request takes one."""

    def __init__(self, requests_per_min: int, burst: int) -> None:
        """Begin with full buckets.

        Args:
            requests_per_min: Requests that a client may make in the long run; 0 for any number.
            burst: Requests that it may make at once, at least 1.
        """
        self._usual = Quota(requests_per_min, burst)
        self.own_quota: Callable[[str], Quota | None] = lambda _client: None
        """Returns the quota of a client that has one of its own; its key may name one."""
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, client: str, now_s: float) -> None:
        """Take one request from a client's bucket.

        Args:
            client: Whose request it is.
            now_s: Monotonic time.

        Raises:
            QuotaExceededError: The bucket is empty; nothing was taken.
        """
        quota = self.own_quota(client) or self._usual
        if not quota.requests_per_min:
            return
        left = self._left(client, quota, now_s)
        is_allowed = left >= 1
        self._buckets.pop(client, None)
        self._buckets[client] = (left - 1 if is_allowed else left, now_s)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if not is_allowed:
            raise self._exceeded(quota, left)

    def check(self, client: str, now_s: float) -> None:
        """Refuse a client whose bucket is empty, and take nothing.

        Raises:
            QuotaExceededError: It is.
        """
        quota = self.own_quota(client) or self._usual
        left = self._left(client, quota, now_s) if quota.requests_per_min else 1.0
        if left < 1:
            raise self._exceeded(quota, left)

    def _left(self, client: str, quota: Quota, now_s: float) -> float:
        """Return the requests that a client may make now, also after its quota has changed."""
        left, at_s = self._buckets.get(client, (float(quota.burst), now_s))
        return min(float(quota.burst), left + (now_s - at_s) * quota.requests_per_min / MINUTE_S)

    @staticmethod
    def _exceeded(quota: Quota, left: float) -> QuotaExceededError:
        rate_hz = quota.requests_per_min / MINUTE_S
        allowed_after_s = (1 - left) / rate_hz
        return QuotaExceededError(
            limit=quota.burst,
            full_after_s=(quota.burst - left) / rate_hz,
            # Who came sooner would be refused once more, whatever it was told.
            retry_after_s=max(allowed_after_s, spread(allowed_after_s)),
        )
