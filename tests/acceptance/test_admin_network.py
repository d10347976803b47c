"""Who reaches what from where: two LANs, and each way into the appliance (rows P1 to P12, B1, R1 and R2)."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from processes.gateway.middleware import SECURITY_HEADERS
from tests.parts.appliance import Appliance
from tests.parts.networks import HOUSE, Lans
from tests.parts.proxies import (
    GATEWAY,
    LAN,
    NAME,
    NEAR_ADDRESS,
    OUTSIDE,
    Certificate,
    Door,
    headers,
    opened_proxy,
    verdict,
)
from tests.parts.slow_clients import sample, status

pytestmark = pytest.mark.timeout(180)

NEAR, NEAR_TOO = NEAR_ADDRESS, "192.168.1.7"
FAR, FAR_AWAY, BRIDGE = "192.168.2.50", "10.0.0.9", "172.17.0.1"
EVERYBODY = "0.0.0.0/0"
"""Where the proxy's own rule lets everybody in, so that the appliance's alone decides."""
DOORS = ["direct", "caddy", "nginx", "caddy-open", "nginx-open"]


@pytest.fixture(scope="module", params=DOORS)
def door(
    request: pytest.FixtureRequest, house: Appliance, lans: Lans, place: Path, certificate: Certificate
) -> Iterator[Door]:
    """Each way in: the port, both proxies, and both on the Unix socket without a rule of their own."""
    kind, _, is_open = request.param.partition("-")
    if kind == "direct":
        yield Door(lans, "http", 8000)
        return
    given = None if request.param == "caddy" else certificate
    upstream, networks = (f"unix:{place}/gateway.sock", EVERYBODY) if is_open else (GATEWAY, LAN)
    with opened_proxy(kind, lans, upstream, networks, given) as made:
        yield made


def denials(appliance: Appliance, rule: str) -> float:
    return sample(appliance, f'tts_security_denied_total{{rule="{rule}"}}')


SPOOFS = [
    ["X-Forwarded-For: 192.168.1.5"],
    ["X-Forwarded-For: 192.168.1.5", "X-Forwarded-For: 192.168.1.6"],
    ["X-Forwarded-For: 192.168.1.5, 127.0.0.1"],
    ["X-Forwarded-For: [::ffff:192.168.1.5]:80"],
    ["Forwarded: for=192.168.1.5;proto=https"],
    ['Forwarded: for=1.2.3.4, for="192.168.1.5:80"'],
    ["X-Real-IP: 192.168.1.5"],
    ["X-Forwarded-For: 127.0.0.1", "Connection: close, X-Forwarded-For"],
]
NONSENSE = ["unknown", "_hidden", "192.168.1.5:1234", "[::ffff:192.168.1.5]", "", "x" * 7_000, ",,,", "::1"]


@pytest.mark.parametrize("source", [NEAR, NEAR_TOO])
def test_admin_when_a_client_of_the_admin_network_has_the_key_then_it_is_let_in(
    door: Door, source: str
) -> None:
    for path in ("/admin/status", "/v1/history", "/metrics", "/v1/jobs"):
        assert door.ask(source, path, *headers()).status == 200, path


@pytest.mark.parametrize("wrong", [None, "guessed", "admin-key2"])
def test_admin_when_the_key_is_missing_or_wrong_then_401_says_what_is_needed(
    door: Door, wrong: str | None
) -> None:
    for path in ("/admin/status", "/v1/history", "/v1/jobs"):
        answer = door.ask(NEAR, path, *headers(key=wrong))
        assert verdict(answer) == (401, "invalid_api_key"), path
        assert answer.headers["www-authenticate"] == "bearer"


@pytest.mark.parametrize("source", [FAR, FAR_AWAY, BRIDGE, "fd00:2::50"])
@pytest.mark.parametrize("path", ["/admin/status", "/v1/history", "/metrics"])
def test_admin_when_the_client_is_outside_then_the_best_key_is_of_no_use(
    door: Door, source: str, path: str
) -> None:
    if ":" in source and door.scheme == "http":
        pytest.skip("this appliance listens on IPv4 alone; see the test of both")
    assert verdict(door.ask(source, path, *headers())) == OUTSIDE


@pytest.mark.parametrize("lines", SPOOFS, ids=lambda lines: lines[0])
def test_admin_when_a_client_outside_says_to_be_inside_then_refused(
    door: Door, request: pytest.FixtureRequest, house: Appliance, lines: list[str]
) -> None:
    before, opened_by = denials(house, "spoof"), request.node.callspec.params["door"]
    assert verdict(door.ask(FAR, "/admin/status", *headers(*lines))) == OUTSIDE
    # A proxy refuses by itself. Without its rule Caddy drops what was sent, nginx all but the chain.
    is_in_chain = lines[0].startswith("X-Forwarded-For: ")
    is_seen = opened_by == "direct" or (opened_by == "nginx-open" and is_in_chain)
    assert denials(house, "spoof") == before + is_seen


@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: value[:20])
def test_admin_when_the_chain_is_nonsense_then_only_what_the_proxy_wrote_counts(
    door: Door, value: str
) -> None:
    chain = headers(f"X-Forwarded-For: {value}" if value else "X-Forwarded-For;")
    assert verdict(door.ask(FAR, "/admin/status", *chain)) == OUTSIDE
    if door.scheme == "https":
        assert door.ask(NEAR_TOO, "/admin/status", *chain).status == 200
    else:  # nobody of ours wrote that, so somebody stands between
        refused = door.ask(NEAR_TOO, "/admin/status", *chain)
        assert verdict(refused) == OUTSIDE
        assert b"http.trusted_proxies" in refused.body


@pytest.mark.parametrize(
    ("path", "near", "far"),
    [
        ("/%61dmin/status", 200, 403),
        ("/admin/%73tatus", 200, 403),
        ("//admin/status", 404, 404),
        ("/./admin/status", 404, 404),
        ("/x/../admin/status", 404, 404),
        ("/x/%2e%2e/admin/status", 404, 404),
        ("/x%2f..%2fadmin/status", 404, 404),
        ("/admin%2fstatus", 404, 404),
        ("/admin/%2fstatus", 404, 404),
        ("/ADMIN/status", 404, 404),
        ("/admin;x", 404, 404),
        ("/v1//history", 404, 404),
        ("/v1%2Fhistory", 404, 404),
        ("/docs", 404, 404),
        ("/openapi.json?x=//admin/../", 200, 200),
        ("/v1/models/no%2Fsuch", 404, 404),
    ],
)
def test_path_when_it_is_spelled_oddly_then_every_door_says_the_same(
    door: Door, path: str, near: int, far: int
) -> None:
    assert (door.ask(NEAR, path, *headers()).status, door.ask(FAR, path, *headers()).status) == (near, far)


def test_jobs_when_listed_from_outside_then_refused_while_an_id_is_enough_for_one(door: Door) -> None:
    order = ["--json", json.dumps({"input": "Hello.", "voice": "tone-low"})]
    made = door.ask(FAR, "/v1/jobs", *order)
    assert made.status == 202
    job = json.loads(made.body)["id"]
    assert verdict(door.ask(FAR, "/v1/jobs", *headers(key=None))) == OUTSIDE
    assert verdict(door.ask(FAR, "/v1/jobs", *headers())) == OUTSIDE
    assert job in {each["id"] for each in json.loads(door.ask(NEAR, "/v1/jobs", *headers()).body)["data"]}
    assert door.ask(FAR, f"/v1/jobs/{job}").status == 200


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--header", "Host: evil.example"], (421, "host_not_allowed")),
        (["--http1.1", "--request-target", "http://evil.example/health"], (421, "host_not_allowed")),
        (["--header", "X-Forwarded-Host: evil.example"], (200, None)),
        (
            ["--header", "Host: evil.example", "--header", f"X-Forwarded-Host: {NAME}"],
            (421, "host_not_allowed"),
        ),
        (["--header", "Origin: https://evil.example"], (403, "origin_not_allowed")),
        (["--header", "Sec-Fetch-Site: cross-site"], (403, "origin_not_allowed")),
    ],
)
def test_host_and_origin_when_foreign_then_refused_and_forwarded_hosts_never_count(
    door: Door, options: list[str], expected: tuple[int, str | None]
) -> None:
    for source in (NEAR, FAR):
        assert verdict(door.ask(source, "/health", *options)) == expected


def test_origin_when_it_is_the_doors_own_then_served(door: Door) -> None:
    is_usual = (door.scheme, door.port) == ("https", 443)
    origin = f"{door.scheme}://{NAME}" if is_usual else f"{door.scheme}://{NAME}:{door.port}"
    assert door.ask(FAR, "/health", "--header", f"Origin: {origin}").status == 200


@pytest.mark.parametrize("path", ["/health", "/nothing", "/admin/status", "//admin/status"])
def test_answer_when_it_is_the_appliances_or_a_proxys_own_then_with_the_same_headers(
    door: Door, path: str
) -> None:
    answer = door.ask(FAR, path)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name.lower()] == value
    assert re.fullmatch("[0-9a-f-]{32,36}", answer.headers["x-request-id"])
    assert not re.search(r"\d|aiohttp|caddy", answer.headers.get("server", ""))


def test_body_when_too_large_then_the_error_shape_says_so(door: Door, tmp_path: Path) -> None:
    for size in (300_000, 2_000_000):
        (tmp_path / "body").write_text(json.dumps({"input": "x" * size}))
        order = ["--json", f"@{tmp_path}/body"]
        assert verdict(door.ask(FAR, "/v1/audio/speech", *order)) == (413, "body_too_large"), size
    (tmp_path / "book.txt").write_text("A sentence. " * 100_000)
    answer = door.ask(FAR, "/v1/jobs", "--form", f"file=@{tmp_path}/book.txt", "--form", "voice=tone-low")
    assert answer.status == 202
    job = json.loads(answer.body)["id"]
    assert door.ask(FAR, f"/v1/jobs/{job}", "--request", "DELETE").status == 200


@contextlib.contextmanager
def listening(command: list[str]) -> Iterator[IO[bytes]]:
    """What a client hears as it comes; the client is killed with the block."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        try:
            yield client.stdout
        finally:
            client.kill()


def test_audio_when_streamed_then_it_passes_at_once_and_ends_with_its_listener(
    door: Door, house: Appliance
) -> None:
    seen, text = len(house.lines), "One sentence of many that are spoken one after the other. " * 30
    body = json.dumps({"input": text, "voice": "tone-low", "response_format": "pcm"})
    with listening(door.command(FAR, "/v1/audio/speech", "--json", body)) as sound:
        assert sound.read(1_000)
        assert status(house)["requests"]["in_flight"] == 1
    assert house.wait_for("request_finished", after=seen)["ended_by"] == "client"


def test_events_when_streamed_then_each_passes_at_once(door: Door) -> None:
    order = ["--json", json.dumps({"input": "A sentence. " * 3_000, "voice": "tone-low"})]
    job = json.loads(door.ask(FAR, "/v1/jobs", *order).body)["id"]
    with listening(door.command(FAR, f"/v1/jobs/{job}/events")) as events:
        assert events.readline().startswith(b"event: ")
        assert events.readline().startswith(b"data: ")
        assert json.loads(door.ask(FAR, f"/v1/jobs/{job}").body)["state"] in {"queued", "running"}
    assert door.ask(FAR, f"/v1/jobs/{job}", "--request", "DELETE").status == 200


SLOW = """
import socket, ssl, sys
context = ssl._create_unverified_context() if sys.argv[2] == "443" else None
client = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)
client = context.wrap_socket(client, server_hostname="tts.lan") if context else client
client.sendall(b"GET /health HTTP/1.1\\r\\nHost: ")
client.settimeout(25)
while client.recv(4096):
    pass
"""
"""A client that never ends its request's head; ends with 0 once it is hung up on."""


def test_head_when_it_does_not_end_then_the_door_closes(door: Door, lans: Lans) -> None:
    command = [*lans.inside("far"), sys.executable, "-c", SLOW, "192.168.2.10", str(door.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_peer_when_the_socket_takes_both_kinds_of_addresses_then_mapped_ones_count_as_ipv4(
    lans: Lans, admin_key: str, appliance_factory: Callable[..., Appliance]
) -> None:
    both = appliance_factory(
        inside=lans.inside(HOUSE),
        HTTP_HOST="::",
        HTTP_PORT=8001,
        ADMIN_KEY_FILE=admin_key,
        VOICES_DEFAULT="tone-low",
    )
    both.wait_until_ready()
    door = Door(lans, "http", 8001)
    assert door.ask(NEAR, "/admin/status", *headers()).status == 200
    for source in (FAR, "fd00:2::50"):
        assert verdict(door.ask(source, "/admin/status", *headers())) == OUTSIDE
    spoofed = headers("X-Forwarded-For: ::ffff:192.168.1.5")
    before = denials(both, "spoof")
    assert verdict(door.ask("fd00:2::50", "/admin/status", *spoofed)) == OUTSIDE
    assert denials(both, "spoof") == before + 1


def test_port_when_it_listens_on_one_address_then_the_others_refuse(
    lans: Lans, admin_key: str, appliance_factory: Callable[..., Appliance]
) -> None:
    one = appliance_factory(
        inside=lans.inside(HOUSE), HTTP_HOST="192.168.1.10", HTTP_PORT=8002, ADMIN_KEY_FILE=admin_key
    )
    one.wait_until_ready()
    door = Door(lans, "http", 8002)
    assert door.ask(NEAR, "/admin/status", *headers()).status == 200
    could_not_connect = 7  # Source: curl(1), "Exit codes"
    refused = subprocess.run(door.command(FAR, "/health"), capture_output=True, check=False)
    assert refused.returncode == could_not_connect
