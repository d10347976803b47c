"""`ttsctl upgrade --check`: what can be known here, against real databases and backups."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import appliance as product
from appliance.store.manifests import manifest_path_of
from appliance.store.migrations import SCHEMA_VERSION
from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance
from tests.parts.ttsctl import environment_of, run_ttsctl, run_ttsctl_in

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    appliance = appliance_factory(VOICES_DEFAULT="tone-low")
    appliance.wait_until_ready()
    appliance.wait_for("store_open")
    return appliance


def notes(folder: Path, **facts: object) -> Path:
    path = folder / "notes.md"
    path.write_text("# Notes\n\n" + "".join(f"{name}: {value}\n" for name, value in facts.items()))
    return path


def verdicts(told: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in told["checks"]}


def test_upgrade_when_all_is_well_then_0_and_what_is_not_known_is_said(appliance, tmp_path):
    assert run_ttsctl(appliance, "backup", "create").returncode == ExitCode.OK
    path = notes(tmp_path, version="99.0.0", min_version="0.1.0", schema=SCHEMA_VERSION + 1)
    done = run_ttsctl(appliance, "upgrade", "--check", "--release", str(path), "--json")
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert set(verdicts(told).values()) == {"ok"}
    assert told["current"] == {"version": product.__version__, "schema": SCHEMA_VERSION}
    assert told["release"] == {"version": "99.0.0", "min_version": "0.1.0", "schema": SCHEMA_VERSION + 1}
    assert told["unknown"]
    shown = run_ttsctl(appliance, "upgrade", "--check", "--release", str(path)).stdout
    assert f"schema       from schema {SCHEMA_VERSION} to {SCHEMA_VERSION + 1}" in shown
    assert "not known here: " in shown


@pytest.mark.parametrize(
    ("facts", "check", "verdict", "code"),
    [
        ({"version": "99.0.0", "min_version": "98.0.0", "schema": SCHEMA_VERSION}, "min_version", "fail", 2),
        ({"version": "0.0.1", "min_version": "0.0.1", "schema": SCHEMA_VERSION - 1}, "schema", "fail", 2),
        ({"version": "0.0.1", "min_version": "0.0.1", "schema": SCHEMA_VERSION}, "version", "warn", 1),
        ({"version": "99.0.0", "schema": SCHEMA_VERSION}, "min_version", "warn", 1),
    ],
)
def test_upgrade_when_the_release_does_not_fit_then_told_why(
    facts, check, verdict, code, appliance, tmp_path
):
    assert run_ttsctl(appliance, "backup", "create").returncode == ExitCode.OK
    path = notes(tmp_path, **facts)
    done = run_ttsctl(appliance, "upgrade", "--check", "--release", str(path), "--json")
    assert (done.returncode, verdicts(json.loads(done.stdout))[check]) == (code, verdict)


def test_upgrade_when_the_newest_backup_is_damaged_or_old_then_told(appliance, tmp_path):
    made = json.loads(run_ttsctl(appliance, "backup", "create", "--json").stdout)
    file = appliance.base / "data" / "backups" / made["file"]
    manifest = manifest_path_of(file)
    before = manifest.read_text()
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat(timespec="seconds")
    manifest.write_text(json.dumps(json.loads(before) | {"created_at": old}))
    told = json.loads(run_ttsctl(appliance, "upgrade", "--check", "--json").stdout)
    assert verdicts(told)["backup"] == "warn"
    manifest.write_text(before)
    with file.open("r+b") as damaged:
        damaged.seek(2000)
        damaged.write(b"\xff" * 16)
    done = run_ttsctl(appliance, "upgrade", "--check", "--json")
    assert (done.returncode, verdicts(json.loads(done.stdout))["backup"]) == (ExitCode.DOWN, "fail")
    file.unlink()
    manifest.unlink()


def test_upgrade_when_nothing_is_there_and_no_release_then_1_and_it_says_so(run_dir, tmp_path):
    environment = environment_of(run_dir) | {"APPLIANCE_DATA_DIR": str(tmp_path / "data")}
    done = run_ttsctl_in(environment, "upgrade", "--check")
    assert done.returncode == ExitCode.FAILED
    assert "there is no database yet" in done.stdout
    assert "name its notes or labels with --release FILE" in done.stdout
    assert not (tmp_path / "data").exists()


def test_upgrade_when_it_is_to_be_done_then_64(run_dir):
    assert run_ttsctl_in(environment_of(run_dir), "upgrade").returncode == ExitCode.USAGE
