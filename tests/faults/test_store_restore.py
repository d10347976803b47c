"""Row C3: a restore that is killed, a backup that can't be put back, a gateway that doesn't work with it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.lifecycle import SUPERVISOR_SOCKET, read_json
from appliance.settings import ROOT
from appliance.store.backups import Backup, create_backup, list_backups, verify_backup
from appliance.store.check import rows_of
from appliance.store.errors import StoreBusyError
from appliance.store.migrations import SCHEMA_VERSION
from appliance.store.opening import StoreLock, prepare
from appliance.store.restoring import NOTE_SUFFIX
from loadtests.figures import Figure
from tests.parts.appliance import Appliance, eventually, launcher_environment, running_appliance
from tests.parts.asked import asked, database_state, spoken
from tests.parts.databases import damage_an_index, job_row
from tests.parts.measured import say
from tests.parts.rounds import rounds
from tests.parts.ttsctl import listening, run_ttsctl, run_ttsctl_in

pytestmark = pytest.mark.timeout(1800)

RESTORES = """
import sys
from pathlib import Path
from appliance.store.backups import list_backups
from appliance.store.manifests import Contents
from appliance.store.opening import StoreLock
from appliance.store.restoring import begin, give_back, swap
database = Path(sys.argv[1])
chosen = {each.path.name: each for each in list_backups(database.parent / "backups")}
lock = StoreLock(database)
print("begun", flush=True)
while True:
    for name in sys.argv[2:]:
        point = begin(chosen[name], database, Contents())
        swap(chosen[name], database)
        print("swapped", flush=True)
    give_back(point, chosen[name], database, "so that this is killed, too")
"""
LONGEST_S = 0.2
SIZES = (30, 3000)
MOST_KILLS = 400
"""Chance alone says which of the two a kill leaves."""


@pytest.mark.slow
def test_restore_when_killed_at_any_moment_then_the_old_database_or_the_new_one_is_whole(
    tmp_path: Path,
) -> None:
    database = tmp_path / "appliance.sqlite"
    folder = tmp_path / "backups"
    prepare(database)
    names = []
    for size in SIZES:
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            (there,) = connection.execute("SELECT count(*) FROM runs").fetchone()
            rows = [(number,) for number in range(size - there)]
            connection.executemany("INSERT INTO runs (started_at, token) VALUES (0, ?)", rows)
        names.append(create_backup(database, folder).path.name)
    choice = random.Random(6)
    killed, seen = 0, set[int]()
    while killed < rounds(20, 200) or (len(seen) < len(SIZES) and killed < MOST_KILLS):
        killed += 1
        command = [sys.executable, "-c", RESTORES, str(database), *names]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            for _ in range(choice.randrange(len(SIZES) + 1)):  # so that each is there in some of the rounds
                assert process.stdout.readline() == b"swapped\n"
            time.sleep(choice.uniform(0, LONGEST_S))  # the moment of the kill
            process.send_signal(signal.SIGKILL)
        assert database.exists()
        lock = StoreLock(database)
        opened = prepare(database)
        lock.release()
        assert opened.state == "ok", opened
        size = rows_of(database)["runs"]
        assert size in SIZES
        seen.add(size)
        for backup in list_backups(folder):
            verify_backup(backup)
    say("C3", Figure("restores killed, none of them left half a database", killed, ""))
    assert seen == set(SIZES)


@pytest.fixture(scope="module")
def appliance() -> Iterator[Appliance]:
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(short_folder())
        made = stack.enter_context(running_appliance(base, VOICES_DEFAULT="tone-low", DISPATCH_DRAIN_S=2))
        made.wait_until_running()
        eventually(lambda: database_state(made) == "ok")
        yield made


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tts-", dir="/tmp") as path:
        yield Path(path)


def database_of(appliance: Appliance) -> Path:
    return appliance.base / "data" / "appliance.sqlite"


def recorded(appliance: Appliance, request_id: str) -> bool:
    return bool(asked(appliance, f"/v1/history?request_id={request_id}&state=completed").get("data"))


def speak(appliance: Appliance, request_id: str) -> None:
    spoken(appliance, request_id)
    eventually(lambda: recorded(appliance, request_id))


def restored(appliance: Appliance, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = run_ttsctl(appliance, "backup", "restore", *arguments, "--json")
    return done.returncode, json.loads(done.stdout)


def test_restore_when_done_then_the_history_is_as_it_was_and_speech_goes_on(appliance: Appliance) -> None:
    speak(appliance, "kept")
    made = json.loads(run_ttsctl(appliance, "backup", "create", "--json").stdout)
    speak(appliance, "later")
    gateway = appliance.program("gateway").pid
    code, answer = restored(appliance, made["file"], "--dry-run")
    assert (code, answer["dry_run"], answer["restore_point"], answer["config_differs"]) == (0, True, None, [])
    assert answer["rows"]["now"]["requests"] == answer["rows"]["then"]["requests"] + 1
    assert appliance.program("gateway").pid == gateway
    assert recorded(appliance, "later")
    code, answer = restored(appliance, made["file"])
    assert code == 0, answer
    appliance.wait_for("store_restore", state="swapped", backup=made["file"])
    assert database_state(appliance) == "ok"
    assert recorded(appliance, "kept")
    assert not recorded(appliance, "later")
    speak(appliance, "afterwards")
    assert restored(appliance, answer["restore_point"])[0] == 0
    assert recorded(appliance, "later")


def with_a_fault(database: Path, folder: Path, *statements: str) -> Backup:
    """A backup that is whole, of a database that the statements have changed."""
    copy = folder.parent / "copy.sqlite"
    with (
        contextlib.closing(sqlite3.connect(database)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        for statement in statements:
            target.execute(statement)
        target.commit()
    made = create_backup(copy, folder)
    copy.unlink()
    return made


def test_database_when_damaged_in_an_index_then_a_backup_says_so_and_a_restore_is_the_way_out(
    appliance: Appliance,
) -> None:
    speak(appliance, "before-the-damage")
    database = database_of(appliance)
    made = json.loads(run_ttsctl(appliance, "backup", "create", "--json").stdout)["file"]
    assert appliance.supervisorctl("stop", "gateway").returncode == 0
    damage_an_index(database)
    assert appliance.supervisorctl("start", "gateway").returncode == 0
    eventually(lambda: database_state(appliance) == "ok")
    eventually(lambda: asked(appliance, "/health")["status"] == "ok")
    refused = run_ttsctl(appliance, "backup", "create", "--json")
    error = json.loads(refused.stdout)["error"]
    assert (refused.returncode, error["code"]) == (1, "storage_corrupt")
    assert f"{database.name}: its pages, indexes" in error["message"]
    health = asked(appliance, "/health")
    assert (health["status"], health["backup"]["last"]) == ("degraded", "damaged")
    code, answer = restored(appliance, made)
    assert code == 0, answer
    assert database.with_name(answer["restore_point"]).exists()
    assert recorded(appliance, "before-the-damage")
    eventually(lambda: asked(appliance, "/health")["status"] == "ok")
    assert run_ttsctl(appliance, "backup", "create").returncode == 0


def test_restore_when_the_gateway_cant_work_with_it_then_everything_is_as_before(
    appliance: Appliance,
) -> None:
    speak(appliance, "before-the-fault")
    no_runs = "CREATE TRIGGER no_runs BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'no run'); END"
    made = with_a_fault(database_of(appliance), appliance.base / "data" / "backups", no_runs)
    code, answer = restored(appliance, made.path.name)
    assert (code, answer["error"]["code"]) == (1, "restore_returned")
    line = appliance.wait_for("store_restore", state="returned", backup=made.path.name)
    assert "failed" in line["reason"]
    eventually(lambda: database_state(appliance) == "ok")
    assert recorded(appliance, "before-the-fault")
    eventually(lambda: asked(appliance, "/health")["status"] == "ok")
    speak(appliance, "after-the-fault")
    assert database_of(appliance).with_name("backups").exists()


def test_restore_when_no_job_can_be_read_from_it_then_everything_is_as_before(appliance: Appliance) -> None:
    no_time = job_row("0", created_at=1e30)  # which no calendar has
    made = with_a_fault(database_of(appliance), appliance.base / "data" / "backups", no_time)
    code, answer = restored(appliance, made.path.name)
    assert (code, answer["error"]["code"]) == (1, "restore_returned")
    assert "can't read the database" in answer["error"]["message"]
    eventually(lambda: database_state(appliance) == "ok")
    eventually(lambda: asked(appliance, "/health")["status"] == "ok")
    assert asked(appliance, "/v1/jobs")["data"] == []


@pytest.mark.slow
def test_restore_when_the_appliance_doesnt_serve_afterwards_then_everything_is_as_before(
    appliance: Appliance,
) -> None:
    eventually(lambda: asked(appliance, "/health")["status"] == "ok")
    made = json.loads(run_ttsctl(appliance, "backup", "create", "--json").stdout)["file"]
    speak(appliance, "before-the-silence")
    [worker] = [name for name in appliance.programs() if name.startswith("worker")]
    seen = len(appliance.lines)
    command = [sys.executable, "-m", "processes.ttsctl", "backup", "restore", made, "--json"]
    with subprocess.Popen(command, cwd=ROOT, env=appliance.environment, stdout=subprocess.PIPE) as process:
        appliance.wait_for("gateway_draining", after=seen)  # it was serving until now
        assert appliance.supervisorctl("stop", worker).returncode == 0
        output, _ = process.communicate(timeout=120)
    error = json.loads(output)["error"]
    assert (process.returncode, error["code"]) == (1, "restore_returned")
    assert "served before" in error["message"]
    assert appliance.supervisorctl("start", worker).returncode == 0
    eventually(lambda: database_state(appliance) == "ok")
    eventually(lambda: asked(appliance, "/health")["status"] == "ok")
    assert recorded(appliance, "before-the-silence")


@pytest.mark.slow
def test_restore_when_there_is_no_way_back_then_it_says_what_is_in_place_and_what_brings_the_rest_back(
    appliance: Appliance,
) -> None:
    speak(appliance, "in-the-backup")
    made = json.loads(run_ttsctl(appliance, "backup", "create", "--json").stdout)["file"]
    speak(appliance, "after-the-backup")
    database, socket = database_of(appliance), appliance.run_dir / SUPERVISOR_SOCKET
    note, seen = database.with_name(f"{database.name}{NOTE_SUFFIX}"), len(appliance.lines)
    command = [sys.executable, "-m", "processes.ttsctl", "backup", "restore", made, "--json"]
    with subprocess.Popen(command, cwd=ROOT, env=appliance.environment, stdout=subprocess.PIPE) as process:
        # As soon as the backup is in place somebody takes the database away from the gateway …
        eventually(lambda: read_json(note).get("state") == "swapped")
        lock = eventually(lambda: lock_of(database))
        appliance.wait_for("store_failed", after=seen, state="busy")
        # … and supervisord, which is to stop it again, gives no answer that makes sense.
        aside = socket.rename(socket.with_name("aside"))
        with listening(socket, b"HTTP/1.1 500 No\r\n\r\n"):
            output, _ = process.communicate(timeout=120)
        socket.unlink()
        aside.rename(socket)
        lock.release()
    error = json.loads(output)["error"]
    point = next(
        each.path.name
        for each in list_backups(database.with_name("backups"))
        if each.manifest.reason == "restore"
    )
    assert (process.returncode, error["code"]) == (1, "restore_stuck")
    for said in ("is busy", "can't be stopped", f"{made} is the database", f"ttsctl backup restore {point}"):
        assert said in error["message"]
    eventually(lambda: database_state(appliance) == "ok")
    assert recorded(appliance, "in-the-backup")
    assert not recorded(appliance, "after-the-backup")
    assert restored(appliance, point)[0] == 0
    assert recorded(appliance, "after-the-backup")


def lock_of(database: Path) -> StoreLock | None:
    """The database's lock, unless somebody has it."""
    with contextlib.suppress(StoreBusyError):
        return StoreLock(database)
    return None


def test_restore_when_the_backup_is_no_good_then_refused_and_the_gateway_is_left_alone(
    appliance: Appliance,
) -> None:
    gateway = appliance.program("gateway").pid
    folder = appliance.base / "data" / "backups"
    speak(appliance, "left-alone")
    for number, fault in enumerate(("flipped", "later", "another's")):
        made = create_backup(database_of(appliance), folder)
        content = bytearray(made.path.read_bytes())
        match fault:
            case "flipped":
                content[-100] ^= 1
            case "later":
                content[60:64] = (SCHEMA_VERSION + 1).to_bytes(4, "big")
            case _:
                content[68:72] = bytes(4)
        made.path.write_bytes(content)
        code, answer = restored(appliance, made.path.name)
        assert (code, answer["error"]["code"]) == (1, "storage_corrupt"), number
        made.path.unlink()
    later = with_a_fault(database_of(appliance), folder)
    rewrite_as_later(later)
    code, answer = restored(appliance, later.path.name)
    assert (code, answer["error"]["code"]) == (78, "configuration")
    later.path.unlink()
    assert appliance.program("gateway").pid == gateway
    assert recorded(appliance, "left-alone")


def rewrite_as_later(backup: Backup) -> None:
    """Make a whole backup of a later schema, with a manifest that agrees."""
    with contextlib.closing(sqlite3.connect(backup.path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    manifest = backup.path.with_suffix(".json")
    values = json.loads(manifest.read_text())
    values["sha256"] = hashlib.sha256(backup.path.read_bytes()).hexdigest()
    values["bytes"] = backup.path.stat().st_size
    manifest.write_text(json.dumps(values))


def test_restore_when_somebody_else_works_with_the_database_then_refused(tmp_path: Path) -> None:
    database = tmp_path / "data" / "appliance.sqlite"
    lock = StoreLock(database)
    prepare(database)
    create_backup(database, database.parent / "backups")
    with short_folder() as base:
        environment = launcher_environment(base, DATA_DIR=tmp_path / "data")
        refused = run_ttsctl_in(environment, "backup", "restore", "newest", "--json")
        assert json.loads(refused.stdout)["error"]["code"] == "storage_busy"
        lock.release()
        done = run_ttsctl_in(environment, "backup", "restore", "newest")
    assert done.returncode == 0, done.stderr
    reasons = [each.manifest.reason for each in list_backups(database.parent / "backups")]
    assert reasons == ["restore", "manual"]
