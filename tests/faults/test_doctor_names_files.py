"""Row O1 for files: a disk, a database, a voice or a setting is broken, and the doctor says first which.

Whatever a start needs is looked at where nothing runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.store.backups import create_backup
from appliance.store.migrations import SCHEMA_VERSION
from appliance.store.opening import prepare
from appliance.voice_store import VoiceStore
from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, eventually, launcher_environment, taken_port
from tests.parts.asked import database_state, spoken
from tests.parts.databases import damage_an_index
from tests.parts.disks import Disk, file_disk, memory_disk
from tests.parts.doctor import DISK_OF_TESTS, Diagnosis, Score, diagnose, named
from tests.parts.stored_voices import put
from tests.parts.ttsctl import run_ttsctl
from tests.parts.worker_link import WorkerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MODEL = "tts_models/en/ljspeech/vits"


def test_database_when_restored_or_lost_at_the_start_then_named(
    score: Score, appliance_factory: Callable[..., Appliance]
) -> None:
    broken = appliance_factory(VOICES_DEFAULT="tone-low")
    broken.wait_until_ready()
    broken.wait_until_running()
    broken.wait_for("store_open")
    path = broken.base / "data" / "appliance.sqlite"

    def restart_with(broken_by: Callable[[], object]) -> None:
        run_ttsctl(broken, "supervisorctl", "stop", "gateway")
        broken_by()
        seen = len(broken.lines)
        run_ttsctl(broken, "supervisorctl", "start", "gateway")
        broken.wait_for("store_open", after=seen)

    def damage() -> None:
        create_backup(path, path.parent / "backups")
        path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])

    restart_with(damage)
    named(score, broken, "store_restored", "ttsctl supervisorctl restart gateway", "deaths")
    restart_with(lambda: (path.write_bytes(b""), *map(Path.unlink, path.parent.glob("backups/*"))))
    named(score, broken, "store_lost", "ttsctl backup list", "deaths")


def test_database_when_a_backup_finds_damage_then_named(
    score: Score, appliance_factory: Callable[..., Appliance]
) -> None:
    damaged = appliance_factory(VOICES_DEFAULT="tone-low")
    damaged.wait_until_ready()
    damaged.wait_until_running()
    damaged.wait_for("store_open")
    run_ttsctl(damaged, "supervisorctl", "stop", "gateway")
    damage_an_index(damaged.base / "data" / "appliance.sqlite")
    run_ttsctl(damaged, "supervisorctl", "start", "gateway")
    eventually(lambda: database_state(damaged) == "ok")
    run_ttsctl(damaged, "backup", "create")
    named(score, damaged, "backup_found_damage", "ttsctl backup restore newest", "deaths")


@contextlib.contextmanager
def on_a_disk(run_dir: Path, disk: Disk) -> Iterator[Appliance]:
    made = Appliance(run_dir, DATA_DIR=disk.folder / "data", VOICES_DEFAULT="tone-low")
    with contextlib.closing(made):
        made.wait_until_ready()
        made.wait_until_running()
        yield made


def test_disk_when_it_fills_up_and_is_full_then_named(score: Score, run_dir: Path) -> None:
    with memory_disk(run_dir / "disk", "24m") as disk, on_a_disk(run_dir, disk) as filling:
        filling.wait_for("store_open")
        disk.fill_to(0.85)
        score.take("disk_filling", diagnose(filling.environment), "du -xh")
        disk.fill()
        eventually(lambda: spoken(filling, "filling") and database_state(filling) == "full")
        score.take("disk_full", diagnose(filling.environment), "du -xh")


def test_disk_when_it_is_read_only_then_named(score: Score, run_dir: Path) -> None:
    with memory_disk(run_dir / "disk", "24m") as disk:
        disk.remount("ro")
        with on_a_disk(run_dir, disk) as readonly:
            eventually(lambda: database_state(readonly) == "readonly")
            found = diagnose(readonly.environment)
            score.take("disk_readonly", found, f"mount -o remount,rw {disk.folder}")
            disk.remount("rw")


def test_disk_when_it_hangs_then_named(score: Score, run_dir: Path) -> None:
    with (
        file_disk(run_dir / "disk", run_dir / "image", 32 << 20) as disk,
        on_a_disk(run_dir, disk) as hanging,
    ):
        hanging.wait_for("store_open")
        with disk.frozen():
            spoken(hanging, "meanwhile")
            eventually(lambda: database_state(hanging) == "stalled")
            found = diagnose(hanging.environment, *DISK_OF_TESTS)
        eventually(lambda: database_state(hanging) == "ok")
    score.take("store_stalled", found, "dmesg")


def test_cache_when_its_disk_has_no_room_then_named(score: Score, run_dir: Path) -> None:
    (run_dir / "data").mkdir(mode=0o700)
    with memory_disk(run_dir / "data" / "cache", "64k"):
        made = Appliance(run_dir, CACHE_SPEECH="true", VOICES_DEFAULT="tone-low", CACHE_MEMORY_BYTES=600_000)
        with contextlib.closing(made):
            made.wait_until_ready()
            made.wait_until_running()
            for number in range(3):
                spoken(made, f"kept-{number}", f"This is said of which nothing can be kept. {number}" * 8)
            made.wait_for("cache_disk_failed")
            found = diagnose(made.environment, *DISK_OF_TESTS)
    score.take("cache_failed", found, "du -xh")


def found_before_a_start(run_dir: Path, **settings: Any) -> Diagnosis:
    """What is found where nothing runs, except that nothing runs."""
    return diagnose(launcher_environment(run_dir, **settings), *DISK_OF_TESTS, "programs")


def test_appliance_when_nothing_runs_then_named(score: Score, run_dir: Path) -> None:
    found = diagnose(launcher_environment(run_dir), *DISK_OF_TESTS)
    score.take("not_running", found, "make run")
    assert found.exit_code == ExitCode.DOWN


def test_port_when_another_program_has_it_then_named(score: Score, run_dir: Path) -> None:
    listener, port = taken_port()
    with listener:
        found = found_before_a_start(run_dir, HTTP_PORT=port)
    score.take("port_taken", found, f"ss -ltnp 'sport = :{port}'")


def test_setting_when_it_is_wrong_then_named(score: Score, run_dir: Path) -> None:
    found = found_before_a_start(run_dir, HTTP_PORT="many")
    score.take("setting_wrong", found, "ttsctl check-config")
    assert "http.port = 'many'" in found.first["seen"]


def test_key_file_when_others_may_read_it_then_named_and_no_key_is_shown(score: Score, run_dir: Path) -> None:
    key_file = run_dir / "keys"
    key_file.write_text("a-key-that-is-long-enough-to-be-one\n")
    key_file.chmod(0o644)
    found = found_before_a_start(run_dir, HTTP_API_KEYS_FILE=key_file)
    score.take("key_file_wrong", found, f"chmod 600 {key_file}")
    assert "a-key" not in json.dumps(found.checks)


def test_database_when_it_is_a_later_versions_then_named(score: Score, run_dir: Path) -> None:
    path = run_dir / "data" / "appliance.sqlite"
    path.parent.mkdir(mode=0o700)
    prepare(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    score.take("newer_schema", found_before_a_start(run_dir), "ttsctl backup list")


def test_database_when_it_is_none_and_nothing_runs_then_named(score: Score, run_dir: Path) -> None:
    (run_dir / "data").mkdir(mode=0o700)
    path = run_dir / "data" / "appliance.sqlite"
    path.touch(mode=0o600)
    score.take("database_broken", found_before_a_start(run_dir), "ttsctl backup verify")


def test_worker_when_it_has_outlived_its_appliance_then_named(score: Score, run_dir: Path) -> None:
    with WorkerProcess(run_dir / "run", APPLIANCE_WORKERS_TONE="1") as worker:
        found = found_before_a_start(run_dir)
        os.kill(worker.pid, signal.SIGKILL)
    score.take("process_left", found, f"kill {worker.pid}")


def test_socket_when_something_else_is_in_its_place_then_named(score: Score, run_dir: Path) -> None:
    (run_dir / "run").mkdir(mode=0o700)
    path = run_dir / "run" / "gateway.sock"
    path.write_text("no socket")
    score.take("socket_foreign", found_before_a_start(run_dir), f"rm {path}")


def test_voice_when_a_file_of_it_is_damaged_then_named(score: Score, run_dir: Path) -> None:
    (run_dir / "data").mkdir(mode=0o700)
    store = VoiceStore(run_dir / "data")
    put(store, "amy", model=MODEL)
    (store.path("amy") / "text.onnx").write_bytes(b"another")
    score.take("voice_damaged", found_before_a_start(run_dir), f"ttsctl voices import {MODEL} --id amy")


def test_launcher_when_it_was_killed_with_all_below_it_then_nothing_is_in_the_way(run_dir: Path) -> None:
    """The control of leftovers: sockets and files of a dead appliance are no fault."""
    with contextlib.closing(Appliance(run_dir, VOICES_DEFAULT="tone-low")) as killed:
        killed.wait_until_ready()
        os.killpg(killed.process.pid, signal.SIGKILL)
    found = found_before_a_start(run_dir)
    assert found.faults == {}
