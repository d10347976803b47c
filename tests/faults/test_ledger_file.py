"""The server's half of the ledger: before the last byte, through kills, on a full disk."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.parts.appliance import Appliance, eventually

pytestmark = pytest.mark.timeout(120)

LONG_TEXT = "A sentence of which nobody will hear the end. " * 400
FORMS: list[dict[str, Any]] = [
    {"response_format": "wav"},
    {"response_format": "pcm", "input": "Two sentences. They are streamed."},
    {"response_format": "mp3", "stream_format": "sse"},
]


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(LOG_LEDGER_FILE="ledger.jsonl", VOICES_DEFAULT="tone-low", TONE_HOOKS="true")
    made.wait_until_ready()
    made.wait_until_running()
    return made


def request_of(appliance: Appliance, request_id: str, **fields: Any) -> urllib.request.Request:
    return urllib.request.Request(
        f"{appliance.base_url}/v1/audio/speech",
        json.dumps({"input": "Is there a line?", "voice": "tone-low", **fields}).encode(),
        {"Content-Type": "application/json", "X-Request-ID": request_id},
    )


def ledger(appliance: Appliance) -> dict[str, dict[str, Any]]:
    """The lines by their id; no id is there twice."""
    path = Path(appliance.base / "data" / "ledger.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    by_id = {line["request_id"]: line for line in lines}
    assert len(by_id) == len(lines)
    return by_id


def test_answer_when_its_last_byte_has_come_then_its_line_is_there(appliance: Appliance) -> None:
    for number in range(60):
        request_id = f"whole-{number}"
        form = FORMS[number % len(FORMS)]
        with urllib.request.urlopen(request_of(appliance, request_id, **form), timeout=30) as answer:
            body = answer.read()
        line = ledger(appliance)[request_id]
        assert (line["state"], line["ended_by"], line["retried"]) == ("completed", "completed", False)
        if "stream_format" not in form:
            assert line["bytes"] == len(body)


def test_request_when_it_fails_or_its_client_leaves_then_its_line_says_so(appliance: Appliance) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(
            request_of(appliance, "failed", input="Please __FAIL_0__ now.", normalize=False), timeout=30
        )
    caught.value.close()
    assert ledger(appliance)["failed"]["ended_by"] == "engine_failed"
    head = "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    body = json.dumps({"input": LONG_TEXT, "voice": "tone-low", "response_format": "pcm"})
    with socket.create_connection(("127.0.0.1", appliance.port), 30) as client:
        client.sendall(f"{head}X-Request-ID: left\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        assert client.recv(1024).startswith(b"HTTP/1.1 200 ")
        assert "left" not in ledger(appliance)
    assert eventually(lambda: ledger(appliance).get("left"))["state"] == "cancelled"


def test_gateway_when_killed_then_what_ended_keeps_its_line_and_the_next_gateway_goes_on(
    appliance: Appliance,
) -> None:
    with urllib.request.urlopen(request_of(appliance, "before"), timeout=30) as answer:
        answer.read()
    before = len(ledger(appliance))
    seen = len(appliance.lines)
    with socket.create_connection(("127.0.0.1", appliance.port), 30) as client:
        head = "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        body = json.dumps({"input": LONG_TEXT, "voice": "tone-low", "response_format": "pcm"})
        client.sendall(f"{head}X-Request-ID: in-flight\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        assert client.recv(1024).startswith(b"HTTP/1.1 200 ")
        appliance.program("gateway").send_signal(signal.SIGKILL)
        appliance.wait_for("gateway_ready", after=seen)
    with urllib.request.urlopen(request_of(appliance, "after"), timeout=30) as answer:
        answer.read()
    lines = ledger(appliance)
    assert len(lines) == before + 1
    assert lines["before"]["state"] == lines["after"]["state"] == "completed"
    assert "in-flight" not in lines


def test_disk_when_full_then_requests_succeed_and_it_is_counted_and_said_once(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(LOG_LEDGER_FILE="full.jsonl", VOICES_DEFAULT="tone-low")
    appliance.wait_until_ready()
    (appliance.base / "data").mkdir(exist_ok=True)
    (appliance.base / "data" / "full.jsonl").symlink_to("/dev/full")  # it is opened with its first line
    for number in range(5):
        with urllib.request.urlopen(request_of(appliance, f"full-{number}"), timeout=30) as answer:
            assert len(answer.read()) > 1000
    assert b"tts_ledger_errors_total 5.0" in appliance.get("/metrics")
    appliance.wait_for("ledger_not_written", reason="No space left on device")
    appliance.send_signal(signal.SIGTERM)
    appliance.wait()
    assert [line["event"] for line in appliance.lines].count("ledger_not_written") == 1
