"""Who is calling: the caller's own address, though reverse proxies may stand between.

Owns: which peers are reverse proxies, reading `X-Forwarded-For`, what headers say that isn't believed.
Refuses to know: what an address may do (`access`).

`X-Forwarded-For` counts only from a reverse proxy that the settings name, and is walked from the right up to
the first address that isn't one. `Forwarded`, `X-Real-IP` and `X-Forwarded-Host` never count: a proxy that
writes the one hands the others on as its client sent them. Source: OWASP ASVS 5.0, 4.1.3 and 8.4.2;
docs/decisions/0038.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable

from multidict import CIMultiDictProxy

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FORWARDED_FOR = "X-Forwarded-For"
FORWARDING_HEADERS = (FORWARDED_FOR, "Forwarded", "X-Real-IP")
"""By which a proxy, or who would like to pass for one, says for whom a request is."""
PROXY_SOCKET_PEER = "proxy_socket"
"""Stands for the peer on `http.proxy_socket`, which has no address and is a reverse proxy."""
MAX_ADDRESSES = 1_024
"""Remembered as they were written, as each request has its own read some three times."""
MAX_FORWARDED_CHARS = 2_048
"""Read of a header, its end."""
FORWARDED_NODE = re.compile(r"(?:^|[;,])\s*for=(\"[^\"]*\"|[^;,]*)", re.IGNORECASE)
"""Source: RFC 7239, section 4."""


class CallerReader:
    """Tells callers' addresses."""

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        """Take the networks whose `X-Forwarded-For` is believed.

        Args:
            trusted_proxies: As in `http.trusted_proxies`.
        """
        self._proxies = [ipaddress.ip_network(each) for each in trusted_proxies]

    def is_proxy(self, peer: str) -> bool:
        """Return whether a peer is a reverse proxy that the settings name.

        Args:
            peer: Its address, or `PROXY_SOCKET_PEER`.
        """
        return peer == PROXY_SOCKET_PEER or self._is_trusted(peer)

    def address(self, peer: str, headers: CIMultiDictProxy[str]) -> Address | None:
        """Return the address of who asks; None where it can't be told.

        Where every hop is a proxy of ours, the farthest has asked by itself. A proxy that says nothing stands
        for anybody, so its own address is nobody's.

        Args:
            peer: The address at the other end of the connection, or `PROXY_SOCKET_PEER`.
            headers: The request's.
        """
        if not self.is_proxy(peer):
            return parse_address(peer)
        address = None
        for hop in reversed(_hops(headers)):
            address = parse_address(hop)
            if address is None or not is_in(address, self._proxies):
                break
        return address

    def is_undeclared_proxy(self, peer: str, headers: CIMultiDictProxy[str]) -> bool:
        """Return whether a peer says that it asks for somebody else, without being a proxy of ours.

        Args:
            peer: As for `address`.
            headers: The request's.
        """
        return not self.is_proxy(peer) and any(name in headers for name in FORWARDING_HEADERS)

    def claims(self, peer: str, headers: CIMultiDictProxy[str]) -> list[Address]:
        """Return every address that a request says to come from without being believed.

        Args:
            peer: As for `address`.
            headers: The request's.
        """
        hops = _hops(headers)
        others = FORWARDED_NODE.findall(_end_of(headers.getall("Forwarded", [])))
        others += headers.getall("X-Real-IP", [])
        if self.is_proxy(peer):  # what proxies of ours say of each other is true
            while hops and self._is_trusted(hops[-1]):
                hops.pop()
            others = [each for each in others if not self._is_trusted(each)]
        return [address for each in [*hops, *others] if (address := parse_address(each)) is not None]

    def _is_trusted(self, text: str) -> bool:
        address = parse_address(text)
        return address is not None and is_in(address, self._proxies)


@functools.lru_cache(MAX_ADDRESSES)
def parse_address(text: str) -> Address | None:
    """Read an address as it stands in a header: with brackets, port or zone; mapped IPv4 becomes IPv4.

    Args:
        text: Whatever was sent; None is returned for what is no address.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_in(address: Address, networks: Iterable[Network]) -> bool:
    """Return whether one of the networks holds an address."""
    return any(address in network for network in networks)


def _hops(headers: CIMultiDictProxy[str]) -> list[str]:
    """Return the hops of all lines of `X-Forwarded-For`, as one list, the farthest first."""
    return _end_of(headers.getall(FORWARDED_FOR, [])).split(",")


def _end_of(lines: Iterable[str]) -> str:
    return ",".join(lines)[-MAX_FORWARDED_CHARS:]
