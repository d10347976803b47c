"""What `ttsctl doctor` checks of the network: where the appliance can be reached, by whom, and what leaves.

Owns: which networks are too wide to trust.
Refuses to know: how a caller is told (`processes.gateway.access`).

Behind Docker's userland proxy, and in rootless containers, everybody looks like the bridge's gateway: an
admin network that holds that address would be open to the world. So the peers are printed as they are seen.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

from appliance.errors import ConfigurationError
from appliance.key_records import Records, Role
from appliance.key_store import read_records
from appliance.keys import read_keys
from appliance.settings import Settings
from processes.ttsctl.check import Check
from processes.ttsctl.checks.configuration import SETTINGS_WRONG
from processes.ttsctl.finding import Finding, failure, hint, ok, unseen, warning
from processes.ttsctl.keys import asks_for_keys
from processes.ttsctl.patient import Patient
from processes.ttsctl.process_table import PROC
from processes.ttsctl.remedies import apply_changes, is_in_container

NO_NETWORK = warning("no_network", "this machine has no network")
LOCKED_OUT = warning("admin_locked_out", "this machine's address is in none of `admin.networks`")
WITHOUT_KEYS = hint("open_without_keys", "whoever reaches the port may have it speak: no key is asked for")
ADMIN_WIDE = failure(
    "admin_networks_wide", "`admin.networks` holds the whole internet, or a great part of it"
)
ADMIN_BRIDGE = failure("admin_covers_bridge", "`admin.networks` holds the bridge, as which everybody is seen")
PROXIES_WIDE = failure("proxies_wide", "`http.trusted_proxies` believes the whole internet, or the bridge")
SPOOFED = warning("spoofed", "somebody has claimed another address than their own since the start")
INTRUDED = warning("intruded", "another user of this machine has knocked on the workers' socket")
COLLECTOR_LOST = warning(
    "trace_collector_lost", "the collector at `tracing.endpoint` has taken no spans for five minutes"
)
DENIED = hint("denied", "an access rule has turned requests away since the start")

SOMEWHERE = ("192.0.2.1", 9)
"""An address of which only the route is asked. Source: RFC 5737."""
WIDEST = {4: 8, 6: 32}
"""Shortest prefix of a network that may be an operator's own: 10.0.0.0/8, a provider's smallest."""
ESTABLISHED = "01"
"""Source: linux/tcp_states.h."""
MAX_PEERS = 4
LOST_S = 300.0
"""Seconds for which a collector may take no spans, as while it is restarted."""
CHECK_CONFIG = "ttsctl check-config"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def check_network(patient: Patient) -> Finding:
    """Where it can be reached, and whether the admin networks still fit this machine's address."""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    http, admin = patient.settings.http, patient.settings.admin
    address = _own_address()
    if address is None:
        seen = f"http.host = {http.host}, and no network"
        return NO_NETWORK.found(seen, "plug it in: only this machine can reach it", "ip address")
    try:
        records = read_records(patient.settings.keys_path())
        admin_keys = _count_admin_keys(patient.settings, records)
    except ConfigurationError:
        return unseen("a file of keys can't be read")
    seen = f"http.host = {http.host}, this machine is {address}, admin keys: {admin_keys}"
    if admin_keys and not is_in_container() and not _holds(admin.networks, ipaddress.ip_address(address)):
        advice = "add this network to admin.networks, then apply it; ttsctl works all the same"
        seen = f"{seen}; its address is in none of admin.networks"
        return LOCKED_OUT.found(seen, advice, apply_changes(patient))
    if not asks_for_keys(patient.settings, records) and not _is_loopback(http.host):
        advice = "fine in a network of one's own; else create a key for each client"
        return WITHOUT_KEYS.found(f"{seen}; no key is asked for", advice, "ttsctl keys create")
    return ok(seen)


def _count_admin_keys(settings: Settings, records: Records) -> int:
    """Return how many admin keys are in force, of the file that settings name and of those created.

    Raises:
        ConfigurationError: The file can't be read.
    """
    now = datetime.now(UTC)
    created = sum(each.role is Role.ADMIN and each.is_live(now) for each in records)
    return created + len(read_keys(settings.admin.key_file))


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def check_admin_networks(patient: Patient) -> Finding:
    """Are the networks that are trusted an operator's own, and the peers as they should be?"""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    seen = f"peers as they are seen: {_named_peers(patient)}"
    for setting, networks, fault in (
        ("admin.networks", patient.settings.admin.networks, ADMIN_WIDE),
        ("http.trusted_proxies", patient.settings.http.trusted_proxies, PROXIES_WIDE),
    ):
        wide = [
            str(each) for each in map(ipaddress.ip_network, networks) if each.prefixlen < WIDEST[each.version]
        ]
        if wide:
            advice = f"have {setting} hold no more than networks of your own, then ttsctl config apply"
            return fault.found(f"{setting} = {', '.join(wide)}; {seen}", advice, CHECK_CONFIG)
    bridge = _bridge()
    if bridge is not None:
        return _in_container(patient.settings, bridge, seen)
    return ok(seen)


def _in_container(settings: Settings, bridge: Address, seen: str) -> Finding:
    seen = f"{seen}; the bridge is {bridge}"
    advice = (
        "take the bridge out of it: behind it everybody looks like it. "
        "Use ttsctl in the container, or a reverse proxy with an address of its own"
    )
    if _holds(settings.admin.networks, bridge):
        return ADMIN_BRIDGE.found(f"admin.networks holds it; {seen}", advice, CHECK_CONFIG)
    if _holds(settings.http.trusted_proxies, bridge):
        return PROXIES_WIDE.found(f"http.trusted_proxies holds it; {seen}", advice, CHECK_CONFIG)
    return ok(seen)


def _holds(networks: Iterable[str], address: Address) -> bool:
    return any(address in ipaddress.ip_network(each) for each in networks)


def _bridge() -> Address | None:
    """Return the gateway of a container, by which its published ports may be reached; None elsewhere."""
    if not is_in_container():
        return None
    for line in (PROC / "net/route").read_text("ascii").splitlines()[1:]:
        _interface, destination, gateway, *_rest = line.split()
        if int(destination, 16) == 0:
            return ipaddress.IPv4Address(struct.pack("<I", int(gateway, 16)))
    return None


def _named_peers(patient: Patient) -> str:
    port = patient.launcher.get("http_port")
    found = list(dict.fromkeys(map(str, _peers(port)))) if port else []
    more = f" and {len(found) - MAX_PEERS} more" if len(found) > MAX_PEERS else ""
    return ", ".join(found[:MAX_PEERS]) + more or "none is connected"


def _peers(port: int) -> Iterator[Address]:
    """Yield the addresses that are connected to a port of this machine, as the kernel sees them.

    Source: proc(5), /proc/net/tcp: addresses are words of 32 bits in the machine's own order.
    """
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / name).read_text("ascii").splitlines()[1:]:
                found = re.match(
                    r"\s*\d+: [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]+):[0-9A-F]{4} ([0-9A-F]{2}) ", line
                )
                if found and found[3] == ESTABLISHED and int(found[1], 16) == port:
                    yield _address(found[2])


def _address(words: str) -> Address:
    numbers = [int(words[start : start + 8], 16) for start in range(0, len(words), 8)]
    address = ipaddress.ip_address(struct.pack(f"={len(numbers)}I", *numbers))
    return getattr(address, "ipv4_mapped", None) or address


def check_denials(patient: Patient) -> Finding:
    """Whom access rules have turned away."""
    if patient.status is None:
        return unseen("the gateway doesn't answer")
    denied = patient.samples("tts_security_denied_total")
    seen = ", ".join(f"{count:.0f} by {rule}" for rule, count in denied.items()) or "nobody was turned away"
    command = "ttsctl supervisorctl tail gateway"
    if "peer_uid" in denied:
        return INTRUDED.found(seen, "find out who that is: nobody else has anything to do there", command)
    if "spoof" in denied:
        advice = "see access_denied in the log; a proxy of your own belongs into http.trusted_proxies"
        return SPOOFED.found(seen, advice, command)
    if denied:
        return DENIED.found(
            seen, "see access_denied in the log: a client of your own, or a stranger", command
        )
    return ok(seen)


def check_tracing(patient: Patient) -> Finding:
    """Whether the spans of traces arrive, where they are wanted."""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    endpoint = patient.settings.tracing.endpoint
    if not endpoint:
        return ok("no traces are sent")
    if patient.status is None:
        return unseen("the gateway doesn't answer")
    counts = patient.samples("tts_trace_spans_total")
    named = ", ".join(f"{count:.0f} {result}" for result, count in counts.items())
    seen = f"{endpoint}: {named or 'no spans yet'}"
    since = patient.sample("tts_trace_failing_since_timestamp_seconds")
    if since and time.time() - since > LOST_S:
        advice = "trace_collector_lost in the log says why; speech doesn't suffer from it"
        return COLLECTOR_LOST.found(seen, advice, "ttsctl logs --since 1h --level WARNING")
    return ok(seen)


def _own_address() -> str | None:
    """Return the address from which this machine would go out; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(SOMEWHERE)
        except OSError:
            return None
        return str(probe.getsockname()[0])


CHECKS = {
    "network": Check(
        check_network,
        (NO_NETWORK, LOCKED_OUT, WITHOUT_KEYS),
        "where it can be reached, with what, and whether the admin networks fit this machine",
    ),
    "admin_networks": Check(
        check_admin_networks,
        (ADMIN_WIDE, PROXIES_WIDE, ADMIN_BRIDGE),
        "networks that are trusted, and the peers as the gateway sees them",
    ),
    "denials": Check(check_denials, (INTRUDED, SPOOFED, DENIED), "whom access rules have turned away"),
    "tracing": Check(
        check_tracing, (COLLECTOR_LOST,), "whether the spans of traces arrive, where any are sent"
    ),
}
