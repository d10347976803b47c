"""A client that costs next to nothing: one kept connection, one request at a time, over a bare socket.

Owns: sending a speech request, reading its answer, the moment of the first audio byte.
Refuses to know: what is measured with it.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any, Self

RECEIVE_BYTES = 262_144
TIMEOUT_S = 60.0
END_OF_HEADERS = b"\r\n\r\n"
AUDIO_STATUS = 200
KEPT = b"\r\nx-cache: hit\r\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got."""

    status: int
    first_byte_s: float
    """Seconds from sending the request to the first byte of the body."""
    total_s: float
    """Seconds to the last byte of the body."""
    body_bytes: int
    """Bytes of the body as they came, chunk sizes included."""
    is_kept: bool
    """Whether it says that it was spoken before."""


class UnexpectedAnswerError(Exception):
    """The appliance answered with something that can't be measured."""


class Client:
    """One kept connection to the gateway; a context manager. Everything blocks."""

    def __init__(self, port: int) -> None:
        """Connect to the gateway on this machine."""
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def speak(self, text: str, voice: str, response_format: str) -> Answer:
        """Ask for a speech and read it to its end.

        Raises:
            UnexpectedAnswerError: The status isn't 200, or the answer broke off.
        """
        return self.send(speech_request(text, voice, response_format))

    def send(self, request: bytes) -> Answer:
        """Send a finished request and read its answer to its end.

        Raises:
            UnexpectedAnswerError: The status isn't 200, or the answer broke off.
        """
        begun_at_s = time.perf_counter()
        head, body = self.begin(request)
        first_byte_s = time.perf_counter() - begun_at_s
        body_bytes = self._read_rest(head, body)
        total_s = time.perf_counter() - begun_at_s
        return Answer(AUDIO_STATUS, first_byte_s, total_s, body_bytes, KEPT in head)

    def begin(self, request: bytes) -> tuple[bytes, bytes]:
        """Send a finished request and read its answer to the first audio; return head and body so far.

        Raises:
            UnexpectedAnswerError: The status isn't 200, or the answer broke off.
        """
        self._socket.sendall(request)
        head, body = self._read_head()
        status = int(head[9:12])
        if status != AUDIO_STATUS:
            message = f"status {status}: {body[:300]!r}"
            raise UnexpectedAnswerError(message)
        while not _has_audio(head, body):
            body += self._receive()
        return head, body

    def _read_head(self) -> tuple[bytes, bytes]:
        data = self._receive()
        while END_OF_HEADERS not in data:
            data += self._receive()
        head, _, body = data.partition(END_OF_HEADERS)
        return head.lower(), body

    def _read_rest(self, head: bytes, body: bytes) -> int:
        """Read the body to its end; return how many bytes it had."""
        length = _content_length(head)
        count, tail = len(body), body[-len(LAST_CHUNK) :]
        while count < length if length is not None else tail != LAST_CHUNK:
            data = self._receive()
            count += len(data)
            tail = (tail + data)[-len(LAST_CHUNK) :]
        return count

    def _receive(self) -> bytes:
        data = self._socket.recv(RECEIVE_BYTES)
        if not data:
            message = "the answer broke off"
            raise UnexpectedAnswerError(message)
        return data


def speech_request(text: str, voice: str, response_format: str) -> bytes:
    """Return the bytes of a `POST /v1/audio/speech`."""
    values: dict[str, Any] = {
        "model": "tts-1",
        "input": text,
        "voice": voice,
        "response_format": response_format,
    }
    body = json.dumps(values).encode()
    head = (
        "POST /v1/audio/speech HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def _content_length(head: bytes) -> int | None:
    _, _, rest = head.partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if rest else None


def _has_audio(head: bytes, body: bytes) -> bool:
    """Return whether a byte of audio is there, not only the size of a chunk."""
    if _content_length(head) is not None:
        return bool(body)
    return bool(body.partition(b"\r\n")[2])
