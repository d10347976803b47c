"""Maintenance: who comes is told so, over every restart, until an operator ends it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from appliance.maintenance import MAINTENANCE_FILE, MAX_MESSAGE_CHARS
from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, eventually
from tests.parts.ttsctl import run_ttsctl, run_ttsctl_in

pytestmark = pytest.mark.timeout(180)

MESSAGE = "new disk, back at noon"
SPEECH = {"input": "One.", "response_format": "wav"}


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    appliance = appliance_factory(HEALTH_PROBE_INTERVAL_S=1, VOICES_DEFAULT="tone-low")
    appliance.wait_until_ready()
    appliance.wait_until_running()
    return appliance


@pytest.fixture(autouse=True)
def ended_with_the_test(appliance):
    yield
    assert run_ttsctl(appliance, "maintenance", "off").returncode == ExitCode.OK


def asked(appliance: Appliance, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any, Any]:
    """Ask over TCP; return status, JSON and headers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        appliance.base_url + path, data, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
            is_json = answer.headers["Content-Type"].startswith("application/json")
            return answer.status, json.loads(content) if is_json else content, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), error.headers


def begin(appliance: Appliance) -> dict[str, Any]:
    done = run_ttsctl(appliance, "maintenance", "on", "--message", MESSAGE, "--json")
    assert done.returncode == ExitCode.OK, done.stderr
    return dict(json.loads(done.stdout))


def test_maintenance_when_on_then_speech_and_jobs_are_refused_with_the_message(appliance):
    state = begin(appliance)
    assert state["maintenance"]["message"] == MESSAGE
    for path in ("/v1/audio/speech", "/v1/jobs"):
        status, answer, headers = asked(appliance, path, SPEECH)
        assert (status, answer["error"]["code"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "maintenance")
        assert answer["error"]["message"].endswith(f": {MESSAGE}")
        assert 40 <= int(headers["Retry-After"]) <= 80
    status, answer, _ = asked(appliance, "/health")
    assert (status, answer["status"], answer["maintenance"]) == (503, "maintenance", state["maintenance"])
    assert asked(appliance, "/health/ready")[0] == HTTPStatus.SERVICE_UNAVAILABLE
    assert asked(appliance, "/health/live")[0] == HTTPStatus.OK
    assert asked(appliance, "/v1/audio/voices")[0] == HTTPStatus.OK
    shown = run_ttsctl(appliance, "status")
    assert (shown.returncode, shown.stdout.split("\n")[0][-len(MESSAGE) :]) == (ExitCode.FAILED, MESSAGE)
    assert run_ttsctl(appliance, "maintenance", "off").stdout == "maintenance: no, 0 requests in flight\n"
    assert asked(appliance, "/v1/audio/speech", SPEECH)[0] == HTTPStatus.OK


def test_maintenance_when_the_gateway_restarts_then_it_lasts_and_probes_go_on(appliance):
    since = begin(appliance)["maintenance"]["since"]
    before = appliance.program("gateway").pid
    assert run_ttsctl(appliance, "supervisorctl", "restart", "gateway").returncode == 0
    eventually(lambda: appliance.program("gateway").pid != before)

    def health() -> Any:
        return asked(appliance, "/health")[1]

    assert eventually(lambda: health().get("maintenance"))["since"] == since
    assert asked(appliance, "/v1/audio/speech", SPEECH)[1]["error"]["code"] == "maintenance"
    assert eventually(lambda: asked(appliance, "/health/tts")[1]["audio_ok"])
    told = json.loads(run_ttsctl(appliance, "maintenance", "status", "--json").stdout)
    assert told == {"maintenance": {"message": MESSAGE, "since": since}, "in_flight": 0}


def test_maintenance_when_a_job_runs_then_it_is_held_and_goes_on_at_its_end(appliance):
    text = " ".join(["There is more to be said."] * 4_000)
    submitted = run_ttsctl_in(
        appliance.environment | {"APPLIANCE_RUN_DIR": str(appliance.run_dir)},
        *("jobs", "submit", "-", "--json", "--voice", "tone-low"),
        typed=text,
    )
    job = json.loads(submitted.stdout)["id"]
    begin(appliance)
    appliance.wait_for("job_held", job=job, code="maintenance")
    shown = json.loads(run_ttsctl(appliance, "jobs", "show", job, "--json").stdout)
    assert (shown["state"], shown["reason"]) == ("paused", "maintenance")
    assert run_ttsctl(appliance, "maintenance", "off").returncode == ExitCode.OK
    appliance.wait_for("job_finished", job=job, outcome="completed")


@pytest.mark.parametrize("message", ["two\nlines", "x" * (MAX_MESSAGE_CHARS + 1)])
def test_maintenance_when_the_message_is_wrong_then_1_and_nothing_changes(message, appliance):
    done = run_ttsctl(appliance, "maintenance", "on", "--message", message)
    assert done.returncode == ExitCode.FAILED
    assert "at most 200 characters" in done.stderr
    assert asked(appliance, "/health")[1]["maintenance"] is None


def test_maintenance_when_a_crash_has_left_half_a_file_then_it_counts(appliance):
    path = appliance.base / "data" / MAINTENANCE_FILE
    path.write_text('{"mess')
    before = appliance.program("gateway").pid
    assert run_ttsctl(appliance, "supervisorctl", "restart", "gateway").returncode == 0
    eventually(lambda: appliance.program("gateway").pid != before)
    assert eventually(lambda: asked(appliance, "/health")[1].get("maintenance")) == {
        "message": "",
        "since": "",
    }
    assert run_ttsctl(appliance, "maintenance", "off").returncode == ExitCode.OK
    assert not path.exists()
