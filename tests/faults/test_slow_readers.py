"""Slow readers of audio that is kept or shared (row L7): they hold little, and nobody waits for them."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from loadtests.figures import Figure
from tests.parts.appliance import Appliance, eventually
from tests.parts.measured import say
from tests.parts.slow_clients import closed, connect_without_room, read_to_end, sample, speech, status
from tests.parts.speaking import speak

pytestmark = pytest.mark.timeout(180)

MIB = 1024 * 1024
ANSWER_BYTES = 8 * MIB
"""What an answer of POST may have to be kept."""
UNSENT_BYTES = 12 * MIB
READERS = 12
MOST_RSS_BYTES = UNSENT_BYTES + 20 * MIB
"""What is held for them, and what Python takes for passing so much on; all of theirs is 64 MiB."""
SENTENCE = "A sentence of which nobody will hear the end. "
KEPT = SENTENCE * 100
"""As wav 5.4 MiB, of which the kernel takes up to 2.7."""
OUTGROWN = SENTENCE * 170
"""Too large to be kept; what a slow reader of it lacks is less than may be held."""
LONG = SENTENCE * 300
"""What a slow reader of it lacks is more."""
GET_MEMORY_BYTES = 24 * MIB
"""Room for what a GET of `KEPT` is expected to have, which is four times what it has; four such are kept."""


def started(appliance_factory: Callable[..., Appliance], **settings: object) -> Appliance:
    made = appliance_factory(
        CACHE_SPEECH="true",
        CACHE_ANSWER_BYTES=ANSWER_BYTES,
        CACHE_UNSENT_BYTES=UNSENT_BYTES,
        VOICES_DEFAULT="tone-low",
        DISPATCH_CLIENT_BACKLOG=1000,
        HTTP_WRITE_LIMIT_S=3600,
        HEALTH_PROBE_INTERVAL_S=3600,
        **settings,
    )
    made.wait_until_ready()
    return made


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    """One that finds what is kept in files, since memory has no room for it."""
    return started(appliance_factory, CACHE_MEMORY_BYTES=MIB)


@pytest.fixture
def keeping(appliance_factory: Callable[..., Appliance]) -> Appliance:
    """One that keeps some answers of GET in memory."""
    return started(appliance_factory, CACHE_MEMORY_BYTES=GET_MEMORY_BYTES)


def get(text: str) -> bytes:
    query = urlencode({"text": text, "voice": "tone-low", "response_format": "wav"})
    return f"GET /v1/audio/speech?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def begin_to_read(appliance: Appliance, request: bytes) -> socket.socket:
    """A client that takes the beginning of its answer and no more."""
    client = connect_without_room(appliance, request)
    assert client.recv(8).startswith(b"HTTP/1.")
    return client


def test_readers_when_many_are_slow_then_the_slowest_are_cut_off_and_the_memory_is_bounded(
    appliance: Appliance,
) -> None:
    texts = [f"Reader {number}. {KEPT}" for number in range(READERS)]
    for text in texts:
        assert speak(appliance, text).is_whole  # so that it is kept, in its file
    gateway, seen = appliance.program("gateway"), len(appliance.lines)
    before_bytes = most_bytes = gateway.memory_info().rss
    with contextlib.ExitStack() as stack:
        clients = []
        for text in texts:
            clients.append(stack.enter_context(begin_to_read(appliance, speech(text, "wav"))))
            most_bytes = max(most_bytes, gateway.memory_info().rss)
        eventually(lambda: closed(appliance, "memory") >= READERS - 3)
        eventually(lambda: UNSENT_BYTES / 2 < sample(appliance, "tts_unsent_bytes") <= UNSENT_BYTES)
        grown_bytes = max(most_bytes, gateway.memory_info().rss) - before_bytes
        say("L7", Figure(f"{READERS} slow readers of 5 MiB each, growth", grown_bytes / MIB, "MiB"))
        assert grown_bytes <= MOST_RSS_BYTES
        appliance.wait_for("connections_closed", after=seen, reason="memory", count=1, peer="127.0.0.1")
        line = appliance.wait_for("request_finished", after=seen, cache="hit", outcome="cancelled")
        assert (line["ended_by"], line["ended_in"]) == ("client", "stream")
        with pytest.raises(ConnectionResetError):
            read_to_end(clients[0])
        assert speak(appliance, f"Somebody quick. {KEPT}").is_whole
    eventually(lambda: sample(appliance, "tts_unsent_bytes") == 0)
    assert status(appliance)["requests"]["in_flight"] == 0


def test_readers_when_they_get_what_is_kept_no_more_then_the_slowest_are_cut_off(keeping: Appliance) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(READERS):
            stack.enter_context(begin_to_read(keeping, get(f"Reader {number}. {KEPT}")))
        eventually(lambda: closed(keeping, "memory") >= 3)
        eventually(lambda: GET_MEMORY_BYTES / 2 < sample(keeping, "tts_unsent_bytes") <= GET_MEMORY_BYTES)
        assert speak(keeping, "Somebody quick.").is_whole
    eventually(lambda: sample(keeping, "tts_unsent_bytes") == 0)


def lines_of(appliance: Appliance, seen: int, chars: int) -> list[dict[str, Any]]:
    """The lines of the requests for a text."""
    lines = [line for line in appliance.lines[seen:] if line["event"] == "request_finished"]
    return [line for line in lines if line["chars"] == chars]


def test_listeners_when_one_of_them_is_slow_then_the_quick_one_does_not_wait_and_both_get_the_whole(
    appliance: Appliance,
) -> None:
    seen = len(appliance.lines)
    with begin_to_read(appliance, speech(OUTGROWN, "wav", "1.0")) as slow:
        quick = speak(appliance, OUTGROWN)
        assert quick.is_whole
        assert len(quick.body) > ANSWER_BYTES
        [line] = eventually(lambda: lines_of(appliance, seen, len(OUTGROWN)))
        assert (line["cache"], line["outcome"]) == ("shared", "completed")
        eventually(lambda: MIB < sample(appliance, "tts_unsent_bytes") < len(quick.body))
        heard = read_to_end(slow).partition(b"\r\n\r\n")[2]
        assert hashlib.sha256(heard).digest() == hashlib.sha256(quick.body).digest()
    lines = eventually(lambda: len(found := lines_of(appliance, seen, len(OUTGROWN))) == 2 and found)
    assert [line["outcome"] for line in lines] == ["completed"] * 2
    eventually(lambda: sample(appliance, "tts_unsent_bytes") == 0)


def test_listeners_when_one_of_them_lacks_too_much_then_it_is_cut_off_and_the_quick_one_gets_the_whole(
    appliance: Appliance,
) -> None:
    seen = len(appliance.lines)
    with begin_to_read(appliance, speech(LONG, "wav", "1.0")) as slow:
        quick = speak(appliance, LONG)
        assert quick.is_whole
        appliance.wait_for("connections_closed", after=seen, reason="memory", count=1)
        with pytest.raises(ConnectionResetError):
            read_to_end(slow)
    lines = eventually(lambda: len(found := lines_of(appliance, seen, len(LONG))) == 2 and found)
    ends = {line["cache"]: (line["outcome"], line["ended_by"], line["ended_in"]) for line in lines}
    assert ends == {
        "shared": ("completed", "completed", "stream"),
        "miss": ("cancelled", "client", "stream"),
    }


def test_first_audio_when_a_large_kept_answer_is_read_slowly_then_it_counts_when_it_leaves(
    appliance: Appliance,
) -> None:
    text = f"Measured. {KEPT}"
    assert speak(appliance, text).is_whole
    heard = 'tts_time_to_first_audio_seconds_count{engine="tone"}'
    before = sample(appliance, heard)
    with begin_to_read(appliance, speech(text, "wav")):
        eventually(lambda: sample(appliance, heard) == before + 1, 10)
        assert status(appliance)["requests"]["in_flight"] == 1
