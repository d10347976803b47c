"""Row D2: the power goes amid commits; what was acknowledged is on the disk, which is whole.

The disk lies in a file. What the file holds at some moment is what the disk would hold if the power went
then: a copy of it is mounted as a machine would after its next start. Source: faults.md, "power cut".
"""

from __future__ import annotations

import contextlib
import random
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.settings import ROOT
from appliance.store.check import connect
from appliance.store.opening import prepare
from loadtests.figures import Figure
from tests.parts.disks import Disk, file_disk, mounted
from tests.parts.measured import say
from tests.parts.rounds import rounds

pytestmark = [pytest.mark.timeout(3600), pytest.mark.slow]

DISK_BYTES = 32 << 20
MOST_COMMITS = 60


def cut_off(disk: Disk, image: Path, copy: Path, first: int, commits: int) -> list[int]:
    """Have a process write to the disk, copy that amid its commits, and return what it had acknowledged."""
    command = [sys.executable, "-m", "tests.parts.store_writer", str(disk.folder / "db"), str(first)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        told = b""
        while told.count(b"\n") < commits:
            told += process.stdout.read(4096)
        process.send_signal(signal.SIGSTOP)
        while select.select([process.stdout], [], [], 0.05)[0]:
            told += process.stdout.read(4096)
        shutil.copyfile(image, copy)
        process.kill()
    return [int(line) for line in told.split(b"\n")[:-1]]


def test_disk_when_the_power_goes_amid_commits_then_no_acknowledged_one_is_lost(run_dir: Path) -> None:
    choice = random.Random(5)
    image, copy = run_dir / "image", run_dir / "copy"
    with file_disk(run_dir / "disk", image, DISK_BYTES) as disk:
        count = number = 0
        for number in range(rounds(5, 200)):
            told = cut_off(disk, image, copy, number * 1_000_000, choice.randint(1, MOST_COMMITS))
            with mounted(run_dir / "after", "ext4", "-o", "loop", str(copy)) as after:
                database = after.folder / "db"
                assert prepare(database).state == "ok"
                with contextlib.closing(connect(database, mode="ro")) as connection:
                    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                    newest = f"SELECT token FROM runs WHERE token >= {number * 1_000_000} ORDER BY run"
                    there = [token for (token,) in connection.execute(newest)]
            copy.unlink()
            assert told, "nothing was acknowledged"
            assert there[: len(told)] == told, f"lost in round {number}"
            assert len(there) <= len(told) + 1
            count += len(told)
    say(
        "D2", Figure("power cuts amid commits", number + 1, ""), Figure("acknowledged before them", count, "")
    )
