"""Rows D5 to D8 and D10: broken, removed and held databases under a running appliance."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.lifecycle import EXIT_CONFIG
from appliance.store.backups import create_backup
from appliance.store.check import connect
from appliance.store.migrations import SCHEMA_VERSION
from appliance.store.opening import prepare
from processes.gateway.store_keeper import MAX_LOG_BYTES
from tests.parts.appliance import Appliance, eventually, run_launcher
from tests.parts.asked import asked, database_state, spoken
from tests.parts.scrape import scrape

pytestmark = pytest.mark.timeout(180)

WRITTEN_BACK_BYTES = 5_000_000
"""Of the log after which a commit writes it back into the database: 1,000 pages. Source: SQLite's default."""
LONGER_ROW = "UPDATE requests SET text = ? WHERE id = (SELECT min(id) FROM requests)"
HELD_S = 3.0
"""As long as another process may hold the database without anybody noticing (faults.md, D8)."""


def started(appliance_factory: Callable[..., Appliance], **settings: object) -> Appliance:
    made = appliance_factory(VOICES_DEFAULT="tone-low", **settings)
    made.wait_until_ready()
    made.wait_until_running()
    made.wait_for("store_open")
    return made


def file_of(appliance: Appliance) -> Path:
    return Path(appliance.base / "data" / "appliance.sqlite")


def recorded(appliance: Appliance, request_id: str) -> bool:
    return bool(asked(appliance, f"/v1/history?request_id={request_id}&state=completed").get("data"))


def restart_gateway(appliance: Appliance, between: Callable[[], object]) -> None:
    """Stop the gateway, do something, and start it again."""
    assert appliance.supervisorctl("stop", "gateway").returncode == 0
    between()
    seen = len(appliance.lines)
    assert appliance.supervisorctl("start", "gateway").returncode == 0
    appliance.wait_for("store_open", after=seen)


@pytest.mark.slow
def test_database_when_broken_at_the_start_then_restored_and_speech_goes_on_and_health_says_so(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = started(appliance_factory)
    spoken(appliance, "before")
    eventually(lambda: recorded(appliance, "before"))
    path = file_of(appliance)

    def break_it() -> None:
        create_backup(path, path.parent / "backups")
        path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])

    seen = len(appliance.lines)
    restart_gateway(appliance, break_it)
    line = appliance.wait_for("store_replaced", after=seen, state="restored")
    assert (path.parent / line["moved_to"]).exists()
    spoken(appliance, "after")
    eventually(lambda: recorded(appliance, "after"))
    assert recorded(appliance, "before")
    health = asked(appliance, "/health")
    assert (health["status"], health["db"]["state"]) == ("degraded", "restored")
    restart_gateway(appliance, lambda: None)
    assert database_state(appliance) == "ok"
    restart_gateway(
        appliance, lambda: (path.write_bytes(b""), *map(Path.unlink, path.parent.glob("backups/*")))
    )
    assert database_state(appliance) == "lost"
    assert not recorded(appliance, "before")
    spoken(appliance, "anew")
    eventually(lambda: recorded(appliance, "anew"))


@pytest.mark.parametrize("removed", ["-wal", "-shm", ""])
def test_files_when_removed_under_the_gateway_then_seen_and_nothing_is_lost(
    appliance_factory: Callable[..., Appliance], removed: str
) -> None:
    appliance = started(appliance_factory)
    spoken(appliance, "before")
    eventually(lambda: recorded(appliance, "before"))
    path = file_of(appliance)
    seen = len(appliance.lines)
    path.with_name(path.name + removed).unlink()
    line = appliance.wait_for("store_files_removed", after=seen)
    assert path.name + removed in line["files"]
    appliance.wait_for("store_open", after=seen)
    spoken(appliance, "after")
    eventually(lambda: recorded(appliance, "after"))
    assert recorded(appliance, "before")
    assert database_state(appliance) == "ok"
    assert asked(appliance, "/v1/history")["unrecorded"] == 0
    assert appliance.stop() == 0
    with contextlib.closing(connect(path, mode="ro")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (2,)


def test_reader_when_it_stays_for_long_then_the_log_is_measured_and_a_large_one_is_said(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = started(appliance_factory, STORE_HISTORY_TEXT="true")
    path = file_of(appliance)
    log = path.with_name(path.name + "-wal")
    with contextlib.closing(connect(path, mode="ro")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        grown = eventually(lambda: spoken(appliance, "more") and log.stat().st_size > 100_000)
        assert grown
        # Past the limit without writing so much: what counts is the file's size.
        with log.open("r+b") as file:
            file.truncate(MAX_LOG_BYTES + 4096)
        eventually(lambda: database_state(appliance) == "log_large")
        assert asked(appliance, "/health")["status"] == "degraded"
        assert eventually(lambda: scrape(appliance.exporter_url)[("tts_db_wal_bytes",)] > MAX_LOG_BYTES)
        spoken(appliance, "meanwhile")
    with contextlib.closing(connect(path)) as writer:  # as much as many rows: the log is written back
        writer.execute(LONGER_ROW, ("x" * WRITTEN_BACK_BYTES,))
    eventually(lambda: spoken(appliance, "more") and database_state(appliance) == "ok")
    assert log.stat().st_size < MAX_LOG_BYTES


def test_database_when_another_process_holds_it_then_nobody_gets_an_error_and_rows_follow(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = started(appliance_factory)
    eventually(lambda: database_state(appliance) == "ok")
    with contextlib.closing(connect(file_of(appliance))) as holder:
        holder.execute("BEGIN IMMEDIATE")
        spoken(appliance, "meanwhile")
        assert asked(appliance, "/v1/history?request_id=meanwhile")["data"] == []
        eventually(lambda: database_state(appliance) == "busy", limit_s=30)
        assert scrape(appliance.base_url)[("tts_db_errors_total", "busy")] > 0
        spoken(appliance, "later")
        holder.execute("ROLLBACK")
    eventually(lambda: recorded(appliance, "meanwhile") and recorded(appliance, "later"))
    eventually(lambda: database_state(appliance) == "ok")
    assert asked(appliance, "/v1/history")["unrecorded"] == 0


def test_lock_when_short_then_no_error_at_all(appliance_factory: Callable[..., Appliance]) -> None:
    appliance = started(appliance_factory)
    with contextlib.closing(connect(file_of(appliance))) as holder:
        holder.execute("BEGIN IMMEDIATE")
        spoken(appliance, "meanwhile")
        time.sleep(HELD_S)  # the fault itself
        holder.execute("COMMIT")
    eventually(lambda: recorded(appliance, "meanwhile"))
    values = scrape(appliance.base_url)
    assert {name: value for name, value in values.items() if name[0] == "tts_db_errors_total" and value} == {}
    assert values[("tts_db_up",)] == 1


def test_start_when_the_database_is_of_a_later_version_then_refused_and_untouched(run_dir: Path) -> None:
    path = run_dir / "data" / "appliance.sqlite"
    path.parent.mkdir()
    prepare(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    for arguments in ([], ["--check-config"]):
        refused = run_launcher(run_dir, *arguments)
        assert refused.returncode == EXIT_CONFIG
        assert f"schema {SCHEMA_VERSION + 1}" in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert path.read_bytes() == before


def test_health_when_asked_then_names_sqlites_version_and_the_schemas(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = started(appliance_factory)
    found = asked(appliance, "/health")["db"]
    assert (found["sqlite"], found["schema"]) == (sqlite3.sqlite_version, SCHEMA_VERSION)
