"""What becomes of the connection itself: seen on a raw socket, without a client library's help."""

from __future__ import annotations

import json
import re
import socket
from email.parser import BytesParser
from typing import Any

import pytest

from tests.parts.appliance import Appliance

TIMEOUT_S = 10.0
"""Less than the gateway keeps an idle connection, so that one it forgot to close fails a test."""


def exchange(port: int, data: bytes) -> tuple[bytes, bool]:
    """Send bytes and read to the end of the connection; return the answer and whether it was reset."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as client:
        client.sendall(data)
        while True:
            try:
                part = client.recv(65_536)
            except ConnectionResetError:
                return answer, True
            if not part:
                return answer, False
            answer += part


def old_request(headers: str = "", **fields: Any) -> bytes:
    """A speech request as a client of HTTP/1.0 sends it."""
    body = json.dumps(fields).encode()
    head = f"POST /v1/audio/speech HTTP/1.0\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_speech_when_a_client_of_http_1_0_keeps_alive_then_a_stream_still_ends(speaking: Appliance) -> None:
    request = old_request("Connection: keep-alive\r\n", input="Hello.", voice="tone-low")
    answer, was_reset = exchange(speaking.port, request)
    head, _, audio = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 ")
    assert b"keep-alive" not in head.lower()
    assert audio
    assert not was_reset


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
def test_speech_when_it_breaks_off_for_a_client_of_http_1_0_then_the_connection_is_reset(
    speaking: Appliance, stream_format: str
) -> None:
    request = old_request(
        input=f"Heard at first __FAIL_2__ but {'never ' * 20} to its end.",
        voice="tone-low",
        response_format="pcm",
        stream_format=stream_format,
        normalize=False,
    )
    answer, was_reset = exchange(speaking.port, request)
    assert answer.startswith(b"HTTP/1.0 200 ")
    assert was_reset


def test_host_when_it_is_foreign_then_the_connection_is_closed(speaking: Appliance) -> None:
    answer, _ = exchange(speaking.port, b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 421 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()


@pytest.mark.parametrize("origin", ["http://[", "http://]", "null"])
def test_origin_when_it_names_no_host_then_it_is_foreign(speaking: Appliance, origin: str) -> None:
    request = f"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n"
    answer, _ = exchange(speaking.port, f"{request}Connection: close\r\nContent-Length: 0\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b'"origin_not_allowed"' in answer


HEAD = b"GET /health HTTP/1.1\r\n"
SPEECH_HEAD = b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"


def count_of_others(appliance: Appliance) -> float:
    """How many requests for nothing of ours were refused so far."""
    found = re.search(
        rb'tts_http_requests_total{route="other",status="4xx"} (\S+)', appliance.get("/metrics")
    )
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(HEAD + b"Host: a\r\nHost: b\r\n\r\n", 400, id="two hosts"),
        pytest.param(HEAD + b"\r\n", 400, id="no host"),
        pytest.param(HEAD + b"Host: a\r\nX-Long: " + b"x" * 300_000 + b"\r\n\r\n", 400, id="long header"),
        pytest.param(b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="long line"),
        pytest.param(HEAD + b"Host: a\r\nno colon\r\n\r\n", 400, id="bad header"),
        pytest.param(b"secretword\r\n\r\n", 400, id="bad line"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="tls"),
        pytest.param(SPEECH_HEAD + b"Expect: secretword\r\n\r\n", 417, id="unknown expect"),
        pytest.param(
            SPEECH_HEAD.replace(b"speech", b"x") + b"Expect: x\r\n\r\n", 417, id="expect of nothing"
        ),
    ],
)
def test_request_when_it_can_not_be_taken_then_the_answer_is_an_error_of_ours(
    speaking: Appliance, request_bytes: bytes, status: int
) -> None:
    before, seen = count_of_others(speaking), len(speaking.lines)
    answer, _ = exchange(speaking.port, request_bytes)
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, _, header_lines = head.partition(b"\r\n")
    headers = BytesParser().parsebytes(header_lines)
    assert int(status_line.split()[1]) == status
    error = json.loads(body)["error"]
    assert (error["code"], error["type"], error["param"]) == ("invalid_value", "invalid_request_error", None)
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Server"] == "tts-appliance"
    assert headers["X-Content-Type-Options"] == "nosniff"
    speaking.wait_for("request_refused", after=seen, request_id=headers["X-Request-ID"], status=status)
    assert count_of_others(speaking) == before + 1
    assert "secretword" not in json.dumps(speaking.lines[seen:]) + body.decode()


def test_request_when_it_expects_something_unknown_then_its_own_id_comes_back(speaking: Appliance) -> None:
    request = SPEECH_HEAD + b"Expect: tea\r\nX-Request-ID: given-1\r\n\r\n"
    answer, _ = exchange(speaking.port, request)
    assert b"\r\nX-Request-ID: given-1\r\n" in answer


def test_request_when_it_expects_100_continue_then_it_gets_that_first(speaking: Appliance) -> None:
    body = json.dumps({"input": "Hello.", "voice": "tone-low", "response_format": "wav"}).encode()
    head = (
        "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer, _ = exchange(speaking.port, head.encode() + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
