"""Who may do what: hosts, origins, keys, the admin guard."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector
from yarl import URL

from processes.gateway.middleware import CORS_HEADERS
from tests.parts.appliance import Appliance, running_appliance

SPEECH = "/v1/audio/speech"
BODY = {"input": "Hello.", "voice": "tone-low"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Appliance]:
    """An appliance with keys, a trusted proxy and one foreign origin."""
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    (base / "api").write_text("user-key\nother-key\n")
    (base / "admin").write_text("admin-key\n")
    for name in ("api", "admin"):
        (base / name).chmod(0o600)
    with running_appliance(
        base,
        HTTP_API_KEYS_FILE=base / "api",
        ADMIN_KEY_FILE=base / "admin",
        ADMIN_NETWORKS="192.168.1.0/24",
        HTTP_TRUSTED_PROXIES="127.0.0.0/8",
        HTTP_CORS_ORIGINS="http://dashboard.lan",
        VOICES_DEFAULT="tone-low",
    ) as appliance:
        yield appliance
    shutil.rmtree(base)


@pytest.fixture
async def http(guarded: Appliance) -> AsyncIterator[ClientSession]:
    """A client of the guarded appliance."""
    async with ClientSession(guarded.base_url) as session:
        yield session


def bearer(key: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **headers}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (bearer("wrong"), 401),
        (bearer(""), 401),
        (bearer("user-key"), 200),
        (bearer("other-key"), 200),
    ],
)
async def test_speech_when_keys_are_in_force_then_only_a_key_speaks(
    http: ClientSession, headers: dict[str, str], status: int
) -> None:
    async with http.post(SPEECH, json=BODY, headers=headers) as answer:
        assert answer.status == status
        if status == 401:
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert (await answer.json())["error"]["type"] == "authentication_error"


async def test_lists_when_keys_are_in_force_then_they_stay_public(http: ClientSession) -> None:
    for path in ("/v1/audio/voices", "/v1/audio/models", "/v1/models", "/health"):
        async with http.get(path) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (bearer("admin-key", **{"X-Forwarded-For": "192.168.1.7"}), 200, None),
        (bearer("admin-key", **{"X-Forwarded-For": "evil, 192.168.1.7"}), 200, None),
        ({"X-Forwarded-For": "192.168.1.7"}, 401, "invalid_api_key"),
        (bearer("user-key", **{"X-Forwarded-For": "192.168.1.7"}), 401, "invalid_api_key"),
        (bearer("admin-key"), 403, "admin_network"),
        (bearer("admin-key", **{"X-Forwarded-For": "192.168.1.5, 10.0.0.9"}), 403, "admin_network"),
        (bearer("admin-key", **{"X-Forwarded-For": "192.168.2.50"}), 403, "admin_network"),
        (bearer("admin-key", **{"X-Forwarded-For": "unknown"}), 403, "admin_network"),
        (bearer("admin-key", **{"X-Forwarded-For": "_hidden"}), 403, "admin_network"),
        (bearer("admin-key", **{"X-Forwarded-For": "192.168.1.5:1234"}), 200, None),
        (bearer("admin-key", **{"X-Forwarded-For": "[::ffff:192.168.1.5]"}), 200, None),
        (bearer("admin-key", **{"X-Forwarded-For": "x" * 7000}), 403, "admin_network"),
        (bearer("admin-key", **{"X-Real-IP": "192.168.1.5"}), 403, "admin_network"),
    ],
)
async def test_admin_when_called_then_it_wants_both_network_and_key(
    http: ClientSession, headers: dict[str, str], status: int, code: str | None
) -> None:
    for path in ("/admin/status", "/%61dmin/status"):
        async with http.get(path, headers=headers) as answer:
            assert answer.status == status
            assert (await answer.json()).get("error", {}).get("code") == code


@pytest.mark.parametrize(
    "path", ["//admin/status", "/x/..%2fadmin/status", "/admin%2fstatus", "/ADMIN/status", "/admin;x"]
)
async def test_admin_when_its_path_is_disguised_then_nothing_is_there(
    http: ClientSession, guarded: Appliance, path: str
) -> None:
    async with http.get(URL(guarded.base_url + path, encoded=True)) as answer:
        assert answer.status == 404


async def test_admin_when_called_on_the_local_socket_then_no_key_is_needed(guarded: Appliance) -> None:
    connector = UnixConnector(str(guarded.run_dir / "gateway.sock"))
    async with ClientSession("http://localhost", connector=connector) as local:
        async with local.get("/admin/status") as answer:
            status = await answer.json()
        assert [worker["state"] for worker in status["workers"]] == ["ready"]
        for is_on, code in ((True, 503), (False, 200)):
            async with local.post("/admin/drain", json={"on": is_on}) as answer:
                assert (await answer.json())["draining"] is is_on
            async with local.post(SPEECH, json=BODY) as answer:
                assert answer.status == code
                assert is_on == ("Retry-After" in answer.headers)
            async with local.get("/health") as answer:
                assert ((await answer.json())["status"] == "draining") == is_on


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n", 421),
        (b"GET /health HTTP/1.1\r\nHost: a b\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400),
        (b"GET /health HTTP/1.0\r\n", 200),
    ],
)
async def test_host_when_the_request_is_odd_then_it_is_never_taken_for_ours(
    guarded: Appliance, head: bytes, status: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
    with contextlib.closing(writer):
        writer.write(head + b"Connection: close\r\n\r\n")
        answer = await reader.read()
    await writer.wait_closed()
    assert answer.split()[1] == str(status).encode()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("appliance.local.evil.example", 421),
        ("localhost", 200),
        ("192.168.1.10:8000", 200),
        ("[::1]:8000", 200),
        ("tts", 200),
        ("tts.lan", 200),
        ("tts.home.arpa:8000", 200),
        ("TTS.LOCAL", 200),
        ("host.docker.internal:8000", 200),
    ],
)
async def test_host_when_it_is_not_ours_then_421(http: ClientSession, host: str, status: int) -> None:
    async with http.get("/health/live", headers={"Host": host}) as answer:
        assert answer.status == status
        if status == 421:
            assert (await answer.json())["error"]["code"] == "host_not_allowed"


async def test_origin_when_foreign_then_speech_is_refused_unless_it_is_allowed(
    http: ClientSession, guarded: Appliance
) -> None:
    key = bearer("user-key")
    for origin, status in (
        ("http://evil.example", 403),
        ("null", 403),
        ("http://dashboard.lan", 200),
        (guarded.base_url, 200),
    ):
        async with http.post(SPEECH, json=BODY, headers={**key, "Origin": origin}) as answer:
            assert answer.status == status, origin
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            assert allowed == ("http://dashboard.lan" if origin == "http://dashboard.lan" else None)


async def test_get_speech_when_another_sites_page_asks_then_it_is_refused(http: ClientSession) -> None:
    headers = bearer("user-key", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})
    async with http.get(SPEECH, params={"text": "Hello."}, headers=headers) as answer:
        assert answer.status == 403
        assert (await answer.json())["error"]["code"] == "origin_not_allowed"


@pytest.mark.parametrize(
    ("origin", "allowed"), [("http://dashboard.lan", True), ("http://evil.example", False)]
)
async def test_preflight_when_asked_then_only_the_allowed_origin_may(
    http: ClientSession, origin: str, allowed: bool
) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    async with http.options(SPEECH, headers=headers) as answer:
        assert answer.status == 204
        assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is allowed
        assert ("Access-Control-Allow-Methods" in answer.headers) is allowed


STAINLESS = "authorization,content-type,x-stainless-arch,x-stainless-os,x-stainless-runtime-version"
"""What a page with openai-node asks for, shortened."""


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (STAINLESS, STAINLESS),
        ("x-a , x-b", "x-a , x-b"),
        ("", CORS_HEADERS),
        ("x a", CORS_HEADERS),
        ("x-a,,x-b", CORS_HEADERS),
        ("x-\u00e9", CORS_HEADERS),
        (",".join(["x-long-name"] * 100), CORS_HEADERS),
    ],
)
async def test_preflight_when_it_asks_for_headers_then_the_allowed_origin_gets_those_that_can_be_read(
    http: ClientSession, asked: str, allowed: str
) -> None:
    headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}
    async with http.options(SPEECH, headers={**headers, "Origin": "http://dashboard.lan"}) as answer:
        assert answer.headers["Access-Control-Allow-Headers"] == allowed
        assert "Access-Control-Request-Headers" in answer.headers.getall("Vary")
    async with http.options(SPEECH, headers={**headers, "Origin": "http://evil.example"}) as answer:
        assert "Access-Control-Allow-Headers" not in answer.headers


async def test_jobs_when_keys_are_in_force_then_each_key_has_its_own_and_the_networks_guard_the_rest(
    http: ClientSession,
) -> None:
    near = {"X-Forwarded-For": "192.168.1.7"}
    far = {"X-Forwarded-For": "10.9.9.9"}
    async with http.post("/v1/jobs", json=BODY, headers=bearer("user-key")) as answer:
        assert answer.status == 202
        own = await answer.json()
    async with http.post("/v1/jobs", json=BODY, headers=bearer("admin-key", **near)) as answer:
        assert answer.status == 202
        operators = await answer.json()

    async def seen(job: dict[str, str], headers: dict[str, str]) -> int:
        async with http.get(f"/v1/jobs/{job['id']}", headers=headers) as answer:
            return answer.status

    async def listed(headers: dict[str, str]) -> set[str]:
        async with http.get("/v1/jobs", headers=headers) as answer:
            return {job["id"] for job in (await answer.json()).get("data", [])}

    assert await seen(own, {}) == 401
    assert await seen(own, bearer("user-key")) == 200
    assert await seen(own, bearer("other-key")) == 404
    assert await seen(own, bearer("admin-key", **near)) == 200
    assert await seen(operators, bearer("admin-key", **near)) == 200
    assert await seen(own, bearer("admin-key", **far)) == 404
    assert await seen(operators, bearer("admin-key", **far)) == 200
    assert await seen(operators, bearer("user-key")) == 404
    assert await listed(bearer("user-key")) == {own["id"]}
    assert await listed(bearer("other-key")) == set()
    assert await listed(bearer("admin-key", **near)) == {own["id"], operators["id"]}
    assert await listed(bearer("admin-key", **far)) == {operators["id"]}
