"""The reverse proxies of config/proxy: what they log, and their way in by a Unix socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parts.appliance import Appliance, eventually
from tests.parts.networks import Lans
from tests.parts.proxies import (
    GATEWAY,
    LAN,
    NAME,
    NEAR_ADDRESS,
    OUTSIDE,
    Certificate,
    caddy,
    nginx,
    opened_proxy,
    verdict,
)

pytestmark = pytest.mark.timeout(180)

FAR_ADDRESS = "192.168.2.50"
NOBODY = "127.0.0.1:9"
CANARY = "canary-sentence"
PROXIES = {"caddy": caddy, "nginx": nginx}


@pytest.mark.parametrize("kind", PROXIES)
def test_logs_when_a_text_is_in_an_address_then_no_proxy_keeps_it(
    kind: str, house: Appliance, lans: Lans, place: Path, certificate: Certificate, tmp_path: Path
) -> None:
    path = f"/v1/audio/speech?text={CANARY}&voice=tone-low&format=wav"
    options = ["--header", f"Referer: https://{NAME}/?{CANARY}", "--header", f"X-Text: {CANARY}"]
    for upstream, expected in ((GATEWAY, (200, None)), (NOBODY, (502, "unreachable"))):
        folder = tmp_path / str(expected[0])
        folder.mkdir()
        with PROXIES[kind](lans, folder, upstream, LAN, certificate) as proxy:
            answer = proxy.ask(NEAR_ADDRESS, path, *options)
            assert verdict(answer) == expected
            assert answer.headers["x-request-id"]
            assert verdict(proxy.ask(FAR_ADDRESS, f"/admin/status?{CANARY}", *options)) == OUTSIDE
        logged = "".join(each.read_text() for each in folder.glob("*.log"))
        assert CANARY not in logged
        assert '"/v1/audio/speech"' in logged
        assert '"/admin/status"' in logged
        assert f'"status":{expected[0]}' in logged


def test_socket_when_somebody_removes_it_then_the_proxy_finds_another(
    house: Appliance, lans: Lans, place: Path, certificate: Certificate
) -> None:
    seen = len(house.lines)
    with opened_proxy("caddy", lans, f"unix:{place}/gateway.sock", LAN, certificate) as proxy:
        assert proxy.ask(NEAR_ADDRESS, "/health/live").status == 200
        (place / "gateway.sock").unlink()
        house.wait_for("gateway_ready", after=seen)
        eventually(lambda: proxy.ask(NEAR_ADDRESS, "/health/live").status == 200)
    assert house.wait_for("socket_opened_again", after=seen, program="launcher")
