"""`ttsctl doctor` beside a real appliance that is well, broken or not there."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.settings import ROOT
from processes.ttsctl.doctor import CHECKS
from processes.ttsctl.finding import Verdict
from processes.ttsctl.outcome import ExitCode
from processes.ttsctl.remedies import is_in_container
from tests.parts.appliance import (
    Appliance,
    eventually,
    free_port,
    launcher_environment,
    running_appliance,
    taken_port,
)
from tests.parts.ttsctl import run_ttsctl, run_ttsctl_in
from tests.parts.worker_link import WorkerProcess

pytestmark = pytest.mark.timeout(120)

OF_THE_MACHINE = {"disk", "memory", "oom", "clock", "network", "crumbs", "secrets", "loop"}
"""What they say depends on where the tests run, and what else does."""
FINE = {"ok", "hint"}


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    # A gateway that a test has stopped is left to it: the watchdog would kill it after 5 s.
    made = appliance_factory(VOICES_DEFAULT="tone-low", WATCHDOG_SILENCE_S=0)
    made.wait_until_ready()
    made.wait_until_running()
    eventually(lambda: set(verdicts(made).values()) <= FINE)
    return made


def findings(environment: dict[str, str]) -> tuple[int, dict[str, dict[str, str]]]:
    done = run_ttsctl_in(environment, "doctor", "--json")
    return done.returncode, {each["name"]: each for each in json.loads(done.stdout)["checks"]}


def verdicts(appliance: Appliance) -> dict[str, str]:
    """What is said of the appliance itself."""
    found = findings(appliance.environment)[1]
    return {name: each["verdict"] for name, each in found.items() if name not in OF_THE_MACHINE}


def test_doctor_when_all_is_well_then_every_check_says_what_it_saw(appliance: Appliance) -> None:
    code, found = findings(appliance.environment)
    assert list(found) == list(CHECKS)
    assert all(each["seen"] for each in found.values())
    for each in found.values():
        assert {each["advice"] is None, each["command"] is None, each["fault"] is None} == {
            each["verdict"] == "ok"
        }
    assert code in (ExitCode.OK, ExitCode.FAILED)  # the machine may have little room, or much to do
    assert f"http: {appliance.port} is ours" in found["ports"]["seen"]
    assert "tone 1 of 1" in found["workers"]["seen"]


@pytest.mark.parametrize("settings", [{}, {"APPLIANCE_HTTP_PORT": "many", "APPLIANCE_WORKERS_TONE": "7"}])
def test_doctor_when_the_shell_has_other_settings_then_those_of_the_launcher_count(
    appliance: Appliance, settings: dict[str, str]
) -> None:
    others = {name: text for name, text in os.environ.items() if not name.startswith("APPLIANCE_")}
    found = findings(others | settings | {"APPLIANCE_RUN_DIR": str(appliance.run_dir)})[1]
    assert {found[name]["verdict"] for name in set(CHECKS) - OF_THE_MACHINE} <= FINE
    assert "tone 1 of 1" in found["workers"]["seen"]


def test_doctor_when_a_person_asks_then_a_line_for_each_check(appliance: Appliance) -> None:
    lines = run_ttsctl(appliance, "doctor").stdout.splitlines()
    assert [line.split()[1] for line in lines if line.split()[:1] and line.split()[0] in [*Verdict]] == list(
        CHECKS
    )


def test_doctor_when_it_is_drained_then_it_says_how_to_end_that(appliance: Appliance) -> None:
    run_ttsctl(appliance, "drain", "on")
    try:
        found = findings(appliance.environment)[1]["gateway"]
        assert (found["verdict"], found["command"]) == ("warn", "ttsctl drain off")
    finally:
        run_ttsctl(appliance, "drain", "off")


def test_doctor_when_the_only_worker_is_stopped_then_2_and_it_is_named(appliance: Appliance) -> None:
    run_ttsctl(appliance, "supervisorctl", "stop", "worker-tone-1")
    try:
        code, found = findings(appliance.environment)
        assert code == ExitCode.DOWN
        assert found["programs"]["seen"] == "worker-tone-1 is STOPPED"
        assert found["workers"]["fault"] == "no_worker"
        assert found["workers"]["command"] == "ttsctl supervisorctl start worker-tone-1"
    finally:
        run_ttsctl(appliance, "supervisorctl", "start", "worker-tone-1")
    eventually(lambda: set(verdicts(appliance).values()) <= FINE)


def test_doctor_when_the_gateway_hangs_then_it_says_so_and_still_ends(appliance: Appliance) -> None:
    gateway = appliance.program("gateway")
    gateway.send_signal(signal.SIGSTOP)
    try:
        code, found = findings(appliance.environment)
    finally:
        gateway.send_signal(signal.SIGCONT)
    assert code == ExitCode.DOWN
    assert found["gateway"]["fault"] == "gateway_silent"
    assert found["suspended"]["command"] == f"kill -CONT {gateway.pid}"
    assert found["workers"]["verdict"] == "unseen"
    assert found["ports"]["verdict"] == "ok"
    eventually(lambda: set(verdicts(appliance).values()) <= FINE)


def test_doctor_when_supervisord_hangs_then_that_is_all_it_complains_of(appliance: Appliance) -> None:
    supervisord = appliance.supervisord()
    supervisord.suspend()
    try:
        code, found = findings(appliance.environment)
        asked = run_ttsctl(appliance, "status")
    finally:
        supervisord.resume()
    assert (code, asked.returncode) == (ExitCode.DOWN, ExitCode.FAILED)
    assert {name for name, each in found.items() if each["verdict"] == "fail"} - OF_THE_MACHINE == {
        "suspended",
        "programs",
    }
    assert found["programs"]["seen"] == "supervisord doesn't answer"
    assert asked.stdout.splitlines()[1] == "problem: supervisord doesn't answer: timed out"
    eventually(lambda: set(verdicts(appliance).values()) <= FINE)


def test_doctor_when_others_may_enter_the_run_directory_then_it_fails(appliance: Appliance) -> None:
    appliance.run_dir.chmod(0o755)
    try:
        found = findings(appliance.environment)[1]["run_directory"]
    finally:
        appliance.run_dir.chmod(0o700)
    assert (found["verdict"], "mode 0755" in found["seen"]) == ("fail", True)
    assert found["command"] == f"chmod 700 {appliance.run_dir}"


def test_doctor_when_the_run_directory_is_given_then_its_commands_name_it(appliance: Appliance) -> None:
    run_ttsctl(appliance, "drain", "on")
    try:
        done = run_ttsctl(appliance, "doctor", "--json", "--run-dir", str(appliance.run_dir))
    finally:
        run_ttsctl(appliance, "drain", "off")
    found = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
    assert found["gateway"]["command"] == f"ttsctl --run-dir {appliance.run_dir} drain off"


def test_doctor_when_a_setting_was_changed_since_the_start_then_it_is_named(
    run_dir: Path,
) -> None:
    file = run_dir / "appliance.toml"
    file.write_text('[voices]\ndefault = "tone-low"\n')
    shutil.copy(ROOT / "config" / "voices.toml", run_dir)
    with running_appliance(run_dir, CONFIG=file) as appliance:
        file.write_text('[voices]\ndefault = "tone-low"\n[jobs]\nrunning = 3\n')
        found = findings(appliance.environment)[1]["running_settings"]
        assert found["fault"] == "settings_changed"
        assert found["seen"] == "jobs.running is 3 and was 2 at the start"
        assert found["command"].endswith("config apply")


def test_doctor_when_nothing_runs_then_the_machine_is_checked_all_the_same(run_dir: Path) -> None:
    code, found = findings(launcher_environment(run_dir))
    assert code == ExitCode.DOWN
    assert {name for name, each in found.items() if each["verdict"] == "fail"} - OF_THE_MACHINE == {
        "programs"
    }
    assert found["gateway"]["verdict"] == "unseen"
    assert found["leftovers"]["seen"] == "none"
    assert found["packages"]["verdict"] == "ok"


def test_doctor_when_a_port_is_taken_then_it_says_how_to_find_out_by_whom(run_dir: Path) -> None:
    listener, port = taken_port()
    with listener:
        found = findings(launcher_environment(run_dir, HTTP_PORT=port))[1]["ports"]
    assert found["verdict"] == "fail"
    assert f"sport = :{port}" in found["command"]


def test_doctor_when_one_port_is_set_for_both_servers_then_it_says_so(run_dir: Path) -> None:
    port = free_port()
    found = findings(launcher_environment(run_dir, HTTP_PORT=port, EXPORTER_PORT=port))[1]["ports"]
    assert found["verdict"] == "fail"
    assert found["seen"] == f"exporter: {port} on 127.0.0.1: Address already in use"
    assert found["advice"] == "give http.port and exporter.port different numbers"


def test_doctor_when_a_setting_is_wrong_then_it_is_named_and_the_rest_is_checked(run_dir: Path) -> None:
    code, found = findings(launcher_environment(run_dir, HTTP_PORT="many"))
    assert code == ExitCode.DOWN
    assert "http.port = 'many'" in found["configuration"]["seen"]
    assert found["packages"]["verdict"] == "ok"


def test_doctor_when_a_worker_has_outlived_its_appliance_then_it_is_named(run_dir: Path) -> None:
    base = run_dir
    environment = launcher_environment(base)
    with WorkerProcess(base / "run", APPLIANCE_WORKERS_TONE="1") as worker:
        found = findings(environment)[1]["leftovers"]
        assert found["verdict"] == "fail"
        assert found["command"] == f"kill {worker.pid}"
        os.kill(worker.pid, signal.SIGKILL)


def test_doctor_when_an_admin_key_is_set_and_the_address_is_foreign_then_it_warns_of_the_lock_out(
    run_dir: Path,
) -> None:
    key_file = run_dir / "key"
    key_file.write_text("a-key-that-is-long-enough-to-be-one\n")
    key_file.chmod(0o600)
    environment = launcher_environment(run_dir, ADMIN_KEY_FILE=key_file, ADMIN_NETWORKS="203.0.113.0/24")
    found = findings(environment)[1]
    assert found["configuration"]["verdict"] == "ok", found["configuration"]
    if not is_in_container():  # whose address says nothing about the operator's network
        assert found["network"]["verdict"] == "warn"
    assert "a-key" not in json.dumps(found)
