"""The command that loads, breaks and accounts: it holds with all defences, and fails without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.settings import ROOT
from loadtests.ledger.__main__ import EXIT_HELD, EXIT_UNSURE
from loadtests.ledger.controls import DEFENCES, NONE
from loadtests.ledger.run import Plan, Record, judge, make_record
from loadtests.ledger.spoilers import SPOILERS
from tests.parts.rounds import is_full

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def run_ledger(*arguments: str, limit_s: float = 170) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtests.ledger", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def test_ledger_when_workers_and_gateway_are_killed_then_every_request_is_accounted_for(
    tmp_path: Path,
) -> None:
    lines = tmp_path / "lines.jsonl"
    faults = ("worker-kill-busy", "gateway-kill")
    done = run_ledger(
        "--minutes", "0.35", "--rate", "30", "--every", "7", "--faults", *faults, "--lines", str(lines)
    )
    print(done.stdout)
    assert done.returncode in {EXIT_HELD, EXIT_UNSURE}, done.stdout + done.stderr
    assert "Missed:" not in done.stdout
    attempts = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(attempts) > 600
    assert sum(each["status"] == 200 for each in attempts) > 0.9 * len(attempts)
    assert len({each["id"] for each in attempts}) == len(attempts)


def test_ledger_when_answers_are_kept_and_some_clients_leave_then_every_request_is_accounted_for() -> None:
    faults = ("worker-kill-busy", "hang-ups")
    done = run_ledger("--cache", "--minutes", "0.35", "--rate", "30", "--every", "7", "--faults", *faults)
    print(done.stdout)
    assert done.returncode in {EXIT_HELD, EXIT_UNSURE}, done.stdout + done.stderr
    assert "Missed:" not in done.stdout


def test_ledger_when_heartbeats_are_not_missed_then_the_run_fails_and_says_that_health_lies() -> None:
    done = run_ledger(
        "--minutes", "0.2", "--rate", "20", "--every", "6", "--faults", "pool-stop", "--without", "heartbeat"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "pool-stop: seen after " in done.stdout
    assert "pool-stop: false green for " in done.stdout


@pytest.mark.skipif(not is_full(), reason="takes five minutes: make faults")
@pytest.mark.timeout(600)
def test_controls_when_each_defence_is_switched_off_then_its_bound_is_missed_and_no_other_run_fails() -> None:
    done = run_ledger("--controls", limit_s=590)
    print(done.stdout)
    assert done.returncode == EXIT_HELD, done.stdout + done.stderr
    table = done.stdout[done.stdout.index("| switched off ") :].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[2 : 3 + len(DEFENCES)]]
    assert rows[0] == [NONE, "all of these", "nothing", "as it must be"]
    assert [row[0] for row in rows[1:]] == list(DEFENCES)


def test_ledger_when_the_account_is_falsified_then_the_run_fails() -> None:
    done = run_ledger(
        "--minutes", "0.15", "--rate", "20", "--every", "5", "--faults", "exporter-kill", "--spoil", "lost"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "lost: 1 (" in done.stdout


def test_ledger_when_the_gateway_is_restarted_then_each_restart_and_request_counts_and_none_fails() -> None:
    done = run_ledger("--minutes", "0.35", "--rate", "30", "--every", "6", "--faults", "gateway-restart")
    assert done.returncode in {EXIT_HELD, EXIT_UNSURE}, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    line = next(number for number, line in enumerate(lines) if line.startswith("---"))
    assert lines[line + 1].split()[:4] == ["2", "2", "630", "0"], done.stdout


@pytest.fixture(scope="module")
def record() -> Record:
    """What one short run has left behind."""
    return make_record(Plan(duration_s=9, rate_hz=20, every_s=5, faults=["exporter-kill"]))


@pytest.mark.parametrize("name", SPOILERS)
def test_ledger_when_the_account_of_a_real_run_is_falsified_then_it_is_found(
    record: Record, name: str
) -> None:
    kind = "duplicated" if name == "orders" else name
    assert judge(record).account.misses() == []
    found = judge(record, SPOILERS[name]).misses()
    assert [miss for miss in found if miss.startswith(f"{kind}: 1 (")] != []
