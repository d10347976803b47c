"""What `ttsctl doctor` finds of programs, processes, folders and the configuration."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.running import flatten
from appliance.settings import Settings
from appliance.store.migrations import SCHEMA_VERSION
from processes.ttsctl import process_table
from processes.ttsctl.checks import configuration, places, programs
from processes.ttsctl.finding import Verdict
from processes.ttsctl.patient import examine
from processes.ttsctl.process_table import IMPORTER, LAUNCHER, Process
from processes.ttsctl.remedies import end_holders
from tests.unit.ttsctl.patients import patient, planned, set_to, status
from tests.unit.ttsctl.patients import programs as listed


def died(**fields: Any) -> dict[str, Any]:
    return {"last_exit": "", "restarts": 1, "started_s": time.monotonic() - 60, **fields}


@pytest.mark.parametrize(
    ("known", "fault", "part"),
    [
        ({"programs": listed(gateway="RUNNING", exporter="STARTING")}, "", "2 programs"),
        (
            {"programs": listed(gateway="RUNNING", exporter="STOPPED")},
            "program_stopped",
            "exporter is STOPPED",
        ),
        ({"programs": listed(gateway="RUNNING", exporter="FATAL")}, "program_given_up", "exporter is FATAL"),
        ({"programs": listed(gateway="BACKOFF")}, "gateway_not_running", "gateway is BACKOFF"),
        ({"programs": None}, "not_running", "no launcher"),
        ({"programs": None, "launcher": {"pid": 7}}, "supervisord_silent", "doesn't answer"),
    ],
)
def test_programs_when_one_does_not_run_then_it_is_named(known, fault, part):
    finding = programs.check_programs(patient(**known))
    assert finding.fault == fault
    assert part in finding.seen


def test_programs_when_one_is_given_up_then_its_last_exit_is_told_and_the_command_starts_it():
    watched = {"exporter": died(last_exit="exit code 78")}
    known = patient(programs=listed(gateway="RUNNING", exporter="FATAL"), watched=watched)
    finding = programs.check_programs(known)
    assert finding.seen.endswith("the last exit of exporter was exit code 78")
    assert finding.command == "ttsctl supervisorctl start exporter"


def test_restarts_when_one_is_held_then_it_is_named_and_programs_says_nothing():
    held = died(degraded=True, held_until_s=1.0, last_exit="exit code 70", restarts=7)
    known = {
        "programs": [*listed(gateway="RUNNING"), {"name": "worker-tone-1", "statename": "STOPPED"}],
        "watched": {"worker-tone-1": held},
    }
    finding = programs.check_restarts(patient(**known))
    assert finding.fault == "program_held"
    assert "worker-tone-1 ends again and again (exit code 70, 7 restarts)" in finding.seen
    assert programs.check_programs(patient(**known)).verdict is Verdict.OK
    fine = patient(watched={"gateway": died(degraded=False)})
    assert programs.check_restarts(fine).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("how", "loss", "fault"),
    [
        ("SIGKILL", "lost", "died_killed"),
        ("SIGSEGV", "lost", "died_crashed"),
        ("SIGABRT", "hung", "died_hung"),
        ("SIGABRT", "progress", "died_hung"),
        ("hung", None, "died_hung"),
        ("SIGTERM", "protocol", "died_protocol"),
        ("exit code 3", "lost", "died"),
        ("expected", "recycled", ""),
        ("stopped", "lost", ""),
    ],
)
def test_deaths_when_one_has_ended_then_the_way_of_it_is_the_fault(how, loss, fault):
    workers = [{"name": "worker-tone-1", "last_loss": loss}]
    known = {"watched": {"worker-tone-1": died(last_exit=how)}, "status": status([], workers=workers)}
    assert programs.check_deaths(patient(**known)).fault == fault


def test_deaths_when_the_watchdog_was_killed_then_no_tail_of_it_is_asked_for():
    finding = programs.check_deaths(patient(watched={"watchdog": died(last_exit="SIGKILL")}))
    assert (finding.fault, finding.command) == ("died_killed", "ttsctl supervisorctl status watchdog")


def test_deaths_when_long_ago_or_of_the_importer_then_no_news():
    old = died(last_exit="SIGKILL", started_s=time.monotonic() - 2 * programs.NEWS_S)
    watched = {"gateway": old, "importer": died(last_exit="exit code 1")}
    assert programs.check_deaths(patient(watched=watched)).verdict is Verdict.OK


def test_suspended_when_a_process_is_stopped_then_the_command_has_it_go_on():
    processes = [Process(10, 1, LAUNCHER), Process(11, 10, "processes.gateway", state="T")]
    finding = programs.check_suspended(patient(processes=processes))
    assert (finding.fault, finding.command) == ("process_suspended", "kill -CONT 11")
    assert programs.check_suspended(patient(processes=processes[:1])).verdict is Verdict.OK


def test_logs_when_lines_were_lost_then_all_who_lost_some_are_added_up():
    lost = {"pid": 7, "log_lines_dropped": 5, "log_lines_suppressed": 100}
    metrics = {"tts_log_lines_dropped_total": 2.0, "tts_log_lines_suppressed_total": 11.0}
    finding = programs.check_logs(patient(launcher=lost, metrics=metrics))
    assert finding.fault == "log_lines_lost"
    assert finding.seen == "7 lines lost and 111 repeated ones held back since the start"
    assert programs.check_logs(patient(launcher={"log_lines_dropped": 0})).verdict is Verdict.OK


def test_leftovers_when_their_launcher_is_gone_then_they_are_named():
    family = [Process(10, 1, LAUNCHER), Process(11, 10, "processes.launcher.supervisord")]
    children = [Process(12, 11, "processes.gateway"), Process(13, 11, "processes.worker")]
    assert programs.check_leftovers(patient(processes=[*family, *children])).verdict is Verdict.OK
    orphan = Process(99, 1, "processes.worker")
    finding = programs.check_leftovers(patient(processes=[*family, *children, orphan]))
    assert (finding.verdict, finding.command) == (Verdict.FAIL, "kill 99")
    finding = programs.check_leftovers(patient(processes=children))
    assert finding.command == "kill 12 13"


def test_leftovers_when_somebody_imports_at_the_command_line_then_it_is_none_but_an_orphan_is():
    by_hand = [Process(20, 1, IMPORTER, is_by_hand=True), Process(21, 20, "processes.importer.maker")]
    finding = programs.check_leftovers(patient(processes=by_hand))
    assert (finding.verdict, "an import by hand" in finding.seen) == (Verdict.OK, True)
    of_the_dead = [Process(30, 1, IMPORTER), Process(31, 30, "processes.importer.maker")]
    finding = programs.check_leftovers(patient(processes=[*by_hand, *of_the_dead]))
    assert (finding.verdict, finding.command) == (Verdict.FAIL, "kill 30 31")


def test_port_when_it_is_below_1024_and_not_allowed_then_the_advice_is_about_that():
    refused = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    finding = programs.port_refused("http", ("", 80), refused)
    assert finding.fault == "port_unusable"
    assert "1024" in finding.advice
    assert "CAP_NET_BIND_SERVICE" in finding.advice
    foreign = programs.port_refused("http", ("192.0.2.1", 80), OSError(errno.EADDRNOTAVAIL, "none"))
    assert foreign.advice == "set http.host to an address of this machine"


def test_supervisor_when_it_would_listen_on_tcp_or_is_open_then_it_fails(run_dir):
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import socket, sys; socket.socket(1).bind(sys.argv[1])",
            f"{run_dir}/supervisor.sock",
        ],
        check=True,
    )
    path = run_dir / "supervisor.sock"
    path.chmod(0o700)
    assert programs.check_supervisor_access(patient(run_dir=run_dir)).verdict is Verdict.OK
    (run_dir / "supervisord.conf").write_text("[inet_http_server]\nport=9001\n")
    finding = programs.check_supervisor_access(patient(run_dir=run_dir))
    assert (finding.fault, "[inet_http_server]" in finding.seen) == ("supervisor_open", True)
    path.chmod(0o777)
    finding = programs.check_supervisor_access(patient(run_dir=run_dir))
    assert finding.command == f"chmod 700 {path}"


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
    assert process_table._module(words) == module


def test_run_directory_when_reached_through_a_link_then_it_is_the_same(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    environment = {"APPLIANCE_RUN_DIR": str(tmp_path / "run")}
    command = [sys.executable, "-c", "input('here')", "-m", "processes.worker"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"here"  # only then has /proc its whole command line for certain
        found = {each.pid: each.state for each in process_table.processes_of(tmp_path / "link")}
        assert process.pid in found
        assert found[process.pid] in "RS"
        assert process.pid not in {each.pid for each in process_table.processes_of(tmp_path)}
        process.communicate(b"\n")


def test_holders_when_somebody_has_a_file_open_then_it_is_named_with_the_command_that_ends_it(tmp_path):
    file = tmp_path / "database"
    file.write_bytes(b"")
    command = [sys.executable, "-c", "import sys; file = open(sys.argv[1]); input('here')", str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"here"
        seen, ending = end_holders(patient(), file)
        assert f"({process.pid})" in seen
        assert ending == f"kill {process.pid}"
        process.communicate(b"\n")
    assert end_holders(patient(), file) == ("", f"fuser -v {file}")


def test_packages_when_installed_from_the_lock_then_ok():
    finding = configuration.check_packages(patient())
    assert finding.verdict is Verdict.OK, finding


def test_packages_when_an_engine_lacks_some_then_it_fails_with_the_command_that_installs_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    finding = configuration.check_packages(patient(planned=planned(vits=1)))
    assert finding.fault == "package_missing"
    assert "missing for vits:" in finding.seen
    assert "onnxruntime" in finding.seen
    assert finding.command == "make .venv/neural.stamp"


def test_espeak_when_its_data_is_there_then_ok_and_without_its_workers_nobody_needs_it():
    assert configuration.check_espeak(patient()).verdict is Verdict.OK
    none = set_to(workers={"espeak": 0, "tone": 1})
    assert "no espeak worker" in configuration.check_espeak(patient(settings=none)).seen


def noted(settings: Settings) -> dict[str, Any]:
    return flatten(settings.model_dump(mode="json", by_alias=True))


def test_settings_when_one_was_changed_since_the_start_then_it_is_named_and_no_path_of_a_key():
    before = noted(set_to(http={"port": 8001, "api_keys_file": "old"}))
    now = set_to(http={"port": 8000, "api_keys_file": "new"})
    finding = configuration.check_running_settings(patient(settings=now, started_with=before))
    assert finding.fault == "settings_changed"
    assert finding.seen == "http.port is 8000 and was 8001 at the start, http.api_keys_file"
    same = patient(settings=now, started_with=noted(now))
    assert configuration.check_running_settings(same).verdict is Verdict.OK


def test_versions_when_the_gateway_is_of_another_then_a_restart_is_advised():
    finding = configuration.check_versions(
        patient(status=status([], version="0.0.9"), launcher={"version": "1"})
    )
    assert finding.fault == "version_differs"
    assert "0.0.9 gateway" in finding.seen


def test_env_file_when_others_may_read_it_then_the_command_closes_it(tmp_path, monkeypatch):
    path = tmp_path / ".env"
    monkeypatch.setattr(configuration, "ENV_FILE", path)
    assert configuration.check_secrets(patient()).verdict is Verdict.OK
    path.write_text("APPLIANCE_HTTP_PORT=8000\n")
    path.chmod(0o644)
    finding = configuration.check_secrets(patient())
    assert (finding.fault, finding.command) == ("env_file_open", f"chmod 600 {path}")
    path.chmod(0o600)
    assert configuration.check_secrets(patient()).verdict is Verdict.OK


def test_env_file_when_the_container_has_the_hosts_mounted_then_that_one_is_looked_at(tmp_path, monkeypatch):
    path = tmp_path / "env"
    path.write_text("APPLIANCE_HTTP_PORT=8000\n")
    path.chmod(0o644)
    monkeypatch.setenv("APPLIANCE_ENV_FILE", str(path))
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    finding = configuration.check_secrets(patient())
    assert (finding.fault, finding.command) == ("env_file_open", "chmod 600 .env")
    assert (str(path) in finding.seen, "on the host" in finding.advice) == (True, True)
    path.chmod(0o600)
    assert configuration.check_secrets(patient()).verdict is Verdict.OK


def test_examination_when_the_database_is_a_later_versions_then_that_is_the_fault(run_dir, monkeypatch):
    header = bytearray(b"SQLite format 3\0".ljust(100, b"\0"))
    header[60:64] = (SCHEMA_VERSION + 1).to_bytes(4, "big")
    header[68:72] = (0x54545341).to_bytes(4, "big")
    data = run_dir / "data"
    data.mkdir()
    (data / "appliance.sqlite").write_bytes(header)
    monkeypatch.setenv("APPLIANCE_DATA_DIR", str(data))
    found = examine(run_dir / "run")
    finding = configuration.check_configuration(found)
    assert finding.fault in ("newer_schema", "")
    assert (finding.fault == "newer_schema") == (found.settings_fault == "database")


def test_crumbs_when_a_core_file_or_a_half_written_one_is_left_then_the_command_removes_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(places, "CHECKOUT", tmp_path / "nowhere")
    run = tmp_path / "run"
    run.mkdir()
    assert places.check_crumbs(patient(run_dir=run, settings=None)).verdict is Verdict.OK
    (run / f"launcher.json.{os.getpid()}").write_text("{}")  # its writer lives
    assert places.check_crumbs(patient(run_dir=run, settings=None)).verdict is Verdict.OK
    half = run / f"launcher.json.{2**22 + 1}"
    half.write_text("{}")
    finding = places.check_crumbs(patient(run_dir=run, settings=None))
    assert (finding.fault, finding.command) == ("crumbs", f"rm {half}")
    (run / "core.17").write_bytes(b"")
    finding = places.check_crumbs(patient(run_dir=run, settings=None))
    assert (finding.fault, finding.command) == ("core_file", f"rm {run / 'core.17'}")


def test_data_when_others_may_write_or_read_then_the_command_forbids_it(tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    known = patient(settings=set_to(data={"dir": data}))
    assert places.check_data_directory(known).verdict is Verdict.OK
    data.chmod(0o777)
    finding = places.check_data_directory(known)
    assert (finding.fault, finding.command) == ("data_directory_open", f"chmod go-w {data}")
    data.chmod(0o700)
    another = tmp_path / "run"
    another.mkdir()
    if os.geteuid() == 0:  # who alone may give a folder away
        os.chown(another, 12345, -1)
        finding = places.check_data_directory(replace(known, run_dir=another, launcher={"pid": 7}))
        assert (finding.fault, finding.command) == ("data_directory_foreign", f"chown -R 12345 {data}")
        finding = places.check_run_directory(replace(known, run_dir=another))
        assert finding.command == "sudo -u '#12345' ttsctl doctor"
    database = data / "appliance.sqlite"
    database.touch(mode=0o644)
    finding = places.check_data_directory(known)
    assert (finding.fault, finding.command) == ("database_open", f"chmod 600 {database}")


def test_sockets_when_something_else_lies_in_their_place_then_it_is_in_the_way(run_dir):
    (run_dir / "gateway.sock").write_text("no socket")
    finding = places.check_sockets(patient(run_dir=run_dir))
    assert (finding.fault, finding.command) == ("socket_foreign", f"rm {run_dir / 'gateway.sock'}")
    (run_dir / "gateway.sock").unlink()
    running = patient(run_dir=run_dir, watched={"gateway": {"state": "RUNNING"}})
    finding = places.check_sockets(running)
    assert (finding.fault, finding.seen) == ("socket_removed", "not there: workers.sock, gateway.sock")


def test_disk_when_its_limits_are_set_then_those_count(tmp_path):
    settings = set_to(data={"dir": tmp_path}, disk={"alert_ratio": 0.0001, "refuse_ratio": 1.0})
    finding = places.check_disk(patient(run_dir=tmp_path, settings=settings))
    assert finding.fault == "disk_filling"
    assert finding.command.startswith("du -xh --max-depth=2 /")
    kept = {"files": {"bytes": 2**30}}
    finding = places.check_disk(patient(run_dir=tmp_path, settings=settings, cache=kept))
    assert finding.command == "ttsctl cache purge"


def test_ballast_when_it_is_gone_for_minutes_then_it_warns(tmp_path):
    settings = set_to(data={"dir": tmp_path}, store={"ballast_bytes": 1000})
    young = patient(settings=settings, status=status([], uptime_s=10.0))
    assert places.check_ballast(young).verdict is Verdict.OK
    old = patient(settings=settings, status=status([], uptime_s=500.0))
    assert places.check_ballast(old).fault == "ballast_missing"
    Path(tmp_path / "ballast").write_bytes(bytes(1000))
    assert places.check_ballast(old).verdict is Verdict.OK
