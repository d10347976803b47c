"""What `ttsctl doctor` finds of the machine and the network."""

from __future__ import annotations

import ipaddress
import os
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from appliance.key_records import NewKey, Role, create, revoke
from appliance.key_store import change_records
from processes.ttsctl.checks import machine, network
from processes.ttsctl.finding import Verdict
from tests.unit.ttsctl.patients import lived, patient, planned, set_to, status


@pytest.mark.parametrize(("said_s", "verdict"), [(100.0, None), (3700.0, Verdict.WARN), (1.0, Verdict.WARN)])
def test_clock_when_it_was_moved_since_the_start_then_it_says_by_how_much(said_s, verdict):
    finding = machine.check_clock(patient(status=status([], **lived(100.0, said_s=said_s))))
    is_moved = "moved by" in finding.seen
    assert is_moved == (verdict is not None)
    assert (finding.fault == "clock_moved") == is_moved


def test_meminfo_when_read_then_in_bytes():
    text = "MemTotal:       16 kB\nMemAvailable:    8 kB\nHugePages_Total:       0\n"
    assert machine._meminfo(text) == {"MemTotal": 16_384, "MemAvailable": 8_192}


@pytest.mark.parametrize(
    ("version", "parts", "left"),
    [
        (0, "anon 1\ninactive_file 500\nslab 1\n", 600),
        (1, "inactive_file 500\ntotal_inactive_file 700\n", 800),
        (0, None, 100),
    ],
)
def test_memory_when_a_container_has_cached_files_then_they_count_as_available(
    tmp_path, monkeypatch, version, parts, left
):
    for name, content in zip(machine.MEMORY_LIMITS[version], ("1000\n", "900\n", parts), strict=True):
        if content is not None:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    assert list(machine._container_bytes()) == [left]


@pytest.fixture
def own_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cgroup (version 2) that this process is told to be in."""
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroups"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("0::/box\n")
    (cgroups / "box").mkdir(parents=True)
    monkeypatch.setattr(machine, "PROC", proc)
    monkeypatch.setattr(machine, "CGROUPS", cgroups)
    return cgroups / "box"


def test_oom_when_the_kernel_has_killed_then_news_is_a_warning_and_the_past_a_hint(own_cgroup):
    assert machine.check_oom(patient()).verdict is Verdict.UNSEEN
    (own_cgroup / "memory.events").write_text("oom 0\noom_kill 0\n")
    assert machine.check_oom(patient()).verdict is Verdict.OK
    (own_cgroup / "memory.events").write_text("oom 3\noom_kill 2\n")
    assert machine.check_oom(patient()).fault == "oom_before"
    killed = {"worker-tone-1": {"last_exit": "SIGKILL", "started_s": time.monotonic() - 60}}
    finding = machine.check_oom(patient(watched=killed))
    assert finding.fault == "oom_killed"
    assert finding.seen.startswith("2 processes")


def test_cores_when_the_quota_is_smaller_than_the_grants_or_throttles_then_it_warns(own_cgroup):
    (own_cgroup / "cpu.max").write_text("100000 100000\n")
    (own_cgroup / "cpu.stat").write_text("nr_periods 1000\nnr_throttled 100\n")
    assert machine.check_cores(patient()).seen == "1 cores, as many grants"
    finding = machine.check_cores(patient(settings=set_to(dispatch={"cores": 4})))
    assert (finding.fault, finding.seen) == ("grants_above_quota", "1 cores, 4 grants")
    (own_cgroup / "cpu.stat").write_text("nr_periods 1000\nnr_throttled 400\n")
    finding = machine.check_cores(patient())
    assert (finding.fault, "40% of 1000 periods" in finding.seen) == ("cpu_throttled", True)


@pytest.mark.parametrize(
    ("cpuinfo", "fault", "seen"),
    [
        ("flags\t\t: fma avx2 avx512_vnni\n", "", "avx512_vnni for"),
        ("flags\t\t: fma avx2 avx_vnni\n", "", "avx_vnni for"),
        ("flags\t\t: fma avx2\n", "vnni_missing", "no VNNI"),
        ("flags\t\t: sse4_2\n", "avx2_missing", "nor AVX2"),
        ("Features\t: fp asimd\n", "", "no x86-64"),
    ],
)
def test_cpu_when_there_are_vits_workers_then_what_it_lacks_for_them_is_told(
    tmp_path, monkeypatch, cpuinfo, fault, seen
):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{cpuinfo}")
    monkeypatch.setattr(machine, "PROC", tmp_path)
    finding = machine.check_cpu(patient(planned=planned(vits=4)))
    assert finding.fault == fault
    assert seen in finding.seen
    assert "vits" in machine.check_cpu(patient()).seen


def test_rights_when_it_runs_as_root_then_a_hint():
    finding = machine.check_rights(patient(launcher={"pid": os.getpid()}))
    assert (finding.fault == "runs_as_root") == (os.geteuid() == 0)


@pytest.mark.parametrize(
    ("roles", "networks", "fault", "said"),
    [
        ((), ["198.51.100.0/24"], "open_without_keys", "admin keys: 0; no key is asked for"),
        ((Role.SPEECH,), ["198.51.100.0/24"], "", "admin keys: 0"),
        ((Role.ADMIN,), ["192.0.2.0/24"], "open_without_keys", "admin keys: 1; no key is asked for"),
        ((Role.ADMIN, Role.SPEECH), ["192.0.2.0/24"], "", "admin keys: 1"),
        ((Role.ADMIN,), ["198.51.100.0/24"], "admin_locked_out", "admin keys: 1; its address is in none"),
    ],
)
def test_network_when_keys_were_created_then_they_count(tmp_path, monkeypatch, roles, networks, fault, said):
    monkeypatch.setattr(network, "_own_address", lambda: "192.0.2.7")
    monkeypatch.setattr(network, "is_in_container", lambda: False)
    sections = {"data": {"dir": tmp_path}, "admin": {"networks": networks}, "http": {"host": "0.0.0.0"}}
    settings = set_to(**sections)
    for role in roles:
        now = datetime.now(UTC)
        change_records(settings.keys_path(), partial(create, new=NewKey(role=role), now=now))
    finding = network.check_network(patient(settings=settings))
    assert finding.fault == fault
    assert said in finding.seen
    assert finding.command == {"open_without_keys": "ttsctl keys create"}.get(fault, finding.command)


def test_network_when_the_only_admin_key_is_revoked_then_nobody_is_locked_out(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "_own_address", lambda: "192.0.2.7")
    monkeypatch.setattr(network, "is_in_container", lambda: False)
    settings = set_to(data={"dir": tmp_path}, http={"require_key": True})
    now = datetime.now(UTC)
    issued = change_records(
        settings.keys_path(), lambda records: create(records, NewKey(role=Role.ADMIN), now)
    )
    assert network.check_network(patient(settings=settings)).fault == "admin_locked_out"
    change_records(settings.keys_path(), lambda records: revoke(records, issued.record.id, now))
    finding = network.check_network(patient(settings=settings))
    assert (finding.fault, "admin keys: 0" in finding.seen) == ("", True)
    settings.keys_path().write_text("{")
    assert network.check_network(patient(settings=settings)).verdict is Verdict.UNSEEN


@pytest.mark.parametrize(
    ("sections", "fault"),
    [
        ({"admin": {"networks": ["0.0.0.0/0"]}}, "admin_networks_wide"),
        ({"admin": {"networks": ["10.0.0.0/8"]}}, ""),
        ({"http": {"trusted_proxies": ["::/0"]}}, "proxies_wide"),
    ],
)
def test_networks_when_one_is_wider_than_anybodys_own_then_it_fails(monkeypatch, sections, fault):
    monkeypatch.setattr(network, "is_in_container", lambda: False)
    finding = network.check_admin_networks(patient(settings=set_to(**sections)))
    assert finding.fault == fault
    assert "peers as they are seen: none is connected" in finding.seen


@pytest.mark.parametrize(
    ("sections", "fault"),
    [
        ({"admin": {"networks": ["172.16.0.0/12"]}}, "admin_covers_bridge"),
        ({"http": {"trusted_proxies": ["172.18.0.1/32"]}}, "proxies_wide"),
        ({}, ""),
    ],
)
def test_networks_when_they_hold_the_bridge_of_a_container_then_everybody_would_be_let_in(
    tmp_path, monkeypatch, sections, fault
):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "route").write_text(
        "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t010012AC\t0003\neth0\t000012AC\t00000000\t0001\n"
    )
    monkeypatch.setattr(network, "is_in_container", lambda: True)
    monkeypatch.setattr(network, "PROC", tmp_path)
    finding = network.check_admin_networks(patient(settings=set_to(**sections)))
    assert finding.fault == fault
    assert "the bridge is 172.18.0.1" in finding.seen


def test_peers_when_they_are_connected_then_they_are_seen_as_the_kernel_sees_them(tmp_path, monkeypatch):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(
        "  sl  local_address rem_address   st\n"
        "   0: 00000000:1F40 00000000:0000 0A 0\n"
        "   1: 0100007F:1F40 3201A8C0:D2F1 01 0\n"
        "   2: 0100007F:1F41 0A01A8C0:D2F1 01 0\n"
    )
    (tmp_path / "net" / "tcp6").write_text(
        "  sl  local_address remote_address st\n"
        "   0: 0000000000000000FFFF00000100007F:1F40 0000000000000000FFFF0000010012AC:C001 01 0\n"
    )
    monkeypatch.setattr(network, "PROC", tmp_path)
    peers = [ipaddress.ip_address("192.168.1.50"), ipaddress.ip_address("172.18.0.1")]
    assert list(network._peers(8000)) == peers


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ({}, ""),
        ({"host": 3.0}, "denied"),
        ({"spoof": 1.0, "host": 2.0}, "spoofed"),
        ({"peer_uid": 1.0}, "intruded"),
    ],
)
def test_denials_when_somebody_was_turned_away_then_the_rule_tells_how_bad_it_is(rules, fault):
    metrics = {f'tts_security_denied_total{{rule="{rule}"}}': count for rule, count in rules.items()}
    metrics['tts_security_denied_total{rule="api_key"}'] = 0.0
    finding = network.check_denials(patient(status=status([]), metrics=metrics))
    assert finding.fault == fault


@pytest.mark.parametrize(
    ("since_s", "verdict", "fault"),
    [
        (None, "ok", ""),
        (10.0, "ok", ""),
        (network.LOST_S + 5, "warn", "trace_collector_lost"),
    ],
)
def test_tracing_when_the_collector_takes_nothing_for_long_then_named(since_s, verdict, fault):
    found = {
        'tts_trace_spans_total{result="failed"}': 7.0,
        "tts_trace_failing_since_timestamp_seconds": time.time() - since_s if since_s else 0.0,
    }
    traced = set_to(tracing={"endpoint": "http://otel:4318"})
    finding = network.check_tracing(patient(settings=traced, status=status([]), metrics=found))
    assert (finding.verdict, finding.fault) == (verdict, fault)
    assert finding.seen == "http://otel:4318: 7 failed"
    assert network.check_tracing(patient(settings=traced)).verdict == "unseen"
    assert network.check_tracing(patient(status=status([]))).seen == "no traces are sent"
