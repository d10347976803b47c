"""Clients on raw sockets that don't do what a client should, and the gateway's own view of it."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from typing import Any

from appliance.lifecycle import GATEWAY_SOCKET
from appliance.unix_calls import UnixConnection
from tests.parts.appliance import Appliance

PATIENCE_S = 40.0
"""Seconds after which a test gives up; no test waits for it to pass."""
SMALL_BUFFER_BYTES = 4096
SPEECH = b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF_A_HEAD = LIVE[:30]
LONG_TEXT = "A sentence of which nobody will hear the end. " * 400
"""More audio than lies in the buffers of a connection."""


def ask_locally(appliance: Appliance, path: str) -> bytes:
    """What `run/gateway.sock` answers, with status 200."""
    with contextlib.closing(UnixConnection(appliance.run_dir / GATEWAY_SOCKET, 10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()


def sample(appliance: Appliance, name: str) -> float:
    """One sample of the gateway's metrics, for example `tts_http_connections{state="head"}`."""
    found = re.search(
        rf"^{re.escape(name)} (\S+)$", ask_locally(appliance, "/metrics").decode(), re.MULTILINE
    )
    assert found is not None, name
    return float(found[1])


def closed(appliance: Appliance, reason: str) -> float:
    """How many connections a limit has ended so far."""
    return sample(appliance, f'tts_http_connections_closed_total{{reason="{reason}"}}')


def status(appliance: Appliance) -> dict[str, Any]:
    return dict(json.loads(ask_locally(appliance, "/admin/status")))


def connect(appliance: Appliance, data: bytes = b"", *, source: str = "127.0.0.1") -> socket.socket:
    """A connection from one of this machine's addresses, on which this was sent."""
    client = socket.create_connection(("127.0.0.1", appliance.port), PATIENCE_S, (source, 0))
    client.sendall(data)
    return client


def speech(text: str, audio_format: str = "pcm", version: str = "1.1") -> bytes:
    """A request for speech."""
    body = json.dumps({"input": text, "voice": "tone-low", "response_format": audio_format}).encode()
    head = SPEECH.replace(b"HTTP/1.1", f"HTTP/{version}".encode())
    return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def connect_without_room(appliance: Appliance, data: bytes, *, source: str = "127.0.0.1") -> socket.socket:
    """A client with hardly any buffer, which reads no answer by itself."""
    client = socket.socket()
    client.settimeout(PATIENCE_S)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    client.bind((source, 0))
    client.connect(("127.0.0.1", appliance.port))
    client.sendall(data)
    return client


def read_to_end(client: socket.socket) -> bytes:
    """What comes until the other side hangs up."""
    return b"".join(iter(lambda: client.recv(65_536), b""))


def dribble(client: socket.socket, byte: bytes, every_s: float = 0.1) -> tuple[bytes, float]:
    """Send a byte whenever nothing has come for a while; return what came in the end, and after how long."""
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < PATIENCE_S:
        client.settimeout(every_s)
        with contextlib.suppress(TimeoutError):
            first = client.recv(65_536)
            client.settimeout(PATIENCE_S)
            return first + (read_to_end(client) if first else b""), time.monotonic() - begun_s
        client.sendall(byte)
    raise TimeoutError


def error_of(answer: bytes) -> dict[str, Any]:
    """The error in an answer's body."""
    return dict(json.loads(answer.partition(b"\r\n\r\n")[2])["error"])
