"""Who may do what, where only the rules themselves are asked."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from appliance.key_errors import TooManyWrongKeysError
from appliance.metrics import GatewayMetrics
from appliance.settings import load_settings
from processes.gateway.access import LOCAL_KEY, AccessRules

NEAR, OTHER, FAR = "192.168.1.7", "192.168.1.8", "10.9.9.9"


@pytest.fixture
def rules(tmp_path: Path) -> AccessRules:
    (tmp_path / "admin").write_text("admin-key\n")
    (tmp_path / "admin").chmod(0o600)
    variables = {"ADMIN_KEY_FILE": tmp_path / "admin", "DATA_DIR": tmp_path}
    settings = load_settings({f"APPLIANCE_{name}": str(path) for name, path in variables.items()})
    return AccessRules(settings, GatewayMetrics())


def request_of(address: str, key: str = "") -> web.Request:
    """A request from an address over TCP, with a key."""
    transport = Mock()  # aiohttp's own stand-in for a socket knows no address
    transport.get_extra_info = {"peername": (address, 1234), "sockname": ("192.168.1.10", 8000)}.get
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    app = web.Application()
    app[LOCAL_KEY] = False
    return make_mocked_request("GET", "/", headers, transport=transport, app=app)


def test_operator_when_asked_then_an_admin_network_and_an_admin_key_make_one(rules: AccessRules) -> None:
    asked = [(NEAR, "admin-key"), (NEAR, "any"), (NEAR, ""), (FAR, "admin-key")]
    assert [rules.is_operator(request_of(*each)) for each in asked] == [True, False, False, False]


@pytest.mark.parametrize("by", ["is_operator", "check_admin"])
def test_operator_when_too_many_wrong_keys_came_then_the_right_one_tells_nothing_and_others_go_on(
    rules: AccessRules, by: str
) -> None:
    for number in range(10):
        if by == "is_operator":
            assert not rules.is_operator(request_of(NEAR, f"guess-{number}"))
        else:
            with pytest.raises(Exception, match="missing or wrong"):
                rules.check_admin(request_of(NEAR, f"guess-{number}"))
    assert not rules.is_operator(request_of(NEAR, "admin-key"))
    with pytest.raises(TooManyWrongKeysError):
        rules.check_admin(request_of(NEAR, "admin-key"))
    assert rules.is_operator(request_of(OTHER, "admin-key"))
    rules.check_admin(request_of(OTHER, "admin-key"))
