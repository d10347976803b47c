"""Telling the network by mDNS where the Wyoming server is, so that Home Assistant finds it by itself.

Owns: the service's name, which must stay the same, its addresses, its goodbye.
Refuses to know: what is served there.

zeroconf is loaded only where this is wanted. Source: clients.md §5; RFC 6763, section 4.1.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import socket
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

SERVICE = "_wyoming._tcp.local."
USUAL_PORT = 10_200
MAX_HOST_CHARS = 30
"""Of a name of at most 63 bytes. Source: RFC 1035, section 2.3.4."""
MDNS_ADDRESS = ("224.0.0.251", 5353)


def service_name(host_name: str, port: int) -> str:
    """Return what the server is called, by which Home Assistant knows it again.

    Args:
        host_name: This machine's; what stands behind a dot is left out.
        port: Of the server; in the name where it isn't the usual one, as two may be on a machine.
    """
    name = f"TTS appliance on {host_name.partition('.')[0][:MAX_HOST_CHARS] or 'this machine'}"
    return name if port == USUAL_PORT else f"{name} {port}"


async def announce(host: str, port: int) -> None:
    """Announce the server until this is cancelled, which says goodbye; a failure is only logged.

    Args:
        host: What the server listens on.
        port: Likewise.
    """
    library = await asyncio.to_thread(importlib.import_module, "zeroconf.asyncio")
    announcer: AsyncZeroconf | None = None
    try:
        announcer = library.AsyncZeroconf()
        info: AsyncServiceInfo = library.AsyncServiceInfo(
            SERVICE,
            f"{service_name(socket.gethostname(), port)}.{SERVICE}",
            addresses=[ipaddress.ip_address(_reachable(host)).packed],
            port=port,
        )
        await announcer.async_register_service(info)
        logger.info("wyoming_announced", port=port)
    except Exception as error:  # noqa: BLE001 (a network without multicast, a name that is taken, …)
        logger.warning("wyoming_not_announced", error=type(error).__name__)
    try:
        await asyncio.Event().wait()
    finally:
        if announcer is not None:
            await announcer.async_unregister_all_services()
            await announcer.async_close()


def _reachable(host: str) -> str:
    """Return the address that others reach a listening address by; sends nothing.

    Raises:
        OSError: This machine has no way to the network.
    """
    if not ipaddress.ip_address(host).is_unspecified:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(MDNS_ADDRESS)
        address: str = probe.getsockname()[0]
        return address
