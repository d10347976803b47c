import errno
import os
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.pools import Facts, Pool, plan_pools, restart_hint
from appliance.settings import Settings, load_settings
from processes.ttsctl import checks_appliance as of_appliance
from processes.ttsctl import checks_machine as of_machine
from processes.ttsctl import patient as of_patient
from processes.ttsctl.doctor import format_findings, look
from processes.ttsctl.finding import Finding, Verdict, fail, ok, warn, worst
from processes.ttsctl.patient import IMPORTER, LAUNCHER, Patient, Process

NOWHERE = Path("/nowhere/run")


FACTS = Facts(cores=2, memory_bytes=None, voiced=frozenset(), missing={})


def planned(**workers: int) -> tuple[Pool, ...]:
    return plan_pools(Settings.model_validate({"workers": workers}), FACTS).pools


def patient(**known: Any) -> Patient:
    usual = {"run_dir": NOWHERE, "settings": load_settings({}), "planned": planned()}
    return Patient(**{**usual, **known})


def programs(**states: str) -> list[dict[str, object]]:
    return [{"name": name, "statename": state, "pid": 0} for name, state in states.items()]


def status(engine_states: list[tuple[str, str]], **fields: object) -> dict[str, object]:
    workers = [{"engine": engine, "state": state} for engine, state in engine_states]
    usual = {"status": "ok", "queue": {"waiting": 0}, "requests": {"in_flight": 0}}
    return {**usual, "workers": workers, **fields}


def lived(uptime_s: float, *, said_s: float) -> dict[str, object]:
    since = datetime.now(UTC) - timedelta(seconds=uptime_s)
    return {"since": since.isoformat(timespec="seconds"), "uptime_s": said_s}


def test_worst_when_findings_differ_then_the_worst_and_all_that_is_as_bad():
    assert worst([ok("a"), fail("b", "do b"), warn("c", ""), fail("d", "do d")]) == fail("b; d", "do b")
    assert worst([ok("a"), ok("b")]) == ok("a; b")


@pytest.mark.parametrize(
    ("known", "verdict", "part"),
    [
        ({"programs": programs(gateway="RUNNING", exporter="STARTING")}, Verdict.OK, "2 programs"),
        ({"programs": programs(gateway="RUNNING", exporter="STOPPED")}, Verdict.WARN, "exporter is STOPPED"),
        ({"programs": programs(gateway="RUNNING", exporter="FATAL")}, Verdict.FAIL, "exporter is FATAL"),
        ({"programs": programs(gateway="BACKOFF")}, Verdict.FAIL, "gateway is BACKOFF"),
        ({"programs": None}, Verdict.FAIL, "no launcher"),
        ({"programs": None, "launcher": {"pid": 7}}, Verdict.FAIL, "doesn't answer"),
    ],
)
def test_programs_when_one_does_not_run_then_it_is_named(known, verdict, part):
    finding = of_appliance.check_programs(patient(**known))
    assert finding.verdict is verdict
    assert part in finding.seen


@pytest.mark.parametrize(
    ("states", "verdict", "seen"),
    [
        ([("espeak", "ready"), ("espeak", "busy")], Verdict.OK, "espeak 2 of 2"),
        ([("espeak", "ready"), ("espeak", "hung")], Verdict.WARN, "espeak 1 of 2"),
        ([("tone", "ready")], Verdict.FAIL, "espeak 0 of 2"),
    ],
)
def test_workers_when_compared_with_the_pools_then_who_is_missing_counts(states, verdict, seen):
    finding = of_appliance.check_workers(patient(status=status(states)))
    assert (finding.verdict, finding.seen) == (verdict, seen)


def test_pools_when_a_start_would_choose_others_then_that_is_advised():
    running = [asdict(pool) for pool in planned()]
    finding = of_appliance.check_pools(patient(launcher={"pools": running}))
    assert (finding.verdict, finding.advice) == (Verdict.OK, "")
    assert finding.seen.startswith("espeak 2, as many as cores; vits 0, no voice is imported")
    finding = of_appliance.check_pools(patient(launcher={"pools": running}, planned=planned(vits=3)))
    assert (finding.verdict, finding.advice) == (Verdict.WARN, f"{restart_hint(['vits'])}: vits 3, as set")


def test_pools_when_one_is_too_small_then_it_warns_and_names_the_page():
    short = replace(planned()[2], is_short=True)
    finding = of_appliance.check_pools(patient(planned=(short,)))
    assert finding.verdict is Verdict.WARN
    assert "capacity.md" in finding.advice


@pytest.mark.parametrize(
    ("said", "verdict"),
    [("ok", Verdict.OK), ("draining", Verdict.WARN), ("degraded", Verdict.WARN), ("down", Verdict.FAIL)],
)
def test_gateway_when_it_says_how_it_is_then_that_is_the_verdict(said, verdict):
    assert of_appliance.check_gateway(patient(status=status([], status=said))).verdict is verdict


@pytest.mark.parametrize(
    ("speech", "verdict", "part"),
    [
        ({"status": "ok", "engine": "espeak", "sample_latency_ms": 5.0}, Verdict.OK, "5 ms"),
        ({"status": "busy", "engine": "espeak", "sample_latency_ms": None}, Verdict.OK, "busy"),
        ({"status": "starting", "engine": "espeak", "cause": None}, Verdict.WARN, "starting"),
        ({"status": "down", "engine": "espeak", "cause": "silence"}, Verdict.FAIL, "silence"),
    ],
)
def test_speech_when_the_last_probe_is_known_then_it_is_the_verdict(speech, verdict, part):
    finding = of_appliance.check_speech(patient(speech=speech))
    assert finding.verdict is verdict
    assert part in finding.seen


def test_logs_when_lines_were_lost_then_all_who_lost_some_are_added_up():
    lost = {"log_lines_dropped": 5, "log_lines_suppressed": 100}
    metrics = {"tts_log_lines_dropped_total": 2.0, "tts_log_lines_suppressed_total": 11.0}
    finding = of_appliance.check_logs(patient(launcher=lost, metrics=metrics))
    assert finding.verdict is Verdict.WARN
    assert finding.seen == "7 lines lost and 111 repeated ones held back since the start"
    assert of_appliance.check_logs(patient(launcher={"log_lines_dropped": 0})).verdict is Verdict.OK


def test_leftovers_when_their_launcher_is_gone_then_they_are_named():
    family = [Process(10, 1, LAUNCHER), Process(11, 10, "processes.launcher.supervisord")]
    children = [Process(12, 11, "processes.gateway"), Process(13, 11, "processes.worker")]
    assert of_appliance.check_leftovers(patient(processes=[*family, *children])).verdict is Verdict.OK
    orphan = Process(99, 1, "processes.worker")
    finding = of_appliance.check_leftovers(patient(processes=[*family, *children, orphan]))
    assert (finding.verdict, finding.advice) == (Verdict.FAIL, "kill 99")
    finding = of_appliance.check_leftovers(patient(processes=children))
    assert finding.advice == "kill 12 13"


def test_leftovers_when_somebody_imports_at_the_command_line_then_it_is_none_but_an_orphan_is():
    by_hand = [Process(20, 1, IMPORTER, is_by_hand=True), Process(21, 20, "processes.importer.maker")]
    finding = of_appliance.check_leftovers(patient(processes=by_hand))
    assert (finding.verdict, "an import by hand" in finding.seen) == (Verdict.OK, True)
    of_the_dead = [Process(30, 1, IMPORTER), Process(31, 30, "processes.importer.maker")]
    finding = of_appliance.check_leftovers(patient(processes=[*by_hand, *of_the_dead]))
    assert (finding.verdict, finding.advice) == (Verdict.FAIL, "kill 30 31")


@pytest.mark.parametrize(("said_s", "verdict"), [(100.0, None), (3700.0, Verdict.WARN), (1.0, Verdict.WARN)])
def test_clock_when_it_was_moved_since_the_start_then_it_says_by_how_much(said_s, verdict):
    finding = of_machine.check_clock(patient(status=status([], **lived(100.0, said_s=said_s))))
    is_moved = "moved by" in finding.seen
    assert is_moved == (verdict is not None)
    assert not is_moved or finding.verdict is verdict


def test_meminfo_when_read_then_in_bytes():
    text = "MemTotal:       16 kB\nMemAvailable:    8 kB\nHugePages_Total:       0\n"
    assert of_machine._meminfo(text) == {"MemTotal": 16_384, "MemAvailable": 8_192}


def test_check_when_it_raises_anything_then_a_warning_names_the_class(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal:       16 kB\nMemFree:    8 kB\n")  # as gVisor's
    monkeypatch.setattr(of_machine, "PROC", tmp_path)
    finding = look(of_machine.check_memory, patient())
    assert finding.verdict is Verdict.WARN
    assert "KeyError: 'MemAvailable'" in finding.seen


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
    for name, content in zip(of_machine.MEMORY_LIMITS[version], ("1000\n", "900\n", parts), strict=True):
        if content is not None:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
    monkeypatch.setattr(of_machine, "CGROUPS", tmp_path)
    assert list(of_machine._container_bytes()) == [left]


@pytest.mark.parametrize(
    ("cpuinfo", "verdict", "seen"),
    [
        ("flags\t\t: fma avx2 avx512_vnni\n", Verdict.OK, "avx512_vnni for"),
        ("flags\t\t: fma avx2 avx_vnni\n", Verdict.OK, "avx_vnni for"),
        ("flags\t\t: fma avx2\n", Verdict.WARN, "no VNNI"),
        ("flags\t\t: sse4_2\n", Verdict.WARN, "nor AVX2"),
        ("Features\t: fp asimd\n", Verdict.OK, "no x86-64"),
    ],
)
def test_cpu_when_there_are_vits_workers_then_what_it_lacks_for_them_is_told(
    tmp_path, monkeypatch, cpuinfo, verdict, seen
):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{cpuinfo}")
    monkeypatch.setattr(of_machine, "PROC", tmp_path)
    finding = of_machine.check_cpu(patient(planned=planned(vits=4)))
    assert finding.verdict is verdict
    assert seen in finding.seen
    assert "vits" in of_machine.check_cpu(patient()).seen


def test_port_when_it_is_below_1024_and_not_allowed_then_the_advice_is_about_that():
    refused = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    advice = of_appliance._port_advice("http", 80, refused)
    assert "1024" in advice
    assert "CAP_NET_BIND_SERVICE" in advice
    foreign = OSError(errno.EADDRNOTAVAIL, "")
    assert of_appliance._port_advice("http", 80, foreign) == "set http.host to an address of this machine"


@pytest.mark.parametrize(
    ("words", "module"),
    [
        (["python", "-m", "processes.worker", "--slot", "1"], "processes.worker"),
        (["python", "-X", "dev", "-m", "processes.gateway"], "processes.gateway"),
        (["/opt/venv/bin/python", "/opt/venv/bin/tts-launcher"], LAUNCHER),
        (["grep", "-r", "processes.worker", "."], None),
        (["less", "-m"], None),
    ],
)
def test_process_when_its_command_line_is_read_then_only_a_module_that_is_run_counts(words, module):
    assert of_patient._module(words) == module


def test_run_directory_when_reached_through_a_link_then_it_is_the_same(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    environment = {"APPLIANCE_RUN_DIR": str(tmp_path / "run")}
    command = [sys.executable, "-c", "input('here')", "-m", "processes.worker"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"here"  # only then has /proc its whole command line for certain
        found = {each.pid for each in of_patient._processes(tmp_path / "link")}
        assert process.pid in found
        assert process.pid not in {each.pid for each in of_patient._processes(tmp_path)}
        process.communicate(b"\n")


def test_packages_when_installed_from_the_lock_then_ok():
    finding = of_machine.check_packages(patient())
    assert finding.verdict is Verdict.OK, finding


def test_packages_when_an_engine_lacks_some_then_it_fails_with_the_command_that_installs_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    finding = of_machine.check_packages(patient(planned=planned(vits=1)))
    assert finding.verdict is Verdict.FAIL
    assert "missing for vits:" in finding.seen
    assert "onnxruntime" in finding.seen
    assert "make .venv/neural.stamp" in finding.advice


def test_espeak_when_its_data_is_there_then_ok_and_without_its_workers_nobody_needs_it():
    assert of_machine.check_espeak(patient()).verdict is Verdict.OK
    none = Settings.model_validate({"workers": {"espeak": 0, "tone": 1}})
    assert "no espeak worker" in of_machine.check_espeak(patient(settings=none)).seen


def test_checks_when_the_settings_are_wrong_then_those_that_need_them_say_so():
    broken = patient(settings=None, settings_error="http.port = 'x': no number")
    assert of_appliance.check_configuration(broken).seen == "http.port = 'x': no number"
    for check in (of_appliance.check_ports, of_appliance.check_workers, of_machine.check_network):
        assert check(broken).verdict is Verdict.WARN
    for check in (of_machine.check_disk, of_machine.check_memory, of_machine.check_espeak):
        assert check(broken).seen


def test_findings_when_laid_out_then_the_advice_stands_below_and_the_sum_at_the_end():
    text = format_findings({"a": ok("fine"), "longer": Finding(Verdict.FAIL, "broken", "mend it")})
    assert text.splitlines() == [
        "ok    a       fine",
        "fail  longer  broken",
        "              do: mend it",
        "",
        "1 ok, 0 to look at, 1 to mend",
    ]
