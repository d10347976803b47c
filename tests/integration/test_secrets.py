"""Secrets in the launcher's environment: in files before anything else starts, and nowhere else."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from appliance.lifecycle import EXIT_CONFIG
from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, launcher_environment, run_launcher
from tests.parts.keys import ask, speak_with
from tests.parts.ttsctl import run_ttsctl, run_ttsctl_in

pytestmark = pytest.mark.timeout(120)
API_KEY, OTHER_KEY, ADMIN_KEY = "CANARY-api-7f3a", "CANARY-other-51c8", "CANARY-admin-90be"


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(
        HTTP_API_KEYS=f"{API_KEY},{OTHER_KEY}", ADMIN_KEY=ADMIN_KEY, VOICES_DEFAULT="tone-low"
    )
    made.wait_until_ready()
    made.wait_until_running()
    return made


def test_keys_when_given_in_the_environment_then_they_are_in_force(appliance: Appliance) -> None:
    statuses = [speak_with(appliance, key).status for key in ("", API_KEY, OTHER_KEY, ADMIN_KEY)]
    assert statuses == [401, 200, 200, 200]
    assert [ask(appliance, "/admin/status", key).status for key in (API_KEY, ADMIN_KEY)] == [401, 200]
    said = run_ttsctl(appliance, "keys", "list").stdout
    assert "speech needs a key; those of http.api_keys_file open it, too" in said


def test_environ_when_read_of_every_process_then_none_holds_a_secret(appliance: Appliance) -> None:
    processes = [psutil.Process(appliance.process.pid)]
    processes += processes[0].children(recursive=True)
    assert len(processes) >= 6  # launcher, supervisord, gateway, worker, exporter, watchdog
    for process in processes:
        variables = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert b"APPLIANCE_RUN_DIR=" in variables, process.cmdline()
        assert b"CANARY" not in variables, process.cmdline()
        assert "CANARY" not in " ".join(process.cmdline())
    names = [path.name for path in (appliance.run_dir / "secrets").iterdir()]
    assert sorted(names) == ["admin_key", "http_api_keys"]
    for name in names:
        assert stat.S_IMODE((appliance.run_dir / "secrets" / name).stat().st_mode) == 0o600


def test_gateway_when_it_is_started_again_then_the_keys_are_still_in_force(appliance: Appliance) -> None:
    seen = len(appliance.lines)
    run_ttsctl(appliance, "supervisorctl", "restart", "gateway")
    appliance.wait_for("worker_joined", after=seen)
    appliance.wait_for("gateway_ready", after=seen)
    assert [speak_with(appliance, key).status for key in ("", API_KEY)] == [401, 200]


def test_check_config_when_the_appliance_runs_with_secrets_then_it_shows_none(appliance: Appliance) -> None:
    checked = run_ttsctl(appliance, "check-config", "--json")
    assert json.loads(checked.stdout)["ok"]
    assert "CANARY" not in checked.stdout + checked.stderr


def test_launcher_when_it_stops_then_the_files_of_secrets_are_gone(run_dir: Path) -> None:
    appliance = Appliance(run_dir, ADMIN_KEY=ADMIN_KEY)
    try:
        appliance.wait_until_ready()
        assert (appliance.run_dir / "secrets" / "admin_key").read_text() == f"{ADMIN_KEY}\n"
        assert appliance.stop() == 0
        assert list((appliance.run_dir / "secrets").iterdir()) == []
    finally:
        appliance.close()


def test_launcher_when_killed_before_then_the_next_one_removes_what_it_has_left(run_dir: Path) -> None:
    left = run_dir / "run" / "secrets" / "admin_key"
    left.parent.mkdir(parents=True)
    left.write_text(ADMIN_KEY)
    appliance = Appliance(run_dir)
    try:
        appliance.wait_until_ready()
        assert not left.exists()
    finally:
        appliance.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"HTTP_API_KEYS": "CANARY one"}, "APPLIANCE_HTTP_API_KEYS: a key may have visible characters"),
        ({"ADMIN_KEY": ","}, "APPLIANCE_ADMIN_KEY: holds no key"),
        ({"ADMIN_KEY": "CANARY", "ADMIN_KEY_FILE": "run/x"}, "APPLIANCE_ADMIN_KEY_FILE is set, too"),
        ({"HTTP_API_KEY": "CANARY"}, "APPLIANCE_HTTP_API_KEY: no such setting"),
    ],
)
def test_launcher_when_a_secret_is_wrong_then_78_and_a_line_without_it(
    run_dir: Path, settings: dict[str, str], words: str
) -> None:
    launched = run_launcher(run_dir, **settings)
    checked = run_ttsctl_in(launcher_environment(run_dir, **settings), "check-config")
    assert (launched.returncode, checked.returncode) == (EXIT_CONFIG, ExitCode.BAD_CONFIGURATION)
    for said in (launched.stderr, checked.stderr):
        assert words in said
        assert said.count("\n") == 1
        assert "CANARY" not in said


@pytest.mark.parametrize(("mode", "is_fine"), [(0o600, True), (0o400, True), (0o644, False), (0o640, False)])
def test_launcher_when_the_env_file_has_a_mode_then_only_a_private_one_is_fine(
    run_dir: Path, mode: int, *, is_fine: bool
) -> None:
    env_file = run_dir / ".env"
    env_file.write_text("APPLIANCE_ADMIN_KEY=CANARY\n")
    env_file.chmod(mode)
    launched = run_launcher(run_dir, "--check-config", ENV_FILE=env_file)
    checked = run_ttsctl_in(launcher_environment(run_dir, ENV_FILE=env_file), "check-config")
    assert (launched.returncode == 0, checked.returncode == 0) == (is_fine, is_fine)
    if not is_fine:
        assert (launched.returncode, checked.returncode) == (EXIT_CONFIG, ExitCode.BAD_CONFIGURATION)
        for said in (launched.stderr, checked.stderr):
            assert f"APPLIANCE_ENV_FILE: {env_file}: its mode is {mode:04o}; chmod 600 the .env" in said
        assert run_launcher(run_dir, ENV_FILE=env_file).returncode == EXIT_CONFIG
        assert not (run_dir / "run").exists()  # refused before anything was touched


def test_launcher_when_the_env_file_is_another_users_then_its_mode_is_seen_all_the_same(
    run_dir: Path,
) -> None:
    env_file = run_dir / ".env"
    env_file.write_text("")
    env_file.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(env_file, 12345, 12345)  # as in a container, where it is the host's
    assert run_launcher(run_dir, "--check-config", ENV_FILE=env_file).returncode == 0
