"""Requests that no honest client sends (rows B2 to B9, P4, P7 to P9 and R3 to R6)."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector, web
from yarl import URL

from processes.gateway.app import add_routes
from processes.gateway.page_files import CONSOLE_FILES
from tests.parts.appliance import Appliance, running_appliance
from tests.parts.slow_clients import ask_locally, connect, read_to_end, sample

ADMIN = {"Authorization": "Bearer admin-key"}
INSIDE = "192.168.1.5"
CLOSING = b"Host: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Appliance]:
    """An appliance with an admin key, a socket for a proxy, and this machine not among the admin networks."""
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    (base / "admin").write_text("admin-key\n")
    (base / "admin").chmod(0o600)
    with running_appliance(
        base,
        ADMIN_KEY_FILE=base / "admin",
        ADMIN_NETWORKS="192.168.1.0/24",
        HTTP_PROXY_SOCKET=base / "door.sock",
        VOICES_DEFAULT="tone-low",
    ) as appliance:
        yield appliance
    shutil.rmtree(base)


@pytest.fixture
async def http(guarded: Appliance) -> AsyncIterator[ClientSession]:
    """A client at this machine's address, which is outside."""
    async with ClientSession(guarded.base_url) as session:
        yield session


@pytest.fixture
async def proxy(guarded: Appliance) -> AsyncIterator[ClientSession]:
    """What a reverse proxy sends over its socket."""
    connector = UnixConnector(str(guarded.base / "door.sock"))
    async with ClientSession("http://localhost", connector=connector) as session:
        yield session


def spoofs(appliance: Appliance) -> float:
    return sample(appliance, 'tts_security_denied_total{rule="spoof"}')


async def asked(http: ClientSession, path: str, headers: dict[str, str]) -> tuple[int, str | None]:
    async with http.get(path, headers=headers) as answer:
        return answer.status, (await answer.json()).get("error", {}).get("code")


@pytest.mark.parametrize(
    ("headers", "is_spoof"),
    [
        ({}, False),
        ({"X-Forwarded-For": INSIDE}, True),
        ({"X-Forwarded-For": f"{INSIDE}, 127.0.0.1"}, True),
        ({"X-Forwarded-For": f"[::ffff:{INSIDE}]:80"}, True),
        ({"X-Real-IP": INSIDE}, True),
        ({"Forwarded": f"for={INSIDE}"}, True),
        ({"Forwarded": f'for=1.2.3.4, For="{INSIDE}:80";proto=http'}, True),
        ({"X-Forwarded-For": "10.0.0.9"}, False),
        ({"X-Forwarded-For": "unknown"}, False),
        ({"X-Forwarded-For": "x" * 7_000}, False),
        ({"X-Forwarded-Host": INSIDE}, False),
    ],
)
async def test_admin_when_a_stranger_says_to_be_inside_then_refused_and_counted(
    http: ClientSession, guarded: Appliance, headers: dict[str, str], is_spoof: bool
) -> None:
    before, seen = await asyncio.to_thread(spoofs, guarded), len(guarded.lines)
    assert await asked(http, "/admin/status", ADMIN | headers) == (403, "admin_network")
    assert await asyncio.to_thread(spoofs, guarded) == before + is_spoof
    own = "127.0.0.1"
    assert await asyncio.to_thread(
        guarded.wait_for, "access_denied", after=seen, rule="admin_network", peer=own, caller=own
    )


@pytest.mark.parametrize(
    ("headers", "expected", "is_spoof"),
    [
        ({"X-Forwarded-For": INSIDE}, (200, None), False),
        ({"X-Forwarded-For": f"10.0.0.9, {INSIDE}"}, (200, None), False),
        ({"X-Forwarded-For": f"{INSIDE}, 10.0.0.9"}, (403, "admin_network"), True),
        ({"X-Forwarded-For": "10.0.0.9"}, (403, "admin_network"), False),
        ({"X-Real-IP": INSIDE}, (403, "admin_network"), True),
        ({"Forwarded": f"for={INSIDE}"}, (403, "admin_network"), True),
        ({}, (403, "admin_network"), False),
    ],
)
async def test_admin_when_a_proxy_asks_on_its_socket_then_its_clients_address_counts_and_no_other(
    proxy: ClientSession,
    guarded: Appliance,
    headers: dict[str, str],
    expected: tuple[int, str | None],
    is_spoof: bool,
) -> None:
    before = await asyncio.to_thread(spoofs, guarded)
    assert await asked(proxy, "/admin/status", ADMIN | headers) == expected
    assert await asyncio.to_thread(spoofs, guarded) == before + is_spoof


async def test_socket_of_a_proxy_when_used_then_nobody_is_an_operator_for_it(proxy: ClientSession) -> None:
    assert await asked(proxy, "/admin/status", {"X-Forwarded-For": INSIDE}) == (401, "invalid_api_key")
    assert await asked(proxy, "/health", {"Host": "evil.example"}) == (421, "host_not_allowed")


async def test_local_socket_when_a_request_names_others_then_it_is_the_operators_all_the_same(
    guarded: Appliance,
) -> None:
    connector = UnixConnector(str(guarded.run_dir / "gateway.sock"))
    async with ClientSession("http://localhost", connector=connector) as local:
        assert await asked(local, "/admin/status", {"X-Forwarded-For": "10.0.0.9"}) == (200, None)


async def test_host_when_a_forwarded_one_differs_then_it_does_not_count(http: ClientSession) -> None:
    for name in ("X-Forwarded-Host", "X-Host", "X-Original-Host"):
        assert await asked(http, "/health", {name: "evil.example"}) == (200, None)
        foreign = {"Host": "evil.example", name: "localhost"}
        assert await asked(http, "/health", foreign) == (421, "host_not_allowed")


@pytest.mark.parametrize("path", ["/admin/status", "/v1/history", "/metrics", "/v1/jobs"])
async def test_admin_when_another_sites_page_asks_then_refused_before_anything_else(
    proxy: ClientSession, path: str
) -> None:
    for foreign in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        near = ADMIN | {"X-Forwarded-For": INSIDE}
        assert await asked(proxy, path, near | foreign) == (403, "origin_not_allowed")


def changing_paths() -> dict[str, str]:
    """The paths that only change something, with what they allow."""
    app = web.Application()
    add_routes(app)
    methods: dict[str, set[str]] = {}
    for route in app.router.routes():
        if route.resource is not None:
            methods.setdefault(route.resource.canonical, set()).add(route.method)
    return {path: ", ".join(sorted(allowed)) for path, allowed in methods.items() if "GET" not in allowed}


@pytest.mark.parametrize(("path", "allowed"), changing_paths().items())
async def test_change_when_asked_for_by_get_then_405_says_what_is_allowed(
    http: ClientSession, path: str, allowed: str
) -> None:
    path = path.format(id="0" * 32, change="pause", voice="x", voice_id="x", worker="x")
    for method in ("GET", "HEAD"):
        async with http.request(method, path, headers=ADMIN) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("method", "status"), [("TRACE", 405), ("PATCH", 405), ("CONNECT", 400), ("FOO", 400)]
)
def test_method_when_the_path_has_it_not_then_refused_in_the_error_shape(
    guarded: Appliance, method: str, status: int
) -> None:
    with connect(guarded, f"{method} /v1/audio/speech HTTP/1.1\r\n".encode() + CLOSING) as client:
        head, _, body = read_to_end(client).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert (b"\r\nAllow: GET, HEAD, POST" in head) == (status == 405)
    assert json.loads(body)["error"]["code"] == {405: "method_not_allowed", 400: "invalid_value"}[status]


@pytest.mark.parametrize("folder", ["/v1/jobs", "/page", "/v1/models", "/admin/voices", ""])
@pytest.mark.parametrize(
    "name", ["..%2f..%2fetc%2fpasswd", "%2e%2e", "../../etc/passwd", "a%00b", "%2fetc%2fpasswd", "0" * 33]
)
def test_path_when_it_leads_outside_then_nothing_is_there(guarded: Appliance, folder: str, name: str) -> None:
    with connect(guarded, f"GET {folder}/{name} HTTP/1.1\r\n".encode() + CLOSING) as client:
        head, _, body = read_to_end(client).partition(b"\r\n\r\n")
    assert head.split()[1] in {b"404", b"405"}
    assert b"root:" not in body


POST = b"POST /v1/audio/speech HTTP/1.1\r\nContent-Type: application/json\r\n"
LIMIT_BYTES = 262_144


def test_body_when_it_is_declared_too_large_then_413_before_it_comes(guarded: Appliance) -> None:
    with connect(guarded, POST + b"Content-Length: 1000000000\r\n" + CLOSING) as client:
        assert client.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_body_when_chunks_go_on_and_on_then_413_at_the_limit(guarded: Appliance) -> None:
    with connect(guarded, POST + b"Transfer-Encoding: chunked\r\n" + CLOSING) as client:
        for _ in range(LIMIT_BYTES // 65_536 + 1):
            client.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_body_when_it_is_a_compressed_bomb_then_415_before_it_grows(guarded: Appliance) -> None:
    bomb = gzip.compress(b'{"input":"' + b"a" * 50_000_000 + b'"}')
    head = POST + f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n".encode()
    with connect(guarded, head + CLOSING + bomb) as client:
        assert client.recv(65_536).startswith(b"HTTP/1.1 415 ")
    assert ask_locally(guarded, "/health/live")


async def test_page_when_sent_then_it_may_load_and_run_nothing_but_its_own(http: ClientSession) -> None:
    async with http.get("/") as page:
        rules = dict(
            each.strip().split(" ", 1) for each in page.headers["Content-Security-Policy"].split(";")
        )
        assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "Set-Cookie" not in page.headers
        assert "Strict-Transport-Security" not in page.headers
    assert rules == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "media-src": "'self' blob:",
        "connect-src": "'self'",
        "font-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "object-src": "'none'",
    }


@pytest.mark.parametrize("path", CONSOLE_FILES)
async def test_console_when_asked_for_from_outside_or_by_another_sites_page_then_refused(
    http: ClientSession, proxy: ClientSession, path: str
) -> None:
    assert await asked(http, path, ADMIN) == (403, "admin_network")
    assert await asked(http, path, {"X-Forwarded-For": INSIDE}) == (403, "admin_network")
    inside = {"X-Forwarded-For": INSIDE}
    assert await asked(proxy, path, {**inside, "Sec-Fetch-Site": "cross-site"}) == (403, "origin_not_allowed")
    async with proxy.get(path, headers=inside) as answer:
        assert answer.status == 200


async def test_descriptions_when_asked_for_from_outside_then_numbers_are_hidden_and_the_apis_is_not(
    http: ClientSession,
) -> None:
    for path, expected in (("/metrics", (403, "admin_network")), ("/docs", (404, "not_found"))):
        assert await asked(http, path, {}) == expected
    async with http.get(URL("/openapi.json")) as answer:
        assert answer.status == 200
