"""One speech request and what came of it, as a client of its own sees it.

Owns: sending, reading in four manners (whole, as a listener, slowly, and leaving in the middle), the moment
of the first sound, and what counts as a success.
Refuses to know: Locust, limits, who asks how often, what sounds in which format (`sound`).

It works on bare bytes: an error's body that isn't UTF-8 is an answer like any other. Locust's own client
raises while it writes such a body to its log, and the request is then in no statistic.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from loadtests.sound import Sound, lack, least_s, measure
from processes.ttsctl.voice_bench.playback import PCM_BYTES_PER_S, Playback

SILENCE_LIMIT_S = 10.0
"""Seconds without a byte after which a client gives up."""
ANSWER_LIMIT_S = 60.0
"""Seconds after which it gives up whatever comes."""
PIECE_BYTES = 65_536
MAX_ERROR_BYTES = 65_536
MAX_BODY_BYTES = 16_777_216
"""Nearly six minutes of `pcm`, ten times the longest text; a body that goes on is no answer."""
SLOW_BYTES_PER_S = 8_000
SLOW_FOR_S = 10.0
SLOW_LEAST_S = SLOW_FOR_S * SLOW_BYTES_PER_S / PCM_BYTES_PER_S / 2
"""Half of what a slow reader takes at its own pace: about 0.8 s of sound; with less it was kept waiting."""
LEAVE_AFTER_S = 0.02
"""Of sound: a client that leaves has heard something first."""
REFUSALS = (429, 503)


class Ending(StrEnum):
    """How a request ended."""

    COMPLETED = "completed"
    REFUSED = "refused"
    """An honest 429 or 503: an error in the known shape, with a whole number as Retry-After."""
    FAILED = "failed"


class Manner(StrEnum):
    """How an answer is read."""

    WHOLE = "whole"
    LISTENING = "listening"
    """As it comes, minding where the sound would stand still; only with `pcm`."""
    SLOW = "slow"
    LEAVING = "leaving"
    """Hangs up when the first `LEAVE_AFTER_S` of sound are there and more is to come."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, and as whom."""

    url: str
    key: str = ""
    source: str = ""
    """Address to ask from; empty leaves it to the kernel."""

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that opens with its first request."""
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        source = (self.source, 0) if self.source else None
        return kind(parts.hostname or "", parts.port, timeout=SILENCE_LIMIT_S, source_address=source)

    def headers(self) -> dict[str, str]:
        """Return what every request carries."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


@dataclass(frozen=True, slots=True)
class Order:
    """What to speak, and how to read it."""

    text: str
    voice: str
    response_format: str
    manner: Manner = Manner.WHOLE

    def body(self) -> bytes:
        """Return the body of the request."""
        values = {
            "model": "tts-1",
            "input": self.text,
            "voice": self.voice,
            "response_format": self.response_format,
        }
        return json.dumps(values).encode()


@dataclass(slots=True)
class Outcome:
    """What came of a request; seconds count from its intended start."""

    ending: Ending = Ending.FAILED
    reason: str = ""
    """Why it wasn't completed, in a few words of a closed set."""
    first_audio_s: float | None = None
    """To the first byte of sound; neither HTTP's headers nor those of the format count."""
    total_s: float = 0.0
    body_bytes: int = 0
    gap_s: float = 0.0
    """Longest time that a listener's sound stood still, if longer than `playback.GAP_S`."""


def speak(target: Target, order: Order, due_s: float) -> Outcome:
    """Send a request over a connection of its own and read the answer; blocks.

    Args:
        target: Where to.
        order: What.
        due_s: Monotonic time at which it should have begun. A client that is still busy with its last request
            begins later, and that delay counts.
    """
    outcome = Outcome()
    connection = target.connect()
    try:
        connection.connect()
        if order.manner is Manner.SLOW:  # or the kernel takes the whole answer in
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BYTES_PER_S)
        headers = {"Content-Type": "application/json", **target.headers()}
        connection.request("POST", "/v1/audio/speech", order.body(), headers)
        response = connection.getresponse()
        if response.status == http.client.OK:
            _take_audio(response, order, due_s, outcome)
        else:
            _take_error(response, outcome)
    except (OSError, http.client.HTTPException) as error:
        outcome.ending, outcome.reason = Ending.FAILED, type(error).__name__
    finally:
        connection.close()
    outcome.total_s = time.monotonic() - due_s
    return outcome


def voices_of(target: Target, engine: str) -> list[str]:
    """Return the ids of an engine's voices; blocks.

    Raises:
        OSError: Nobody answers.
        ValueError: What is answered isn't a list of voices.
    """
    connection = target.connect()
    try:
        connection.request("GET", f"/v1/audio/voices?engine={engine}", headers=target.headers())
        response = connection.getresponse()
        body = response.read()
    except http.client.HTTPException as error:
        raise ValueError(type(error).__name__) from error
    finally:
        connection.close()
    try:
        return [str(voice["id"]) for voice in json.loads(body)["voices"]]
    except (ValueError, TypeError, KeyError) as error:
        message = f"status {response.status} and no list of voices"
        raise ValueError(message) from error


def _take_audio(response: http.client.HTTPResponse, order: Order, due_s: float, outcome: Outcome) -> None:
    promised_bytes = response.length
    reading = Reading(order)
    for piece in _pieces(response, order.manner):
        now_s = time.monotonic()
        if reading.take(piece, now_s) and outcome.first_audio_s is None:
            outcome.first_audio_s = now_s - due_s
        if now_s - due_s > ANSWER_LIMIT_S or len(reading.body) > MAX_BODY_BYTES:
            outcome.reason = "took too long" if now_s - due_s > ANSWER_LIMIT_S else "never ended"
            return
        if reading.has_enough(now_s):
            break
    outcome.body_bytes = len(reading.body)
    if not reading.has_left and promised_bytes not in (None, outcome.body_bytes):
        outcome.reason = "broke off"
        return
    outcome.reason = reading.lack()
    if not outcome.reason:
        outcome.ending = Ending.COMPLETED
        outcome.gap_s = reading.playback.longest_gap_s if order.manner is Manner.LISTENING else 0.0


def _pieces(response: http.client.HTTPResponse, manner: Manner) -> Iterator[bytes]:
    """Yield the body as it comes, at the pace of the reader.

    Raises:
        http.client.IncompleteRead: A body in chunks broke off.
    """
    count = SLOW_BYTES_PER_S if manner is Manner.SLOW else PIECE_BYTES
    while piece := response.read1(count):
        yield piece
        if manner is Manner.SLOW:
            time.sleep(len(piece) / SLOW_BYTES_PER_S)


class Reading:
    """What a client has of an answer so far, and when it leaves."""

    def __init__(self, order: Order) -> None:
        self.body = bytearray()
        self.playback = Playback()
        self.has_left = False
        """Whether it left before the end, of its own will."""
        self.begun_s = time.monotonic()
        """When the body was first waited for; from here a slow reader takes its `SLOW_FOR_S`."""
        self._order = order
        self._is_heard = False

    def take(self, piece: bytes, now_s: float) -> bool:
        """Take in a piece that has come at this monotonic time; return whether anything sounds by now."""
        self.body += piece
        self.playback.take(len(piece), now_s)
        if not self._is_heard:
            self._is_heard = self._sound().byte_count > 0
        return self._is_heard

    def has_enough(self, now_s: float) -> bool:
        """Return whether the client leaves now, though more is to come."""
        if self._order.manner is Manner.LEAVING:
            self.has_left = not lack(self._sound(), LEAVE_AFTER_S)
        elif self._order.manner is Manner.SLOW:
            self.has_left = now_s - self.begun_s > SLOW_FOR_S
        return self.has_left

    def lack(self) -> str:
        """Say what keeps the answer from being a success; nothing if it is one."""
        least_by_leaving_s = LEAVE_AFTER_S if self._order.manner is Manner.LEAVING else SLOW_LEAST_S
        return lack(self._sound(), least_by_leaving_s if self.has_left else least_s(self._order.text))

    def _sound(self) -> Sound:
        return measure(self._order.response_format, self.body)


def _take_error(response: http.client.HTTPResponse, outcome: Outcome) -> None:
    body = response.read(MAX_ERROR_BYTES)
    code = _error_code(body)
    is_honest = response.status in REFUSALS and (response.getheader("Retry-After") or "").isdecimal()
    outcome.ending = Ending.REFUSED if is_honest and code else Ending.FAILED
    outcome.reason = f"{response.status} {code or 'in an unknown shape'}"


def _error_code(body: bytes) -> str:
    """Return the code of an error in the shape that every error has, else nothing."""
    try:
        values: Any = json.loads(body)
        code = values["error"]["code"]
    except (ValueError, TypeError, KeyError):
        return ""
    return code[:40] if isinstance(code, str) else ""
