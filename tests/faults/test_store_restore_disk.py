"""Row C3: a restore on a disk that has too little room, or fills up meanwhile."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.store.backups import create_backup, list_backups
from appliance.store.check import rows_of
from appliance.store.errors import StoreFullError
from appliance.store.manifests import Contents
from appliance.store.opening import prepare
from appliance.store.restoring import begin, give_back, swap
from tests.parts.appliance import launcher_environment
from tests.parts.disks import Disk, memory_disk
from tests.parts.ttsctl import run_ttsctl_in

pytestmark = pytest.mark.timeout(180)

ROWS_THEN, ROWS_NOW = 40_000, 60_000
"""Enough that the margins are larger than what else lies on the disk."""


@pytest.fixture
def disk() -> Iterator[Disk]:
    with (
        tempfile.TemporaryDirectory(prefix="tts-", dir="/tmp") as base,  # a short path
        memory_disk(Path(base) / "disk", "32m") as made,
    ):
        yield made


@pytest.fixture
def database(disk: Disk) -> Path:
    """On a small disk, with a backup of when it was smaller."""
    path = disk.folder / "data" / "appliance.sqlite"
    path.parent.mkdir()
    prepare(path)
    for count in (ROWS_THEN, ROWS_NOW - ROWS_THEN):
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            rows = [(number,) for number in range(count)]
            connection.executemany("INSERT INTO runs (started_at, token) VALUES (0, ?)", rows)
        if count == ROWS_THEN:
            create_backup(path, path.parent / "backups")
    return path


def test_restore_when_there_is_no_room_for_the_way_back_then_refused_and_nothing_has_changed(
    disk: Disk, database: Path
) -> None:
    [backup] = list_backups(database.parent / "backups")
    before = database.read_bytes()
    leave(disk, int(1.2 * len(before)))  # enough for the restore point
    environment = launcher_environment(disk.folder.parent, DATA_DIR=database.parent)
    refused = run_ttsctl_in(environment, "backup", "restore", "newest", "--json")
    assert json.loads(refused.stdout)["error"]["code"] == "storage_full"
    assert database.read_bytes() == before
    assert list_backups(database.parent / "backups") == [backup]
    leave(disk, int(1.2 * (len(before) + backup.manifest.bytes)))
    done = run_ttsctl_in(environment, "backup", "restore", "newest", "--json")
    assert json.loads(done.stdout)["rows"]["now"]["runs"] == ROWS_NOW
    assert rows_of(database)["runs"] == ROWS_THEN


def leave(disk: Disk, free_bytes: int) -> None:
    """Have so many bytes free on a disk, for whatever is to come."""
    path = disk.fill()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - free_bytes)


def test_restore_when_the_disk_fills_up_before_the_swap_then_the_way_back_needs_no_room(
    disk: Disk, database: Path
) -> None:
    [backup] = list_backups(database.parent / "backups")
    before, point = database.read_bytes(), begin(backup, database, Contents())
    disk.fill()
    with pytest.raises(StoreFullError):
        swap(backup, database)
    give_back(point, backup, database, "the disk is full")
    assert database.read_bytes() == before
    (disk.folder / "others").unlink()
    assert (prepare(database).state, rows_of(database)["runs"]) == ("ok", ROWS_NOW)
