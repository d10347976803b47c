"""Callers' addresses as proxies and liars write them."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from processes.gateway.caller import (
    MAX_FORWARDED_CHARS,
    PROXY_SOCKET_PEER,
    CallerReader,
    parse_address,
)

CALLERS = CallerReader(["127.0.0.1/32", "10.1.0.0/16"])
OUTSIDE = "203.0.113.9"


def sent(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(lines))


def chain(*lines: str) -> CIMultiDictProxy[str]:
    return sent(*(("X-Forwarded-For", line) for line in lines))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.168.1.5", "192.168.1.5"),
        (" 192.168.1.5:1234 ", "192.168.1.5"),
        ("::ffff:192.168.1.5", "192.168.1.5"),
        ("[::ffff:192.168.1.5]:80", "192.168.1.5"),
        ('"[2001:db8::1]:80"', "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("192.168.1.05", None),
        ("192.168.1.256", None),
        ("3232235781", None),
        ("0xc0a80105", None),
        ("64:ff9b::192.168.1.5", "64:ff9b::c0a8:105"),
        ("192.168.1.5, 1.2.3.4", None),
        ("unknown", None),
        ("_hidden", None),
        (PROXY_SOCKET_PEER, None),
        ("", None),
        ("[", None),
        ("\u0661.2.3.4", None),
    ],
)
def test_address_when_read_then_every_form_of_rfc_7239_and_no_other(text: str, address: str | None) -> None:
    read = parse_address(text)
    assert (None if read is None else str(read)) == address


@pytest.mark.parametrize(
    ("peer", "lines", "address"),
    [
        (OUTSIDE, ["192.168.1.5"], OUTSIDE),
        ("::ffff:203.0.113.9", [], OUTSIDE),
        ("127.0.0.1", ["192.168.1.5"], "192.168.1.5"),
        ("127.0.0.1", ["192.168.1.5", OUTSIDE], OUTSIDE),
        ("127.0.0.1", [f"192.168.1.5, {OUTSIDE}, 10.1.2.3"], OUTSIDE),
        ("127.0.0.1", ["192.168.1.5, unknown, 10.1.2.3"], None),
        ("127.0.0.1", ["10.1.2.3"], "10.1.2.3"),
        ("127.0.0.1", ["10.1.9.9, 10.1.2.3"], "10.1.9.9"),
        ("127.0.0.1", [], None),
        ("127.0.0.1", [""], None),
        ("127.0.0.1", ["192.168.1.5,"], None),
        (PROXY_SOCKET_PEER, ["192.168.1.5"], "192.168.1.5"),
        (PROXY_SOCKET_PEER, [], None),
        ("", ["192.168.1.5"], None),
    ],
)
def test_caller_when_proxies_stand_between_then_the_first_stranger_from_the_right(
    peer: str, lines: list[str], address: str | None
) -> None:
    read = CALLERS.address(peer, chain(*lines))
    assert (None if read is None else str(read)) == address


HOPS = st.one_of(
    st.ip_addresses().map(str),
    st.sampled_from(
        ["127.0.0.1", "10.1.2.3", "192.168.1.5", "unknown", "", " ", '"', "[::1", PROXY_SOCKET_PEER]
    ),
    st.text(st.characters(codec="latin-1", exclude_categories=["C"]), max_size=20),
)


@given(st.lists(st.lists(HOPS, max_size=4).map(",".join), max_size=4), st.booleans())
def test_caller_when_a_client_sends_whatever_it_likes_then_its_own_address_is_told(
    lines: list[str], joins: bool
) -> None:
    """As proxies write it, in the client's line or in one of their own."""
    appended = [", ".join([*lines, OUTSIDE])] if joins else [*lines, OUTSIDE]
    assert CALLERS.address("127.0.0.1", chain(*appended)) == ipaddress.ip_address(OUTSIDE)
    assert CALLERS.address(OUTSIDE, chain(*lines)) == ipaddress.ip_address(OUTSIDE)


def test_caller_when_the_chain_is_endless_then_its_end_is_read() -> None:
    assert str(CALLERS.address("127.0.0.1", chain("9," * 50_000 + OUTSIDE))) == OUTSIDE
    endless = chain(OUTSIDE + "," + "10.1.2.3," * MAX_FORWARDED_CHARS + "10.1.2.3")
    assert str(CALLERS.address("127.0.0.1", endless)) != OUTSIDE


@pytest.mark.parametrize("name", ["Forwarded", "X-Real-IP", "x-forwarded-for"])
def test_proxy_when_the_settings_do_not_name_it_then_it_gives_itself_away(name: str) -> None:
    headers = sent((name, "192.168.1.5"))
    assert CALLERS.is_undeclared_proxy("192.168.1.2", headers)
    assert not CALLERS.is_undeclared_proxy("127.0.0.1", headers)
    assert not CALLERS.is_undeclared_proxy(PROXY_SOCKET_PEER, headers)
    assert not CALLERS.is_undeclared_proxy("192.168.1.2", sent(("Via", "1.1 x")))


@pytest.mark.parametrize(
    ("peer", "lines", "claims"),
    [
        (OUTSIDE, [("X-Forwarded-For", "192.168.1.5, 127.0.0.1")], ["192.168.1.5", "127.0.0.1"]),
        (OUTSIDE, [("X-Real-IP", "192.168.1.5"), ("X-Real-IP", "x")], ["192.168.1.5"]),
        (OUTSIDE, [("Forwarded", 'for=192.0.2.1;proto=http, For="[::1]:80"')], ["192.0.2.1", "::1"]),
        (OUTSIDE, [("Forwarded", "by=192.168.1.5;host=for=192.168.1.6")], []),
        ("127.0.0.1", [("X-Forwarded-For", f"{OUTSIDE}, 10.1.2.3")], [OUTSIDE]),
        (
            "127.0.0.1",
            [("X-Forwarded-For", f"10.1.1.1, {OUTSIDE}"), ("X-Real-IP", "10.1.2.3")],
            ["10.1.1.1", OUTSIDE],
        ),
    ],
)
def test_claims_when_a_request_names_addresses_then_all_but_what_our_proxies_say(
    peer: str, lines: list[tuple[str, str]], claims: list[str]
) -> None:
    assert [str(each) for each in CALLERS.claims(peer, sent(*lines))] == claims
