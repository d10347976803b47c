"""What the settings of `[wyoming]` do: keys, the switch, mDNS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest
from wyoming.info import Describe
from zeroconf import ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

from processes.gateway.wyoming_server.mdns import MDNS_ADDRESS, SERVICE, service_name
from tests.parts.appliance import Appliance, running_appliance
from tests.parts.wyoming_client import TEXT, connected, events_to, heard_s, plain


async def test_keys_when_in_force_then_described_and_not_spoken_to(run_dir: Path) -> None:
    def begin(**settings: Any) -> Appliance:
        return owned.enter_context(running_appliance(run_dir, HTTP_REQUIRE_KEY="true", **settings))

    with contextlib.ExitStack() as owned:
        closed = await asyncio.to_thread(begin)
        async with connected(closed) as client:
            await client.write_event(Describe().event())
            assert [event.type for event in await events_to(client, "info")] == ["info"]
            await client.write_event(plain(TEXT))
            events = await events_to(client, "never")
            assert [(each.type, each.data["code"]) for each in events] == [("error", "invalid_api_key")]
        await asyncio.to_thread(owned.close)
        opened = await asyncio.to_thread(
            begin, WYOMING_KEYLESS_NETWORKS="127.0.0.0/8", VOICES_DEFAULT="tone-low"
        )
        async with connected(opened) as client:
            await client.write_event(plain(TEXT))
            assert heard_s(await events_to(client, "audio-stop")) > 0.5
        await asyncio.to_thread(owned.close)


def has_multicast() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(MDNS_ADDRESS) == 0


@pytest.mark.skipif(not has_multicast(), reason="no interface has multicast")
async def test_server_when_announced_then_mdns_finds_it_and_hears_of_its_end(run_dir: Path) -> None:
    heard: asyncio.Queue[tuple[str, ServiceStateChange]] = asyncio.Queue()

    def on_change(name: str, state_change: ServiceStateChange, **_: Any) -> None:
        heard.put_nowait((name, state_change))

    with contextlib.ExitStack() as owned:
        settings = {"WYOMING_ANNOUNCE": "true", "WYOMING_HOST": "0.0.0.0"}
        announced = await asyncio.to_thread(
            lambda: owned.enter_context(running_appliance(run_dir, **settings))
        )
        wanted = service_name(socket.gethostname(), announced.wyoming_port)
        mdns = AsyncZeroconf()
        browser = AsyncServiceBrowser(mdns.zeroconf, SERVICE, handlers=[on_change])
        while (found := await heard.get()) != (f"{wanted}.{SERVICE}", ServiceStateChange.Added):
            pass
        info = await mdns.async_get_service_info(SERVICE, found[0])
        assert info is not None
        assert info.port == announced.wyoming_port
        await asyncio.to_thread(announced.stop)
        while await heard.get() != (found[0], ServiceStateChange.Removed):
            pass
        await browser.async_cancel()
        await mdns.async_close()
        await asyncio.to_thread(owned.close)


async def test_server_when_switched_off_then_nobody_listens(run_dir: Path) -> None:
    with contextlib.ExitStack() as owned:
        silent = await asyncio.to_thread(
            lambda: owned.enter_context(running_appliance(run_dir, WYOMING_ENABLED="false"))
        )
        assert silent.wyoming_port == 0
        await asyncio.to_thread(owned.close)
