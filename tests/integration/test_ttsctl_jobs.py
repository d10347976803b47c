"""`ttsctl jobs …` against an appliance."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from appliance.progress_bar import BAR_CHARS
from appliance.settings import ROOT
from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, eventually
from tests.parts.books import book
from tests.parts.jobs import job_of
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(120)

SENTENCE = "This is a sentence of a long book. "


def job_file(folder: Path, text: str) -> str:
    path = folder / "text.txt"
    path.write_text(text, "utf-8")
    return str(path)


def test_job_when_submitted_and_watched_then_lines_to_its_end_and_its_audio(
    speaking: Appliance, tmp_path: Path
) -> None:
    file = job_file(tmp_path, SENTENCE * 40)
    done = run_ttsctl(speaking, "jobs", "submit", file, "--voice", "tone-low", "--format", "wav", "--watch")
    assert done.returncode == ExitCode.OK, done
    jobs = [json.loads(line) for line in done.stdout.splitlines()]
    assert (jobs[-1]["state"], jobs[-1]["title"]) == ("completed", "text")
    target = tmp_path / "book.wav"
    fetched = run_ttsctl(speaking, "jobs", "audio", jobs[-1]["id"], "-o", str(target))
    assert (fetched.returncode, fetched.stdout) == (ExitCode.OK, f"{target}\n"), fetched
    assert target.stat().st_size == jobs[-1]["bytes"]
    listed = run_ttsctl(speaking, "jobs", "--state", "completed")
    assert listed.stdout.startswith("JOB ")
    assert jobs[-1]["id"] in listed.stdout


def test_job_when_watched_at_a_terminal_then_a_bar_that_grows_to_its_end(
    speaking: Appliance, tmp_path: Path
) -> None:
    file = job_file(tmp_path, SENTENCE * 40)
    command = [
        sys.executable,
        "-m",
        "processes.ttsctl",
        "jobs",
        "submit",
        file,
        "--voice",
        "tone-low",
        "--watch",
    ]
    master, slave = os.openpty()
    with os.fdopen(master, "rb", buffering=0) as terminal:
        with subprocess.Popen(command, cwd=ROOT, env=speaking.environment, stdout=slave) as process:
            os.close(slave)
            shown = read_to_the_end(terminal).decode()
        assert process.returncode == ExitCode.OK
    job_id, _, shown = shown.replace("\r\n", "\n").partition("\n")
    assert re.fullmatch("[0-9a-f]{32}", job_id)
    *drawn, rest = shown.removeprefix("\r").split("\r")
    last = rest.removesuffix("\n")
    shares = [int(share) for share in re.findall(r"\] (\d+)%, ", shown)]
    assert len(shares) == len(drawn) + 1
    assert shares == sorted(shares)
    assert shares[-1] == 100
    assert re.fullmatch(rf"completed   \[{'#' * BAR_CHARS}\] 100%, \d+ s of audio *", last), last
    assert rest.endswith("\n")


def read_to_the_end(terminal: BinaryIO) -> bytes:
    """What was written to a terminal until nobody has it open any more, which a read says with EIO."""
    shown = b""
    with contextlib.suppress(OSError):
        while piece := terminal.read(65_536):
            shown += piece
    return shown


def test_book_when_submitted_then_its_chapters_are_spoken(speaking: Appliance, tmp_path: Path) -> None:
    path = tmp_path / "Book.EPUB"
    path.write_bytes(book("<h1>One</h1><p>First.</p>", "<h1>Two</h1><p>Second.</p>"))
    done = run_ttsctl(speaking, "jobs", "submit", str(path), "--voice", "tone-low", "--chapters", "--watch")
    assert done.returncode == ExitCode.OK, done
    job = json.loads(done.stdout.splitlines()[-1])
    assert [chapter["title"] for chapter in job_of(speaking, job["id"])["chapters"]] == ["One", "Two"]


def test_book_when_too_large_then_the_gateways_refusal(speaking: Appliance, tmp_path: Path) -> None:
    path = tmp_path / "book.epub"
    path.write_bytes(bytes(17_000_000))
    refused = run_ttsctl(speaking, "jobs", "submit", str(path))
    assert (refused.returncode, "status 413" in refused.stderr) == (ExitCode.FAILED, True), refused


def test_job_when_changed_then_it_is_as_said(speaking: Appliance, tmp_path: Path) -> None:
    file = job_file(tmp_path, SENTENCE * 20_000)
    job_id = run_ttsctl(speaking, "jobs", "submit", file, "--voice", "tone-low").stdout.strip()
    eventually(lambda: job_of(speaking, job_id)["state"] == "running")
    assert "paused" in run_ttsctl(speaking, "jobs", "pause", job_id).stdout
    assert json.loads(run_ttsctl(speaking, "jobs", "show", job_id, "--json").stdout)["state"] == "paused"
    assert run_ttsctl(speaking, "jobs", "resume", job_id).returncode == ExitCode.OK
    assert "cancelled" in run_ttsctl(speaking, "jobs", "cancel", job_id).stdout
    watched = run_ttsctl(speaking, "jobs", "watch", job_id)
    assert (watched.returncode, "cancelled" in watched.stderr) == (ExitCode.FAILED, True)
    refused = run_ttsctl(speaking, "jobs", "audio", job_id, "-o", str(tmp_path / "none.mp3"))
    assert (refused.returncode, "409" in refused.stderr) == (ExitCode.FAILED, True)
    assert run_ttsctl(speaking, "jobs", "delete", job_id).returncode == ExitCode.OK
    assert run_ttsctl(speaking, "jobs", "show", job_id).returncode == ExitCode.FAILED


def test_job_when_cancelled_after_its_end_then_refused_and_its_audio_is_kept_until_deleted(
    speaking: Appliance, tmp_path: Path
) -> None:
    file = job_file(tmp_path, SENTENCE)
    done = run_ttsctl(speaking, "jobs", "submit", file, "--voice", "tone-low", "--watch")
    job_id = json.loads(done.stdout.splitlines()[-1])["id"]
    refused = run_ttsctl(speaking, "jobs", "cancel", job_id)
    assert refused.returncode == ExitCode.FAILED
    assert "(completed)" in refused.stderr
    assert f"ttsctl jobs delete {job_id}" in refused.stderr
    audio = ("audio", job_id, "-o", str(tmp_path / "kept.mp3"))
    assert run_ttsctl(speaking, "jobs", *audio).returncode == ExitCode.OK
    assert "completed" in run_ttsctl(speaking, "jobs", "delete", job_id).stdout
    assert run_ttsctl(speaking, "jobs", *audio).returncode == ExitCode.FAILED


@pytest.mark.parametrize("arguments", [("show", "../health"), ("submit", "/no/such/file")])
def test_job_when_the_command_line_is_wrong_then_64(speaking: Appliance, arguments: tuple[str, str]) -> None:
    assert run_ttsctl(speaking, "jobs", *arguments).returncode == ExitCode.USAGE
