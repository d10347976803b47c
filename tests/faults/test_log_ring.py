"""The last lines in the run directory: bounded, followed over their turns, and nobody's hindrance."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.lifecycle import LAUNCHER_FILE, LOG_DIR, OLDER_RING_FILE, RING_FILE, read_json
from appliance.settings import ROOT
from processes.launcher.log_ring import LogRing
from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, eventually
from tests.parts.ttsctl import environment_of, run_ttsctl, run_ttsctl_in

pytestmark = pytest.mark.timeout(180)
RING_BYTES = 20_000


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    appliance = appliance_factory(WORKERS_TONE=2, VOICES_DEFAULT="tone-low")
    appliance.wait_until_ready()
    return appliance


def line(number: int) -> bytes:
    return json.dumps({"ts": f"{number:08}", "level": "INFO", "event": "x", "program": "p"}).encode() + b"\n"


def numbers(directory: Path) -> list[int]:
    """What both files hold, the oldest first."""
    files = [directory / OLDER_RING_FILE, directory / RING_FILE]
    return [
        int(json.loads(each)["ts"])
        for file in files
        if file.exists()
        for each in file.read_bytes().splitlines()
    ]


def speak(appliance: Appliance, request_id: str) -> None:
    body = json.dumps({"input": "One secret word.", "response_format": "wav"}).encode()
    headers = {"Content-Type": "application/json", "X-Request-ID": request_id}
    request = urllib.request.Request(f"{appliance.base_url}/v1/audio/speech", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.read()


def told(appliance: Appliance, event: str, *which: str) -> list[dict[str, Any]]:
    """What `ttsctl logs` tells once this event is among it; nothing before."""
    done = run_ttsctl(appliance, "logs", *which, "--json")
    lines = [json.loads(each) for each in done.stdout.splitlines()] if done.returncode == ExitCode.OK else []
    return lines if event in {each["event"] for each in lines} else []


def test_ring_when_it_is_full_then_the_last_lines_are_whole_and_the_bytes_bounded(run_dir):
    ring = LogRing(run_dir / LOG_DIR / RING_FILE, RING_BYTES)
    count = 1500
    for number in range(count):
        ring.put(line(number))
    ring.close(10.0)
    kept = numbers(run_dir / LOG_DIR)
    assert kept == list(range(kept[0], count))
    sizes = [file.stat().st_size for file in (run_dir / LOG_DIR).iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= RING_BYTES
    assert (run_dir / LOG_DIR / RING_FILE).stat().st_mode & 0o077 == 0


def test_ring_when_a_launcher_was_there_before_then_its_lines_stay(run_dir):
    for number in range(2):
        ring = LogRing(run_dir / LOG_DIR / RING_FILE)
        ring.put(line(number))
        ring.close(10.0)
    assert numbers(run_dir / LOG_DIR) == [0, 1]


def test_ring_when_its_file_can_not_be_written_then_lines_are_counted_and_it_goes_on(run_dir):
    (run_dir / LOG_DIR / RING_FILE).mkdir(parents=True)
    ring = LogRing(run_dir / LOG_DIR / RING_FILE)
    ring.put(line(0))
    eventually(lambda: ring.lost_lines == 1)
    (run_dir / LOG_DIR / RING_FILE).rmdir()
    ring.put(line(1))
    ring.close(10.0)
    assert (ring.lost_lines, numbers(run_dir / LOG_DIR)) == (1, [1])


def test_ring_when_the_disk_is_full_then_its_lines_are_counted_as_lost(run_dir):
    (run_dir / LOG_DIR).mkdir()
    (run_dir / LOG_DIR / RING_FILE).symlink_to("/dev/full")
    ring = LogRing(run_dir / LOG_DIR / RING_FILE)
    ring.put(line(0))
    eventually(lambda: ring.lost_lines == 1)
    ring.close(10.0)


def test_ring_when_there_can_be_none_then_the_appliance_runs_and_the_losses_are_told(run_dir):
    (run_dir / "run" / LOG_DIR / RING_FILE).mkdir(parents=True)
    with contextlib.closing(Appliance(run_dir, VOICES_DEFAULT="tone-low")) as appliance:
        appliance.wait_until_ready()
        speak(appliance, "here")
        appliance.wait_for("request_finished", request_id="here")
        counts = eventually(
            lambda: (found := read_json(appliance.run_dir / LAUNCHER_FILE)).get("ring_lines_lost") and found
        )
        assert counts["log_lines_dropped"] == 0
        done = run_ttsctl(appliance, "logs")
        assert (done.returncode, "can't be read" in done.stderr) == (ExitCode.FAILED, True)


def test_logs_when_a_request_is_named_then_its_line_and_no_text(appliance):
    speak(appliance, "wanted-1")
    speak(appliance, "other-1")
    lines = eventually(lambda: told(appliance, "request_finished", "--request", "wanted-1"))
    assert {each["request_id"] for each in lines} == {"wanted-1"}
    for file in (appliance.run_dir / LOG_DIR).iterdir():
        assert "secret" not in file.read_text()


def test_logs_when_a_worker_is_named_then_its_lines_and_the_gateways_about_it(appliance):
    lines = eventually(lambda: told(appliance, "worker_joined", "--worker", "tone-2"))
    assert {each["program"] for each in lines} >= {"gateway"}
    assert all("tone-2" in json.dumps(each) for each in lines)
    assert not any("tone-1" in json.dumps(each) for each in lines)


def test_logs_when_everything_is_wanted_then_the_launcher_and_supervisord_are_among_it(appliance):
    told = [
        json.loads(each)["program"] for each in run_ttsctl(appliance, "logs", "--json").stdout.splitlines()
    ]
    assert {"launcher", "supervisord", "gateway", "exporter"} <= set(told)
    last = run_ttsctl(appliance, "logs", "-n", "2").stdout.splitlines()
    assert len(last) == 2


def test_logs_when_followed_then_every_line_comes_over_many_turns(run_dir):
    ring = LogRing(run_dir / LOG_DIR / RING_FILE, 1_000)
    ring.put(line(0))
    eventually((run_dir / LOG_DIR / RING_FILE).exists)
    command = [sys.executable, "-m", "processes.ttsctl", "logs", "-f", "--json"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment_of(run_dir), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for number in range(50):
                assert int(json.loads(process.stdout.readline())["ts"]) == number
                ring.put(line(number + 1))
        finally:
            process.kill()
            ring.close(10.0)
    assert (run_dir / LOG_DIR / OLDER_RING_FILE).exists()


def test_logs_when_standard_input_is_read_then_docker_s_words_before_lines_are_passed_over(tmp_path):
    typed = "starting\n" + "".join(f"appliance-1  | {line(number).decode()}" for number in range(3))
    done = run_ttsctl_in(environment_of(tmp_path), "logs", "-", "--json", "-n", "2", typed=typed)
    assert [int(json.loads(each)["ts"]) for each in done.stdout.splitlines()] == [1, 2]
    assert done.stderr == "ttsctl: passed over 1 lines that aren't the log's\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("logs",), ExitCode.DOWN),
        (("logs", "-", "--request", "x"), ExitCode.FAILED),
        (("logs", "--since", "soon"), ExitCode.USAGE),
        (("logs", "--level", "LOUD"), ExitCode.USAGE),
    ],
)
def test_logs_when_there_is_nothing_or_a_word_is_wrong_then_its_code(arguments, code, run_dir):
    done = run_ttsctl_in(environment_of(run_dir), *arguments, typed="")
    assert (done.returncode, "{" in done.stdout) == (code, False)
