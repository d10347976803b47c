"""What becomes of the connection itself: seen on a raw socket, without a client library's help."""

from __future__ import annotations

import json
import socket
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
