"""Backups that are killed: whatever stands under a final name must be whole.

Owns: the writer beside them, the moment of the kill, what is looked at afterwards.
Refuses to know: how a backup is made.
"""

from __future__ import annotations

import math
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from appliance.settings import ROOT
from appliance.store.backups import NAME, create_backup, list_backups, verify_backup
from appliance.store.check import rows_of
from appliance.store.errors import StorageError
from appliance.store.opening import prepare
from loadtests.figures import Figure

BACKUPS = """
import sys
from pathlib import Path
from appliance.store.backups import create_backup, prune
from appliance.store.manifests import Contents
print("begun", flush=True)
while True:
    create_backup(Path(sys.argv[1]), Path(sys.argv[2]), "manual", Contents({"a.toml": "a"}, {"b": "c"}))
    prune(Path(sys.argv[2]), 5, 4)
"""
LONGEST_S = 0.2
LOOK_S = 0.02
"""Seconds between two looks whether the writer has begun."""
SEED = 5


def run_backups(folder: Path, kills: int, limit_s: float = math.inf) -> list[Figure]:
    """Kill a process that makes backups beside one that writes, so often; blocks for all of it.

    Args:
        folder: Gets the database and its backups.
        kills: How often.
        limit_s: Seconds after which no further one is begun.
    """
    database, backups = folder / "appliance.sqlite", folder / "backups"
    prepare(database)
    choice = random.Random(SEED)
    broken: list[str] = []
    killed = 0
    writing = [sys.executable, "-m", "tests.parts.store_writer", str(database), "1"]
    with subprocess.Popen(writing, cwd=ROOT, stdout=subprocess.DEVNULL) as writer:
        try:
            while not rows_of(database)["runs"]:
                time.sleep(LOOK_S)
            deadline_s = time.monotonic() + limit_s
            while killed < kills and time.monotonic() < deadline_s:
                killed += 1
                _kill_one(database, backups, choice.uniform(0, LONGEST_S))
                broken += _broken(backups)
            last = create_backup(database, backups)  # no lock is stuck
            broken += _broken(backups)
        finally:
            writer.kill()
    left = {path.stem for path in backups.iterdir()} - {each.path.stem for each in list_backups(backups)}
    return [
        Figure("backups killed", killed, ""),
        Figure("invalid files under a final name", len(broken), "", most=0),
        Figure("rows in the backup after them", last.manifest.rows["runs"], "", least=1),
        Figure("files left behind then", len(left), "", most=0),
    ]


def _kill_one(database: Path, backups: Path, after_s: float) -> None:
    command = [sys.executable, "-c", BACKUPS, str(database), str(backups)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)


def _broken(backups: Path) -> list[str]:
    """Return the names of files that have a backup's name and aren't a whole one."""
    whole: set[str] = set()
    for backup in list_backups(backups):
        try:
            verify_backup(backup)
        except StorageError:
            continue
        whole.add(backup.path.name)
    names = {path.name for path in backups.iterdir()} if backups.exists() else set()
    return sorted(name for name in names if NAME.fullmatch(name) and name not in whole)
