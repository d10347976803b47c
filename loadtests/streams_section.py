"""First audio by Wyoming and by the WebSocket beside HTTP's, and how soon Wyoming tells its voices.

Owns: the section `streams` of the measurements.
Refuses to know: what a bound is missed for.

The three ways take turns, one request at a time, each on a connection that stays open, with the same text,
voice and pcm. `describe` is asked while eight clients keep every worker speaking.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from statistics import median
from typing import BinaryIO

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from wyoming.event import Event, read_event, write_event
from wyoming.info import Describe
from wyoming.tts import Synthesize, SynthesizeVoice

from loadtests.appliance import running_appliance
from loadtests.client import Client, UnexpectedAnswerError, speech_request
from loadtests.figures import Figure
from loadtests.floor import VOICE_ID
from loadtests.workers_section import Crowd
from processes.ttsctl.voice_bench.figures import percentile
from processes.ttsctl.voice_bench.texts import CHARS_150

WAYS = ("HTTP", "Wyoming", "WebSocket")
SAMPLES = {False: 200, True: 40}
WARM_UP = 10
DESCRIBES = {False: 300, True: 100}
ROUNDS = {False: 5, True: 2}
TIMEOUT_S = 30.0
MOST_DESCRIBE_MS = 100.0
"""p99. Source: the plan of the Wyoming server."""
MOST_APART_MS = 5.0
"""Of Wyoming's first audio and HTTP's. Source: as above."""


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes a minute or two."""
    with running_appliance(WORKERS_ESPEAK=2) as appliance:
        taken_ms = asyncio.run(_first_audio_ms(appliance.port, appliance.wyoming_port, SAMPLES[is_short]))
        rounds_ms = [
            percentile(_describe_ms(appliance.port, appliance.wyoming_port, DESCRIBES[is_short]), 0.99)
            for _ in range(ROUNDS[is_short])
        ]
    describe = Figure(
        "describe while every worker is busy, p99",
        median(rounds_ms),
        "ms",
        min(rounds_ms),
        most=MOST_DESCRIBE_MS,
    )
    return [*_first_audio_figures(taken_ms), describe]


def _first_audio_figures(taken_ms: Mapping[str, list[float]]) -> Iterator[Figure]:
    for way in WAYS:
        yield Figure(f"{way}, first audio", median(taken_ms[way]), "ms", min(taken_ms[way]))
    for way in WAYS[1:]:
        apart_ms = [other - http for other, http in zip(taken_ms[way], taken_ms["HTTP"], strict=True)]
        best_ms = min(taken_ms[way]) - min(taken_ms["HTTP"])
        is_promised = way == "Wyoming"
        yield Figure(
            f"{way} − HTTP, first audio",
            median(apart_ms),
            "ms",
            best_ms,
            most=MOST_APART_MS if is_promised else float("inf"),
            least=-MOST_APART_MS if is_promised else float("-inf"),
        )


async def _first_audio_ms(port: int, wyoming_port: int, samples: int) -> dict[str, list[float]]:
    """Return the milliseconds to the first audio; the nth ones of all ways are neighbours."""
    taken_ms: dict[str, list[float]] = {way: [] for way in WAYS}
    request = speech_request(CHARS_150, VOICE_ID, "pcm")
    with Client(port) as http, _wyoming(wyoming_port) as wyoming:
        async with (
            ClientSession(f"http://127.0.0.1:{port}") as session,
            session.ws_connect("/v1/audio/stream") as stream,
        ):
            for number in range(WARM_UP + samples):
                row_s = (
                    http.send(request).first_byte_s,
                    _wyoming_first_s(wyoming),
                    await _stream_first_s(stream),
                )
                if number >= WARM_UP:
                    for way, taken_s in zip(WAYS, row_s, strict=True):
                        taken_ms[way].append(1000 * taken_s)
    return taken_ms


def _describe_ms(port: int, wyoming_port: int, count: int) -> list[float]:
    """Return the milliseconds of so many answers to `describe`, while a crowd keeps all workers busy."""
    enough = threading.Event()
    crowd = Crowd(port)

    def crowd_on() -> None:
        while not enough.is_set():
            crowd.rate_hz("espeak", 1.0)

    speaking = threading.Thread(target=crowd_on)
    speaking.start()
    try:
        with _wyoming(wyoming_port) as wyoming:
            return [1000 * _asked_s(wyoming, Describe().event(), "info") for _ in range(count)]
    finally:
        enough.set()
        speaking.join()


@contextlib.contextmanager
def _wyoming(port: int) -> Iterator[BinaryIO]:
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rwb") as file:
            yield file  # type: ignore[misc]  # BufferedRWPair is no BinaryIO to typeshed, but has all of it


def _wyoming_first_s(wyoming: BinaryIO) -> float:
    taken_s = _asked_s(wyoming, Synthesize(CHARS_150, SynthesizeVoice(name=VOICE_ID)).event(), "audio-chunk")
    while _read(wyoming).type != "audio-stop":
        pass
    return taken_s


def _asked_s(wyoming: BinaryIO, event: Event, answer: str) -> float:
    """Send an event; return the seconds to the first answer of a type."""
    begun_at_s = time.perf_counter()
    write_event(event, wyoming)
    wyoming.flush()
    while _read(wyoming).type != answer:
        pass
    return time.perf_counter() - begun_at_s


def _read(wyoming: BinaryIO) -> Event:
    event = read_event(wyoming)
    if event is None or event.type == "error":
        message = "the connection ended" if event is None else f"error: {event.data}"
        raise UnexpectedAnswerError(message)
    return event


async def _stream_first_s(stream: ClientWebSocketResponse) -> float:
    """Speak a stream to its end; return the seconds from its text to its first audio."""
    await stream.send_json({"type": "start", "voice": VOICE_ID})
    await stream.receive_json(timeout=TIMEOUT_S)
    begun_at_s = time.perf_counter()
    await stream.send_json({"type": "text", "text": CHARS_150})
    await stream.send_json({"type": "end"})
    first_s: float | None = None
    while True:
        message = await stream.receive(TIMEOUT_S)
        if message.type is WSMsgType.BINARY:
            first_s = time.perf_counter() - begun_at_s if first_s is None else first_s
        elif message.type is not WSMsgType.TEXT or message.json()["type"] == "error":
            raise UnexpectedAnswerError(str(message.data))
        elif message.json()["type"] == "done" and first_s is not None:
            return first_s
