"""`ttsctl backup`: with a gateway, and without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.store.backups import create_backup, list_backups, verify_backup
from appliance.store.opening import StoreLock, prepare
from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, eventually, launcher_environment
from tests.parts.asked import asked, database_state, spoken
from tests.parts.ttsctl import run_ttsctl, run_ttsctl_in, run_ttsctl_noting

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def running(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(VOICES_DEFAULT="tone-low", STORE_BACKUP_DAILY=2)
    made.wait_until_ready()
    eventually(lambda: database_state(made) == "ok")
    return made


def told(appliance: Appliance, *arguments: str) -> dict[str, Any]:
    done = run_ttsctl(appliance, "backup", *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_backup_when_the_gateway_runs_then_it_makes_one_with_what_was_committed(running: Appliance) -> None:
    spoken(running, "backed-up")
    eventually(lambda: asked(running, "/v1/history?request_id=backed-up&state=completed")["data"])
    made = told(running, "create")
    assert (made["reason"], made["config"]) == ("manual", ["appliance.toml", "voices.toml"])
    assert made["rows"]["requests"] >= 1
    running.wait_for("backup_made", file=made["file"])
    [found] = [
        each for each in list_backups(running.base / "data" / "backups") if each.path.name == made["file"]
    ]
    verify_backup(found)
    listed = told(running, "list")
    assert made in listed["backups"]
    assert told(running, "verify", made["file"]) == {
        "backups": [{"file": made["file"], "whole": True, "reason": None}]
    }


def test_backups_when_pruned_then_as_many_stay_as_is_set_or_said(running: Appliance) -> None:
    names = [told(running, "create")["file"] for _ in range(3)]
    told(running, "prune")
    assert len(told(running, "list")["backups"]) in (1, 2)  # they are of one day, or it is midnight
    told(running, "prune", "--daily", "1", "--weekly", "0")
    assert [each["file"] for each in told(running, "list")["backups"]] == names[2:]
    assert told(running, "prune", "--daily", "1", "--weekly", "0") == {"removed": []}


def test_backup_when_one_is_damaged_then_verify_says_so_and_exits_with_1(running: Appliance) -> None:
    made = told(running, "create")
    path = running.base / "data" / "backups" / made["file"]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done = run_ttsctl(running, "backup", "verify")
    assert done.returncode == ExitCode.FAILED
    assert f"{made['file']}: it isn't the file" in done.stdout
    path.unlink()


def test_backup_when_one_cannot_be_read_then_verify_says_so_and_goes_on(running: Appliance) -> None:
    older, newer = told(running, "create")["file"], told(running, "create")["file"]
    path = running.base / "data" / "backups" / newer
    path.unlink()
    path.symlink_to(newer)  # which the system follows for no one
    done = run_ttsctl(running, "backup", "verify", "--json")
    assert done.returncode == ExitCode.FAILED
    found = {each["file"]: each for each in json.loads(done.stdout)["backups"]}
    assert (found[older]["whole"], found[newer]["whole"]) == (True, False)
    assert found[newer]["reason"].startswith(f"{newer}: ")
    path.unlink()


def test_restore_when_dry_then_the_gateway_counts_and_nobody_else_opens_its_database(
    running: Appliance,
) -> None:
    made = told(running, "create")
    spoken(running, "counted")
    eventually(lambda: asked(running, "/v1/history?request_id=counted&state=completed")["data"])
    told_rows, opened = run_ttsctl_noting(running, "backup", "restore", "newest", "--dry-run", "--json")
    rows = json.loads(told_rows)["rows"]
    assert rows["now"]["requests"] == rows["then"]["requests"] + 1
    assert len(opened) > 0
    assert [line for line in opened if made["file"] not in line] == []


def test_restore_when_dry_and_no_gateway_runs_then_the_rows_are_counted_under_the_lock(run_dir: Path) -> None:
    environment = launcher_environment(run_dir)
    database = run_dir / "data" / "appliance.sqlite"
    lock = StoreLock(database)
    prepare(database)
    create_backup(database, database.parent / "backups")
    done = run_ttsctl_in(environment, "backup", "restore", "newest", "--dry-run", "--json")
    assert json.loads(done.stdout)["error"]["code"] == "storage_busy"
    lock.release()
    done = run_ttsctl_in(environment, "backup", "restore", "newest", "--dry-run", "--json")
    rows = json.loads(done.stdout)["rows"]
    assert rows["now"] == rows["then"]
    done = run_ttsctl_in(environment, "backup", "restore", "newest")
    assert done.returncode == 0, done.stderr
    assert "ROWS NOW" in done.stdout


def test_backup_when_its_name_is_a_path_then_there_is_none(running: Appliance) -> None:
    done = run_ttsctl(running, "backup", "verify", "../appliance.sqlite", "--json")
    assert done.returncode == ExitCode.FAILED
    assert json.loads(done.stdout)["error"]["code"] == "no_backup"


def test_backup_when_no_gateway_runs_then_it_is_made_under_the_lock(run_dir: Path) -> None:
    environment = launcher_environment(run_dir)
    done = run_ttsctl_in(environment, "backup", "create", "--json")
    assert json.loads(done.stdout)["error"]["code"] == "no_database"
    database = run_dir / "data" / "appliance.sqlite"
    lock = StoreLock(database)
    prepare(database)
    done = run_ttsctl_in(environment, "backup", "create", "--json")
    assert json.loads(done.stdout)["error"]["code"] == "storage_busy"
    lock.release()
    assert list_backups(database.parent / "backups") == []
    done = run_ttsctl_in(environment, "backup", "create")
    assert done.returncode == 0, done.stderr
    [made] = list_backups(database.parent / "backups")
    verify_backup(made)
    assert set(made.manifest.config) == {"appliance.toml", "voices.toml"}


def test_backup_when_a_setting_is_wrong_then_78(run_dir: Path) -> None:
    done = run_ttsctl_in(launcher_environment(run_dir, STORE_BACKUP_DAILY=0), "backup", "list")
    assert done.returncode == ExitCode.BAD_CONFIGURATION
    assert "store.backup_daily" in done.stderr
