"""What a backup covers, how it is made beside others, and when it is left."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import appliance
from appliance.store import backups
from appliance.store.backups import create_backup, list_backups, prune, time_stamp, verify_backup
from appliance.store.check import connect
from appliance.store.errors import StoreBusyError, StoreCorruptError
from appliance.store.manifests import Contents, described
from appliance.store.opening import prepare

CONTENTS = Contents({"appliance.toml": "[http]\nport = 8000\n"}, {"amy": "tts_models/en/amy/vits"})
ROWS = 4000


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """One of some megabytes, in WAL mode as the gateway leaves it."""
    path = tmp_path / "appliance.sqlite"
    prepare(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        add_runs(connection, ROWS)
    return path


def add_runs(connection: sqlite3.Connection, count: int) -> None:
    with connection:
        rows = [(float(number), 0) for number in range(count)]
        connection.executemany("INSERT INTO runs (started_at, token) VALUES (?, ?)", rows)


def test_backup_when_made_then_its_manifest_has_the_configuration_the_voices_and_the_versions(
    database: Path,
) -> None:
    made = create_backup(database, database.parent / "backups", "manual", CONTENTS)
    [found] = list_backups(database.parent / "backups")
    assert found == made
    assert (found.manifest.config, found.manifest.voices) == (CONTENTS.config, CONTENTS.voices)
    assert found.manifest.appliance == appliance.__version__
    assert found.manifest.sqlite == sqlite3.sqlite_version
    assert described(found.manifest)["config"] == ["appliance.toml"]


@pytest.mark.parametrize("created_at", ["yesterday", 7, None])
def test_list_when_a_manifest_has_no_time_then_it_is_no_backup(database: Path, created_at: object) -> None:
    made = create_backup(database, database.parent / "backups", "manual", CONTENTS)
    manifest = made.path.with_suffix(".json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"created_at": created_at}))
    assert list_backups(database.parent / "backups") == []


def test_backup_when_its_copy_of_the_configuration_is_another_then_it_is_refused(database: Path) -> None:
    made = create_backup(database, database.parent / "backups", "manual", CONTENTS)
    manifest = made.path.with_suffix(".json")
    manifest.write_text(manifest.read_text().replace("8000", "8001"))
    [found] = list_backups(database.parent / "backups")
    with pytest.raises(StoreCorruptError, match="configuration"):
        verify_backup(found)


def test_backup_when_others_write_between_its_steps_then_it_has_the_state_of_its_beginning(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "STEP_PAGES", 1)
    steps = 0
    with contextlib.closing(sqlite3.connect(database, timeout=0)) as writer:

        def write() -> bool:
            nonlocal steps
            steps += 1
            if steps <= 10:
                add_runs(writer, 10)
            return False

        made = create_backup(database, database.parent / "backups", "manual", CONTENTS, write)
    assert steps > 10
    assert made.manifest.rows["runs"] == ROWS
    verify_backup(made)


def test_backup_when_it_is_stopped_at_any_step_then_nothing_of_it_is_left(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "STEP_PAGES", 8)
    monkeypatch.setattr(backups, "CHECK_INSTRUCTIONS", 1000)
    folder = database.parent / "backups"
    last = 0
    while not list_backups(folder):
        last += 7
        left = last

        def is_stopped() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        with contextlib.suppress(StoreBusyError):
            create_backup(database, folder, "manual", CONTENTS, is_stopped)
        assert len(list(folder.iterdir())) == 2 * len(list_backups(folder))
    assert last > 7


def test_backups_when_pruned_then_the_newest_before_a_migration_or_a_restore_stay(database: Path) -> None:
    folder = database.parent / "backups"
    reasons = ("migration", "restore", "migration", "manual", "nightly", "manual")
    made = [create_backup(database, folder, reason) for reason in reasons]
    gone = prune(folder, 1, 0)
    assert {made[number].path.name for number in (0, 3)} <= set(gone)  # and 4, but at midnight
    assert {made[number].path for number in (1, 2, 5)} <= {each.path for each in list_backups(folder)}


def backups_at(database: Path, times: list[datetime]) -> Path:
    """Copies of one backup that were made at other times; return their folder."""
    made = create_backup(database, database.parent / "first")
    values, folder = json.loads(made.path.with_suffix(".json").read_text()), database.parent / "backups"
    folder.mkdir()
    for moment in times:
        path = folder / f"appliance-{time_stamp(moment.astimezone(UTC))}.sqlite"
        shutil.copyfile(made.path, path)
        values |= {"file": path.name, "created_at": moment.isoformat()}
        path.with_suffix(".json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize(
    ("daily", "weekly", "days_ago"),
    [
        (1, 0, [0]),
        (3, 0, [0, 1, 2]),
        (7, 4, [0, 1, 2, 3, 4, 5, 6, 10, 17]),
        (2, 2, [0, 1, 3]),
        (100, 0, list(range(40))),
        (1, 100, [0, 3, 10, 17, 24, 31, 38]),
    ],
)
def test_backups_when_pruned_then_the_last_of_each_of_the_last_days_and_weeks_stay(
    database: Path, daily: int, weekly: int, days_ago: list[int]
) -> None:
    wednesday = datetime(2026, 3, 4, 12).astimezone()
    noons = [wednesday - timedelta(days=number) for number in range(40)]
    folder = backups_at(database, [*noons, *(noon - timedelta(hours=3) for noon in noons)])
    gone = prune(folder, daily, weekly)
    assert len(gone) == 80 - len(days_ago)
    left = [datetime.fromisoformat(each.manifest.created_at) for each in list_backups(folder)]
    assert left == [noons[number] for number in days_ago]
    assert len(list(folder.glob("*.json"))) == len(left)


def test_backups_when_none_was_made_for_long_then_the_last_days_that_have_any_stay(database: Path) -> None:
    long_ago = [datetime(2020, month, 1, tzinfo=UTC) for month in (1, 2, 3)]
    folder = backups_at(database, long_ago)
    assert len(prune(folder, 2, 1)) == 1
    assert len(list_backups(folder)) == 2


def test_backup_when_its_manifest_is_no_manifest_then_it_is_none(database: Path) -> None:
    folder = database.parent / "backups"
    made = create_backup(database, folder)
    manifest = made.path.with_suffix(".json")
    values = json.loads(manifest.read_text())
    for broken in ("", "[]", "{}", json.dumps({**values, "file": "another.sqlite"})):
        manifest.write_text(broken)
        assert list_backups(folder) == []


def test_backup_when_opened_by_itself_then_it_is_a_database_with_the_rows(database: Path) -> None:
    made = create_backup(database, database.parent / "backups")
    with contextlib.closing(connect(made.path, mode="immutable")) as copy:
        assert copy.execute("SELECT count(*) FROM runs").fetchone() == (ROWS,)
