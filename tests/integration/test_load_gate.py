"""`make load` says no when it should: real Locust, a real appliance that is slow or fails on purpose."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.settings import ROOT
from loadtests.gate import EXIT_HELD, EXIT_MISSED, EXIT_TOO_FEW
from loadtests.load import EXIT_USAGE
from tests.parts.appliance import Appliance
from tests.parts.deceiver import deceiving
from tests.parts.missing import give_up

LIMIT_S = 100
LOCUSTFILE = str(ROOT / "loadtests" / "locustfile.py")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

BREAKING_USER = """
from locust import task
from loadtests.users import Interactive

class Clumsy(Interactive):
    fixed_count = 1

    @task
    def sentence(self):
        self.next_due_s()
        raise RuntimeError("a client of ours has a fault")
"""


def run_load(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the load with the profile of the tone engine, unless the arguments say otherwise."""
    if importlib.util.find_spec("locust") is None:
        give_up("Locust isn't installed: make .venv/load.stamp")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "loadtests.load",
            "--profile",
            "tone",
            "--report",
            f"{folder}/load.html",
        ]
        return subprocess.run(
            [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )


def row(output: str, entry: str, what: str) -> str:
    """The line of the table about one limit."""
    rows = [line for line in output.splitlines() if line.startswith(f"| {entry} ") and f" {what} " in line]
    assert len(rows) == 1, output
    return rows[0]


def test_load_when_all_is_well_then_held_and_a_page_with_plots(
    appliance_factory: Callable[..., Appliance], tmp_path: Path
) -> None:
    appliance = appliance_factory(WORKERS_TONE=2)
    appliance.wait_until_ready()
    report = tmp_path / "load.html"
    ran = run_load("--host", appliance.base_url, "--duration", "6", "--report", str(report))
    assert ran.returncode == EXIT_HELD, ran.stdout + ran.stderr
    assert "held" in row(ran.stdout, "sentence", "p90 first audio")
    assert "held" in row(ran.stdout, "control", "p90 of the generator's own delay")
    assert str(report) in ran.stdout.splitlines()[-2]
    page = report.read_text("utf-8")
    assert page.count("<svg") == 5
    assert "every limit held" in page
    assert report.with_name("load-locust.html").exists()
    finished = b"tts_requests_finished_total"
    counted = [line for line in appliance.get("/metrics").splitlines() if line.startswith(finished)]
    assert not any(b'"failed"' in line and not line.endswith(b" 0.0") for line in counted)


def test_load_when_every_sentence_takes_too_long_then_the_p90_is_missed_and_named(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(WORKERS_TONE=4, DISPATCH_CORES=8, TONE_DELAY_S=0.7)
    appliance.wait_until_ready()
    ran = run_load("--host", appliance.base_url, "--duration", "7")
    assert ran.returncode == EXIT_MISSED, ran.stdout + ran.stderr
    assert "MISSED" in row(ran.stdout, "sentence", "p90 first audio")
    assert "MISSED" in row(ran.stdout, "sentence", "p90 answer")


def test_load_when_answers_fail_and_break_off_then_success_is_missed(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(WORKERS_TONE=2, TONE_FAIL_AFTER_CHUNKS=1)
    appliance.wait_until_ready()
    ran = run_load("--host", appliance.base_url, "--duration", "6")
    assert ran.returncode == EXIT_MISSED, ran.stdout + ran.stderr
    assert "MISSED" in row(ran.stdout, "sentence", "success")
    assert "IncompleteRead" in ran.stdout


def test_load_when_only_headers_come_then_success_is_missed_and_nothing_was_heard() -> None:
    with deceiving(is_refusing=False) as url:
        ran = run_load("--host", url, "--duration", "6")
    assert ran.returncode == EXIT_MISSED, ran.stdout + ran.stderr
    for entry in ("sentence", "burst", "leaver"):
        assert "MISSED" in row(ran.stdout, entry, "success")
        assert " 0.00 % " in row(ran.stdout, entry, "success")
    assert "no audio" in ran.stdout
    assert "too little audio" in ran.stdout


@pytest.mark.parametrize(
    ("name", "entry", "what"),
    [("refusals", "greedy", "answered"), ("tone", "sentence", "success")],
)
def test_load_when_all_is_refused_honestly_then_missed_even_where_refusals_are_provoked(
    name: str, entry: str, what: str
) -> None:
    with deceiving(is_refusing=True) as url:
        ran = run_load("--profile", name, "--host", url, "--duration", "6")
    assert ran.returncode == EXIT_MISSED, ran.stdout + ran.stderr
    assert "MISSED" in row(ran.stdout, entry, what)
    assert "503 overloaded" in ran.stdout


def test_load_when_clients_raise_then_success_is_missed(
    appliance_factory: Callable[..., Appliance], tmp_path: Path
) -> None:
    appliance = appliance_factory(WORKERS_TONE=2)
    appliance.wait_until_ready()
    clumsy = tmp_path / "clumsy.py"
    clumsy.write_text(BREAKING_USER)
    ran = run_load("--host", appliance.base_url, "--duration", "6", "--locustfiles", LOCUSTFILE, str(clumsy))
    assert ran.returncode == EXIT_MISSED, ran.stdout + ran.stderr
    assert "MISSED" in row(ran.stdout, "sentence", "success")
    assert "exception in the client" in ran.stdout


def test_load_when_it_is_too_short_then_it_proves_nothing_and_says_so() -> None:
    ran = run_load("--duration", "2")  # with an appliance of its own
    assert ran.returncode == EXIT_TOO_FEW, ran.stdout + ran.stderr
    assert "TOO FEW SAMPLES" in row(ran.stdout, "sentence", "success")


def test_load_when_nobody_answers_then_it_says_so() -> None:
    ran = run_load("--host", "http://127.0.0.1:1", "--duration", "2")
    assert ran.returncode == EXIT_USAGE, ran.stdout + ran.stderr
    assert "http://127.0.0.1:1: [Errno 111]" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--profile", "flite"],
            "no profile 'flite'; there are container, espeak, neural, neural-shared, refusals, tone",
        ),
        (["--profile", "refusals"], "the profile refusals starts no appliance: name one with --host"),
        (["--duration", "0"], "0 isn't a number of seconds from 1 to 86400"),
    ],
)
def test_load_when_told_nonsense_then_refused_with_a_reason(arguments: list[str], said: str) -> None:
    ran = run_load(*arguments)
    assert ran.returncode == EXIT_USAGE
    assert said in ran.stderr
