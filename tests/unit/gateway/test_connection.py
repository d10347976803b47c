"""What the gateway's connection needs of aiohttp's own, and a look at one that fails."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web, web_protocol

from appliance.metrics import GatewayMetrics
from appliance.settings import Settings
from processes.gateway import connection as module
from processes.gateway.access import AccessRules
from processes.gateway.connection import BODY_BYTES_PER_S, BOUGHT_S, ClientConnection, Stage
from processes.gateway.connection_watch import KEPT_CONNECTIONS, LOOK_S, ConnectionWatch

PRIVATE = {
    "_buffer_paused",
    "_current_request",
    "_lingering_time",
    "_messages",
    "_reading_paused",
    "_request_count",
    "_request_in_progress",
    "_waiter",
}
"""What aiohttp 3.14.5 has and promises nobody; the range in setup.cfg rests on it."""

SMALL_BUFFER_BYTES = 4096
LONG = "more than a client with a small buffer has room for " * 1000


def test_connection_when_it_uses_private_attributes_then_they_are_named_here_and_exist() -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    own = {*ClientConnection.__slots__, *vars(ClientConnection)}
    assert {name for name in used - own if name.startswith("_")} == PRIVATE
    theirs = {name for kind in web.RequestHandler.__mro__ for name in getattr(kind, "__slots__", ())}
    assert theirs >= PRIVATE
    assert list(inspect.signature(web_protocol._ErrInfo).parameters) == ["status", "exc", "message"]


class Broken(ClientConnection):
    """As if aiohttp had lost one of its attributes."""

    __slots__ = ()

    @property
    def stage(self) -> Stage:
        raise AttributeError


async def live(request: web.BaseRequest) -> web.StreamResponse:
    await request.read()
    return web.Response(text=LONG if request.path == "/long" else "alive")


@contextlib.asynccontextmanager
async def connected(
    made: list[ClientConnection], kind: type[ClientConnection], metrics: GatewayMetrics
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client, and at the end of `made` the connection that it has here."""
    loop, server = asyncio.get_running_loop(), web.Server(live)

    def protocol() -> ClientConnection:
        made.append(kind(server, metrics, loop, access_log=None))
        return made[-1]

    listener = await loop.create_server(protocol, "127.0.0.1", 0)
    client = socket.socket()
    client.setblocking(False)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    await loop.sock_connect(client, listener.sockets[0].getsockname())
    reader, writer = await asyncio.open_connection(sock=client, limit=SMALL_BUFFER_BYTES)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        listener.close()
        await server.shutdown()
        await listener.wait_closed()


@pytest.fixture
def metrics() -> GatewayMetrics:
    return GatewayMetrics()


@pytest.fixture
def watch(metrics: GatewayMetrics) -> ConnectionWatch:
    settings = Settings()
    return ConnectionWatch(settings.http, AccessRules(settings, metrics), metrics)


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return await reader.readuntil(b"alive")


async def test_look_when_it_fails_on_one_connection_then_only_that_one_ends(
    metrics: GatewayMetrics, watch: ConnectionWatch
) -> None:
    made: list[ClientConnection] = []
    async with (
        connected(made, Broken, metrics) as (broken_reader, broken_writer),
        connected(made, ClientConnection, metrics) as (reader, writer),
    ):
        assert await answered(broken_reader, broken_writer)
        assert await answered(reader, writer)
        watch.look(made, time.monotonic(), None)
        with pytest.raises(ConnectionResetError):
            await broken_reader.read()
        assert await answered(reader, writer)


@pytest.mark.parametrize(("short_by", "ended"), [(0, 0), (2, 2), (100, 3)])
async def test_look_when_descriptors_are_short_then_who_waits_longest_goes_and_32_stay(
    metrics: GatewayMetrics, watch: ConnectionWatch, short_by: int, ended: int
) -> None:
    made: list[ClientConnection] = []
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(KEPT_CONNECTIONS + 3):
            reader, writer = await stack.enter_async_context(connected(made, ClientConnection, metrics))
            await answered(reader, writer)
            writer.write(b"G")
        while any(each.stage is not Stage.HEAD for each in made):  # noqa: ASYNC110 (nobody says so)
            await asyncio.sleep(0)
        now_s = time.monotonic()
        for number, each in enumerate(made):
            each.since_s = now_s - (number * 8 % len(made)) / 100  # not in the order in which they came
        longest = sorted(made, key=lambda each: each.since_s)[:ended]
        watch.look(made, now_s, short_by)
        while sum(each.transport is None for each in made) < ended:  # noqa: ASYNC110 (nobody says so)
            await asyncio.sleep(0)
        assert [each for each in made if each.transport is None] == [each for each in made if each in longest]


async def test_look_when_an_idle_client_takes_nothing_and_descriptors_are_short_then_it_is_counted_once(
    metrics: GatewayMetrics, watch: ConnectionWatch
) -> None:
    made: list[ClientConnection] = []
    async with connected(made, ClientConnection, metrics) as (_reader, writer):
        writer.write(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not (made and made[0].stage is Stage.IDLE):  # noqa: ASYNC110 (nobody says so)
            await asyncio.sleep(0)
        now_s = time.monotonic()
        while not made[0]._is_full:
            watch.look(made, now_s, None)
            await asyncio.sleep(0)
        for look in range(round(Settings().http.write_limit_s / LOOK_S)):
            watch.look(made, now_s + look * LOOK_S, None)
        watch.look(made, now_s + Settings().http.write_limit_s, 1)
    closed = "tts_http_connections_closed_total"
    counted = {
        reason: metrics.registry.get_sample_value(closed, {"reason": reason})
        for reason in ("write_late", "descriptors")
    }
    assert counted == {"write_late": 1, "descriptors": 0}


async def test_body_when_it_comes_then_it_buys_the_time_it_takes_and_no_more_than_was_lost(
    metrics: GatewayMetrics, watch: ConnectionWatch
) -> None:
    made: list[ClientConnection] = []
    async with connected(made, ClientConnection, metrics) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        while not (made and made[0].stage is Stage.BODY):  # noqa: ASYNC110 (nobody says so)
            await asyncio.sleep(0)
        late_s = time.monotonic() - 8
        made[0].since_s = late_s
        writer.write(bytes(2 * BODY_BYTES_PER_S))
        while made[0].since_s < late_s + 1.9999:  # noqa: ASYNC110 (nobody says so)
            await asyncio.sleep(0)
        assert made[0].since_s == pytest.approx(late_s + 2)
        watch.look(made, late_s + 2 + Settings().http.body_limit_s - LOOK_S, None)
        writer.write(bytes(1_000_000 - 2 * BODY_BYTES_PER_S))
        assert await reader.readuntil(b"alive")
        assert late_s + 7.9 < made[0].since_s <= time.monotonic()


async def test_body_when_it_never_ends_then_its_bytes_buy_no_more_time(
    metrics: GatewayMetrics, watch: ConnectionWatch
) -> None:
    made: list[ClientConnection] = []
    async with connected(made, ClientConnection, metrics) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        while not (made and made[0].stage is Stage.BODY):  # noqa: ASYNC110 (nobody says so)
            await asyncio.sleep(0)
        made[0].since_s -= 2 * BOUGHT_S
        for _ in range(int(BOUGHT_S) + 9):
            made[0]._buy_time(BODY_BYTES_PER_S)
        watch.look(made, time.monotonic(), None)
        assert await reader.readline()
    closed = "tts_http_connections_closed_total"
    assert metrics.registry.get_sample_value(closed, {"reason": "body_late"}) == 1
