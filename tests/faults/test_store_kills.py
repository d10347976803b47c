"""Rows D1 and W10: what was committed survives any kill, and the history accounts for every request."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.settings import ROOT
from appliance.store.backups import create_backup
from appliance.store.check import connect
from appliance.store.migrations import SCHEMA_VERSION
from appliance.store.opening import prepare
from loadtests.figures import Figure
from tests.parts.appliance import Appliance, eventually
from tests.parts.asked import asked, spoken
from tests.parts.databases import damage_an_index, make_old
from tests.parts.measured import say
from tests.parts.rounds import allowance_s, rounds

pytestmark = pytest.mark.timeout(1800)

MOST_COMMITS = 60
"""Before a kill; it comes after a random number of them."""
COMMITTED_S = 0.25
"""What a kill can cost (250 ms), and the time to commit, to ask and to be answered."""
KILLS_IN_A_ROW = 3
"""Of the gateway: one that dies early more often is held back, and the appliance gives up."""
LONG_TEXT = "A sentence of which nobody will hear the end. " * 400


def acknowledged(path: Path, first: int, commits: int) -> list[int]:
    """Have a process write; kill it amid its commits, and return what it said was on the disk."""
    command = [sys.executable, "-m", "tests.parts.store_writer", str(path), str(first)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(commits)]
        process.kill()
        told += process.stdout.readlines()
    return [int(line) for line in told if line.endswith("\n")]


@pytest.mark.slow
def test_commits_when_killed_amid_them_then_none_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "appliance.sqlite"
    choice = random.Random(5)
    count = number = 0
    for number in range(rounds(20, 1_000)):
        told = acknowledged(path, number * 1_000_000, choice.randint(1, MOST_COMMITS))
        assert prepare(path).state == "ok"
        with contextlib.closing(connect(path, mode="ro")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            newest = f"SELECT token FROM runs WHERE token >= {number * 1_000_000} ORDER BY run"
            there = [token for (token,) in connection.execute(newest)]
            (all_there,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        # Every one that was acknowledged, and at most the one in whose commit the kill came.
        assert there[: len(told)] == told, f"lost in round {number}"
        assert len(there) <= len(told) + 1
        count += len(there)
        assert all_there == count
    say("D1", Figure("kills amid commits", number + 1, ""), Figure("commits that survived them", count, ""))


KILLED_AT_A_RENAME = """
import os, signal, sys
from pathlib import Path
from appliance.store.opening import prepare

left = int(sys.argv[2])

def look(event, _):
    global left
    if event == "os.rename":
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(look)
prepare(Path(sys.argv[1]), is_suspect=True)
"""
RUNS = 3
LEAST_RENAMES = 3
"""The note, the database, the backup."""


@pytest.mark.parametrize("is_found_anew", [True, False])
def test_broken_database_when_its_replacement_is_killed_at_any_rename_then_it_goes_on_and_is_said(
    tmp_path: Path, *, is_found_anew: bool
) -> None:
    for number in itertools.count(1):
        path = tmp_path / str(number) / "appliance.sqlite"
        make_old(path, SCHEMA_VERSION, RUNS)
        backup = create_backup(path, path.parent / "backups")
        if is_found_anew:
            path.write_bytes(b"no database")
        else:  # the next start wouldn't look for it
            damage_an_index(path)
        command = [sys.executable, "-c", KILLED_AT_A_RENAME, str(path), str(number)]
        is_killed = subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
        opened = prepare(path, is_suspect=number == 1)  # nothing was noted before the first
        assert (opened.state, opened.backup) == ("restored", backup.path.name), number
        assert path.with_name(opened.moved_to).exists()
        with contextlib.closing(connect(path, mode="ro")) as connection:
            assert connection.execute("SELECT count(*) FROM runs").fetchone() == (RUNS,)
        if not is_killed:
            break
    assert number > LEAST_RENAMES


@pytest.fixture
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(VOICES_DEFAULT="tone-low")
    made.wait_until_ready()
    made.wait_until_running()
    made.wait_for("store_open")
    return made


def rows_of(appliance: Appliance, request_id: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = asked(appliance, f"/v1/history?request_id={request_id}")["data"]
    return rows


@pytest.mark.parametrize("_", range(rounds(1, 7)))
def test_gateway_when_killed_then_every_request_has_one_final_state_or_counts_as_unrecorded(
    appliance: Appliance, _: int
) -> None:
    accepted = 0
    for number in range(KILLS_IN_A_ROW):
        for each in range(5):
            spoken(appliance, f"ended-{number}-{each}")
        head = "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        body = json.dumps({"input": LONG_TEXT, "voice": "tone-low", "response_format": "pcm"})
        name = f"running-{number}"
        with socket.create_connection(("127.0.0.1", appliance.port), 30) as client:
            client.sendall(
                f"{head}X-Request-ID: {name}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            assert client.recv(1024).startswith(b"HTTP/1.1 200 ")
            eventually(functools.partial(rows_of, appliance, name))
            spoken(appliance, f"last-{number}")
            accepted += 7
            seen = len(appliance.lines)
            appliance.program("gateway").send_signal(signal.SIGKILL)
            appliance.wait_for("store_open", after=seen)
        listed = asked(appliance, "/v1/history?limit=1000")
        ids = [each["request_id"] for each in listed["data"]]
        assert len(set(ids)) == len(ids)
        assert {each["state"] for each in listed["data"]} == {"completed", "interrupted"}
        assert len(ids) + listed["unrecorded"] == accepted
        assert listed["unrecorded"] <= number + 1
        (running,) = rows_of(appliance, name)
        assert (running["state"], running["ended_by"]) == ("interrupted", "kill")
    assert asked(appliance, "/health")["db"]["state"] == "ok"


def test_request_when_ended_then_its_row_is_committed_within_a_quarter_of_a_second(
    appliance: Appliance,
) -> None:
    taken_s = []
    for number in range(rounds(5, 200)):
        spoken(appliance, f"timed-{number}")
        ended_at_s = time.monotonic()
        eventually(functools.partial(has_ended, appliance, f"timed-{number}"))
        taken_s.append(time.monotonic() - ended_at_s)
    say("D1", Figure("rows of ended requests committed after, at most", max(taken_s), "s", most=COMMITTED_S))
    assert max(taken_s) <= COMMITTED_S + allowance_s()


def has_ended(appliance: Appliance, request_id: str) -> bool:
    return [each["state"] for each in rows_of(appliance, request_id)] == ["completed"]


def test_gateway_when_stopped_then_the_history_lacks_nothing(
    appliance: Appliance,
) -> None:
    for each in range(5):
        spoken(appliance, f"ended-{each}")
    assert appliance.stop() == 0
    with contextlib.closing(connect(appliance.base / "data" / "appliance.sqlite", mode="ro")) as connection:
        assert connection.execute("SELECT count(*) FROM requests WHERE state = 'completed'").fetchone() == (
            5,
        )
        ((accepted, recorded, unrecorded, ended_at),) = connection.execute(
            "SELECT accepted, recorded, unrecorded, ended_at FROM runs"
        )
    assert (accepted, recorded, unrecorded) == (5, 5, 0)
    assert ended_at
