"""docs/security.md: each rule's table names what is there, and the proxies say what the appliance says."""

from __future__ import annotations

import json
import re

import pytest

from appliance.errors import (
    AdminNetworkError,
    BodyTooLargeError,
    RouteNotFoundError,
    error_classes,
)
from appliance.settings import AdminSettings
from processes.gateway.answers import error_body, error_type
from tests.docs.checkout import ROOT
from tests.parts.pages import quoted, read_page, table_rows

PAGE = read_page("docs/security.md")
ROWS = [row for name in ("Who is calling", "Browsers", "Requests") for row in table_rows(PAGE, name)]
CADDY = read_page("config/proxy/Caddyfile")
NGINX = read_page("config/proxy/nginx.conf")
GUARDED = re.compile(r"\^/\(admin\|metrics\|v1/history\)\(/\|\$\)")
PROXIES_OWN = {"unreachable"}
"""Codes for what only a proxy can say."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:30])
def test_rule_when_its_row_is_read_then_what_holds_it_and_its_tests_exist(row: list[str]) -> None:
    _, held_by, tests = row
    places = quoted(held_by)
    assert places or held_by == "proxies"
    assert [place for place in places if not (ROOT / place).exists()] == []
    named = [name.split("::") for name in quoted(tests)]
    assert named
    for path, test in named:
        assert re.search(rf"^(?:async )?def {test}\(", read_page(path), re.MULTILINE), test


def test_rules_when_counted_then_none_is_left_out() -> None:
    named = {rule for row in ROWS for rule in re.findall(r"\b[PBR]\d+\b", row[0].partition(":")[0])}
    wanted = {f"P{n}" for n in range(1, 13)} | {f"B{n}" for n in range(1, 11)}
    assert wanted <= named
    assert {f"R{n}" for n in (*range(1, 9), 11, 12, 13, 16)} <= named


def test_linter_when_asked_then_it_refuses_code_in_data() -> None:
    configuration = read_page("pyproject.toml")
    assert 'select = ["ALL"]' in configuration
    ignored = configuration.split("ignore = [")[1].split("\n]")[0]
    assert [rule for rule in ("S301", "S302", "S307", "S506") if rule in ignored] == []


def test_guard_when_the_proxies_have_it_then_it_is_that_of_the_routes() -> None:
    assert len(GUARDED.findall(CADDY)) == 2
    assert len(GUARDED.findall(NGINX)) == 1
    guard = re.compile(r"^/(admin|metrics|v1/history)(/|$)")
    rows = table_rows(read_page("docs/api.md"), "Routes")
    admin = {
        path for row in rows for path in quoted(row[0]) if row[2].endswith(("admin", "admin networks only"))
    }
    own = {"/v1/jobs"}  # listed for operators, or for each key its own
    assert {path for row in rows for path in quoted(row[0]) if guard.search(path)} == admin - own
    assert CADDY.count("path_regexp ^/v1/jobs$") == 5
    assert "location = /v1/jobs {" in NGINX


def test_admin_networks_when_the_proxies_have_them_then_the_default_of_the_setting() -> None:
    lan = AdminSettings().networks[0]
    assert CADDY.count(f"{{$TTS_PROXY_ADMIN_NETWORKS:{lan}}}") == 2
    assert f"\t\t{lan} 1;" in NGINX


def proxies_errors() -> list[tuple[int, str, str, str]]:
    """Status, type, code and message of each error of a proxy's own."""
    found = [
        (
            int(status),
            *(json.loads(body.replace("\\'", "'"))["error"][name] for name in ("type", "code", "message")),
        )
        for status, body in re.findall(r"return (\d+) '(\{.*\})';", NGINX)
    ]
    statuses = {"~4..": "400", "default": "502"}
    rows = re.findall(r'^\t+(~4\.\.|default|\d+) (\w+) (\w+) "(.+)"$', CADDY, re.MULTILINE)
    found += [(int(statuses.get(status, status)), *rest) for status, *rest in rows]
    return found


def test_errors_when_a_proxy_has_its_own_then_they_are_the_appliances() -> None:
    said = proxies_errors()
    assert len(said) == 11
    by_code = {error_class.code: error_class for error_class in error_classes()}
    for status, kind, code, _ in said:
        assert kind == error_type(status)
        assert code in PROXIES_OWN or by_code[code].status == status
    messages = {message for *_, message in said}
    for error in (AdminNetworkError(), RouteNotFoundError(), BodyTooLargeError()):
        assert error_body(error)["error"]["message"] in messages


def test_settings_when_the_proxies_have_them_then_heads_are_short_and_streams_are_not_held() -> None:
    assert "read_header 5s" in CADDY
    assert "client_header_timeout 5s;" in NGINX
    assert "flush_interval -1" in CADDY
    assert "proxy_buffering off;" in NGINX
    assert "proxy_request_buffering off;" in NGINX


@pytest.mark.parametrize("name", re.findall(r"^#   (TTS_PROXY_\w+)", CADDY, re.MULTILINE))
def test_variables_when_the_file_has_one_then_the_page_explains_it_with_its_default(name: str) -> None:
    rows = {quoted(row[0])[0]: row for row in table_rows(read_page("docs/operate/proxy.md"), "Caddy")}
    (default,) = set(re.findall(rf"\{{\${name}:([^}}]*)\}}", CADDY))
    assert quoted(rows[name][1]) == [default]
