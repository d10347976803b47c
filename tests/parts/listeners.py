"""Listeners: clients that ask for speech at fixed times, however long the answers take."""

from __future__ import annotations

import contextlib
import http.client
import io
import itertools
import json
import threading
import time
import wave
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.parts.appliance import Appliance

ANSWER_S = 30.0
"""Seconds after which an answer that hasn't come is a failure."""

_numbers = itertools.count()
"""No text is ever asked for twice, or two lost workers would make it a poison request."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of one request."""

    outcome: str
    """`200` for audio that is whole; another status with its code; else the exception's name."""
    late_s: float
    """Seconds from the time at which it was to be asked to the end of its answer."""


@dataclass
class Listeners:
    """What all of them have heard so far."""

    heard: list[Heard] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.heard)

    def outcomes(self, after: int = 0) -> Counter[str]:
        return Counter(each.outcome for each in self.heard[after:])

    def failed(self, after: int = 0) -> list[str]:
        """The outcomes that aren't whole audio."""
        return [each.outcome for each in self.heard[after:] if each.outcome != "200"]

    def slowest_s(self, after: int = 0) -> float:
        return max(each.late_s for each in self.heard[after:])


@contextlib.contextmanager
def listening(
    appliance: Appliance, listeners: int = 4, *, every_s: float = 0.02, voice: str = "tone-low"
) -> Iterator[Listeners]:
    """Let listeners ask until the end of the block.

    Args:
        appliance: Whom they ask.
        listeners: How many, each with a connection that stays open.
        every_s: Seconds between two requests of one listener.
        voice: Which voice they want.
    """
    result = Listeners()
    is_over = threading.Event()

    def listen() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", appliance.port, timeout=ANSWER_S)
        due_s = time.monotonic()
        with contextlib.closing(connection):
            while not is_over.wait(max(0.0, due_s - time.monotonic())):
                outcome = _ask(connection, f"Number {next(_numbers)}.", voice)
                result.heard.append(Heard(outcome, time.monotonic() - due_s))
                due_s += every_s

    threads = [threading.Thread(target=listen, name="listener") for _ in range(listeners)]
    for thread in threads:
        thread.start()
    try:
        yield result
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def _ask(connection: http.client.HTTPConnection, text: str, voice: str) -> str:
    body = json.dumps({"input": text, "voice": voice, "response_format": "wav"})
    try:
        connection.request("POST", "/v1/audio/speech", body, {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            data = answer.read()
        if answer.status != http.HTTPStatus.OK:
            return f"{answer.status} {json.loads(data)['error']['code']}"
        with wave.open(io.BytesIO(data)) as audio:
            return "200" if audio.readframes(1) else "200 without audio"
    except (OSError, http.client.HTTPException, wave.Error, EOFError) as error:
        connection.close()
        return type(error).__name__
