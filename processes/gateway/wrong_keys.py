"""How many wrong keys an address may send.

Owns: a bucket of tries for each address, or each network of an IPv6 subscriber, bounded in number.
Refuses to know: what a right key is.

While an address has no tries left, a key that a person chose is refused even if it is right: else who guesses
would see which one is. A created key passes, as nobody can guess it, so that one client with a wrong key
doesn't lock out the others behind the same address.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable

from appliance.errors import QuotaExceededError
from appliance.key_errors import TooManyWrongKeysError
from processes.gateway.quota import ClientQuota

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
NETWORK_BITS = 64
"""Of an IPv6 address: what one subscriber has. Source: RFC 6177, section 2."""


class WrongKeys:
    """Counts wrong keys by address."""

    def __init__(self, per_min: int) -> None:
        """Begin with none.

        Args:
            per_min: Wrong keys that an address may send at once, and again within a minute.
        """
        self._tries = ClientQuota(per_min, per_min)

    def note(self, address: Address | None) -> None:
        """Count one; None stands for all addresses that can't be told.

        Raises:
            TooManyWrongKeysError: There were too many already.
        """
        self._tell(self._tries.spend, address)

    def check(self, address: Address | None) -> None:
        """Refuse an address that has sent too many, and count none.

        Raises:
            TooManyWrongKeysError: It has.
        """
        self._tell(self._tries.check, address)

    @staticmethod
    def _tell(ask: Callable[[str, float], None], address: Address | None) -> None:
        try:
            ask(_counted_as(address), time.monotonic())
        except QuotaExceededError as error:
            raise TooManyWrongKeysError(retry_after_s=error.retry_after_s) from None


def _counted_as(address: Address | None) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, NETWORK_BITS), strict=False))
    return str(address)
