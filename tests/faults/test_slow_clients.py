"""Clients that send slowly, read slowly or say nothing at all (rows L5 and L7, security R5 and R12)."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable

import pytest

from appliance.settings import load_settings
from processes.gateway.connection_watch import LATE_LOOK_S
from tests.parts.appliance import Appliance, eventually
from tests.parts.rounds import allowance_s
from tests.parts.slow_clients import (
    HALF_A_HEAD,
    LIVE,
    LONG_TEXT,
    SPEECH,
    closed,
    connect,
    connect_without_room,
    dribble,
    error_of,
    read_to_end,
    sample,
    speech,
    status,
)

pytestmark = pytest.mark.timeout(120)

LIMIT_S = 2.0
PROXY = "127.0.0.77"
READERS = 20
MOST_RSS_BYTES = 2 * 1024 * 1024
WAV_TEXT = "One utterance, which as wav is finished first and then written in one piece: " + "word " * 40


def started(appliance_factory: Callable[..., Appliance], **settings: object) -> Appliance:
    made = appliance_factory(
        HTTP_HEAD_LIMIT_S=LIMIT_S,
        HTTP_BODY_LIMIT_S=LIMIT_S,
        HTTP_WRITE_LIMIT_S=LIMIT_S,
        HTTP_TRUSTED_PROXIES=f"{PROXY}/32",
        VOICES_DEFAULT="tone-low",
        WORKERS_TONE=1,
        DISPATCH_CLIENT_BACKLOG=1000,
        HEALTH_PROBE_INTERVAL_S=3600,
        **settings,
    )
    made.wait_until_ready()
    return made


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    return started(appliance_factory)


@pytest.fixture(scope="module")
def keeping(appliance_factory: Callable[..., Appliance]) -> Appliance:
    return started(appliance_factory, CACHE_SPEECH="true")


def assert_in_time(seconds: float) -> None:
    assert LIMIT_S - 0.1 < seconds < LIMIT_S + LATE_LOOK_S + allowance_s()


def assert_served(appliance: Appliance) -> None:
    """Somebody who behaves is heard."""
    with connect(
        appliance, speech("Hello.").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    ) as client:
        assert read_to_end(client).startswith(b"HTTP/1.1 200 ")


def test_head_when_it_comes_byte_by_byte_then_it_gets_408_in_our_shape(appliance: Appliance) -> None:
    seen, before = len(appliance.lines), closed(appliance, "head_late")
    with connect(appliance, HALF_A_HEAD) as client:
        answer, after_s = dribble(client, b"x")
    assert_in_time(after_s)
    assert answer.startswith(b"HTTP/1.0 408 ")  # which says that it ends with the connection
    assert b"\r\nX-Request-ID: " in answer
    assert (error_of(answer)["code"], error_of(answer)["param"]) == ("request_timeout", None)
    appliance.wait_for("request_refused", after=seen, status=408, code="request_timeout")
    appliance.wait_for("connections_closed", after=seen, reason="head_late", peer="127.0.0.1")
    assert closed(appliance, "head_late") == before + 1
    assert_served(appliance)


def test_connection_when_it_is_silent_then_it_is_closed_without_a_word(appliance: Appliance) -> None:
    seen, before, begun_s = len(appliance.lines), closed(appliance, "head_late"), time.monotonic()
    with connect(appliance) as client:
        eventually(lambda: sample(appliance, 'tts_http_connections{state="head"}') == 1)
        assert client.recv(1) == b""
    assert_in_time(time.monotonic() - begun_s)
    appliance.wait_for("connections_closed", after=seen, reason="silent", level="INFO", count=1)
    assert closed(appliance, "head_late") == before
    assert_served(appliance)


def test_connection_when_it_is_kept_then_only_a_begun_head_counts(appliance: Appliance) -> None:
    with connect(appliance, LIVE) as idle, connect(appliance, LIVE) as slow:
        assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert slow.recv(4096).startswith(b"HTTP/1.1 200 ")
        eventually(lambda: sample(appliance, 'tts_http_connections{state="idle"}') >= 2)
        slow.sendall(HALF_A_HEAD)
        answer, after_s = dribble(slow, b"x")
        assert_in_time(after_s)
        assert b" 408 " in answer.partition(b"\r\n")[0]
        idle.sendall(LIVE)
        assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_head_when_it_begins_behind_a_whole_request_then_it_has_no_more_time_than_others(
    appliance: Appliance,
) -> None:
    """The kept ones may stay as they are, for none of them has begun another head."""
    short, chunked = speech("Hello."), SPEECH + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    refused = SPEECH + b"Content-Length: 8\r\n\r\n{\r\n\r\n  }"
    whole = [LIVE, short, chunked, refused, LIVE + LIVE]
    begun_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(connect(appliance, each)) for each in whole]
        begun = [stack.enter_context(connect(appliance, each + b"GET /hea")) for each in whole]
        for cut in (9, short.index(b"\r\n\r\n") + 3, len(short) - 1):
            parts = [short[:cut], short[cut:]]
            kept.append(stack.enter_context(connect(appliance, parts[0])))
            begun.append(stack.enter_context(connect(appliance, parts[0])))
            eventually(lambda: sample(appliance, 'tts_http_connections{state="answer"}') == 0)
            kept[-1].sendall(parts[1])
            begun[-1].sendall(parts[1] + HALF_A_HEAD)
        eventually(lambda: sample(appliance, 'tts_http_connections{state="head"}') >= len(whole))
        assert all(b" 408 " in read_to_end(client) for client in begun)
        assert time.monotonic() - begun_s < 2 * LIMIT_S + allowance_s()
        eventually(lambda: sample(appliance, 'tts_http_connections{state="idle"}') >= len(kept))
        for client in kept:
            client.sendall(LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert read_to_end(client).count(b"HTTP/1.1 200 ") >= 1


def test_body_when_it_comes_byte_by_byte_then_it_gets_408_in_our_shape(appliance: Appliance) -> None:
    seen, before = len(appliance.lines), closed(appliance, "body_late")
    with connect(appliance, SPEECH + b"Content-Length: 1000\r\n\r\n{") as client:
        eventually(lambda: sample(appliance, 'tts_http_connections{state="body"}') == 1)
        answer, after_s = dribble(client, b" ")
    assert LIMIT_S - 1 < after_s < LIMIT_S + LATE_LOOK_S + allowance_s()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert error_of(answer)["code"] == "request_timeout"
    appliance.wait_for("request_refused", after=seen, status=408, code="request_timeout")
    appliance.wait_for("connections_closed", after=seen, reason="body_late")
    assert closed(appliance, "body_late") == before + 1
    assert_served(appliance)


def test_body_when_nobody_reads_it_then_its_connection_ends_all_the_same(appliance: Appliance) -> None:
    with connect(
        appliance, b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    ) as client:
        begun_s = time.monotonic()
        assert client.recv(65_536).startswith(b"HTTP/1.1 404 ")
        assert read_to_end(client) == b""
        assert_in_time(time.monotonic() - begun_s)


def test_body_when_it_waits_behind_another_request_then_it_is_refused_too(appliance: Appliance) -> None:
    late = SPEECH + b"Content-Length: 1000\r\n\r\n{"
    seen, before = len(appliance.lines), closed(appliance, "body_late")
    with connect_without_room(appliance, speech(LONG_TEXT, "wav") + late) as client:
        appliance.wait_for("connections_closed", after=seen, reason="body_late")
        with contextlib.suppress(ConnectionResetError):
            while client.recv(65_536):
                pass
    assert closed(appliance, "body_late") == before + 1
    assert_served(appliance)


def test_proxy_when_it_has_many_heads_then_they_have_their_whole_time(appliance: Appliance) -> None:
    before = closed(appliance, "many_heads")
    with contextlib.ExitStack() as stack:
        begun_s = time.monotonic()
        clients = [stack.enter_context(connect(appliance, HALF_A_HEAD, source=PROXY)) for _ in range(60)]
        assert all(b" 408 " in read_to_end(client)[:20] for client in clients)
        assert_in_time(time.monotonic() - begun_s)
    assert closed(appliance, "many_heads") == before


def test_heads_when_an_address_has_too_many_then_its_newest_are_closed(appliance: Appliance) -> None:
    before, seen = closed(appliance, "many_heads"), len(appliance.lines)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(appliance, HALF_A_HEAD)) for _ in range(60)]
        answers = [read_to_end(client) for client in clients]
    assert [b" 408 " in answer[:20] for answer in answers] == [True] * 32 + [False] * 28
    assert answers[32:] == [b""] * 28
    appliance.wait_for("connections_closed", after=seen, reason="many_heads", peer="127.0.0.1")
    assert closed(appliance, "many_heads") == before + 28
    assert_served(appliance)


def test_heads_when_a_hundred_whole_ones_come_at_once_then_all_are_answered(appliance: Appliance) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(appliance)) for _ in range(100)]
        for client in clients:
            client.sendall(LIVE)
        assert all(client.recv(4096).startswith(b"HTTP/1.1 200 ") for client in clients)


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            SPEECH + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="both lengths"
        ),
        pytest.param(SPEECH + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", id="two lengths"),
        pytest.param(LIVE.replace(b"\r\n", b"\n"), id="bare line feeds"),
        pytest.param(LIVE[:-2] + b"X-A: 1\r\n" * 200 + b"\r\n", id="many headers"),
        pytest.param(LIVE[:-2] + b"X-A: " + b"x" * 300_000 + b"\r\n\r\n", id="long header"),
    ],
)
def test_head_when_it_is_ambiguous_or_too_big_then_it_gets_400_and_the_connection_ends(
    appliance: Appliance, request_bytes: bytes
) -> None:
    with connect(appliance, request_bytes) as client:
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := client.recv(65_536):
                answer += data
    assert answer.partition(b"\r\n")[0].split()[1] in {b"400", b"431"}
    assert error_of(answer)["type"] == "invalid_request_error"


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_reader_when_it_stops_then_it_is_cut_off_and_holds_no_worker(
    appliance: Appliance, version: str
) -> None:
    seen, before = len(appliance.lines), closed(appliance, "write_late")
    with connect_without_room(appliance, speech(LONG_TEXT, version=version)) as client:
        assert client.recv(1024).startswith(f"HTTP/{version} 200 ".encode())
        eventually(lambda: status(appliance)["workers"][0]["state"] == "ready")
        assert_served(appliance)  # by the only worker, while the reader is stuck
        assert status(appliance)["requests"]["in_flight"] == 1
        line = appliance.wait_for("request_finished", after=seen, outcome="cancelled")
        assert (line["ended_by"], line["ended_in"]) == ("client", "stream")
        with pytest.raises(ConnectionResetError):
            read_to_end(client)
    appliance.wait_for("connections_closed", after=seen, reason="write_late", count=1)
    assert closed(appliance, "write_late") == before + 1
    assert status(appliance)["requests"]["in_flight"] == 0
    assert_served(appliance)


def test_reader_when_it_stops_after_the_kernel_has_taken_the_answer_then_it_is_cut_off_too(
    appliance: Appliance,
) -> None:
    seen = len(appliance.lines)
    with connect_without_room(appliance, speech("A short text, though too long for the client.")) as client:
        appliance.wait_for("request_finished", after=seen, outcome="completed")
        appliance.wait_for("connections_closed", after=seen, reason="write_late", count=1)
        with pytest.raises(ConnectionResetError):
            read_to_end(client)
    assert_served(appliance)


def test_reader_when_it_takes_a_little_now_and_then_then_it_is_left_alone(appliance: Appliance) -> None:
    before = closed(appliance, "write_late")
    with connect_without_room(appliance, speech(LONG_TEXT)) as client:
        assert client.recv(1024).startswith(b"HTTP/1.1 200 ")
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < 2.5 * LIMIT_S:
            assert client.recv(65_536, socket.MSG_WAITALL)
            select.select([], [], [], LIMIT_S / 4)  # the pace of this client; nothing is awaited
        assert status(appliance)["requests"]["in_flight"] == 1
        assert closed(appliance, "write_late") == before


@pytest.mark.parametrize("audio_format", ["pcm", "wav"])
def test_readers_when_many_stop_then_each_costs_little_memory(either: Appliance, audio_format: str) -> None:
    text = LONG_TEXT if audio_format == "pcm" else WAV_TEXT
    gateway = either.program("gateway")
    assert_served(either)
    with contextlib.ExitStack() as stack:
        before_bytes = most_bytes = gateway.memory_info().rss
        for number in range(READERS):
            client = connect_without_room(either, speech(f"Reader {number}: {text}", audio_format))
            stack.enter_context(client)
            client.recv(1024)
            most_bytes = max(most_bytes, gateway.memory_info().rss)
        empty = {"waiting": 0, "running": 0, "expected_wait_s": 0}
        eventually(lambda: empty.items() <= status(either)["queue"].items())
        each_bytes = (max(most_bytes, gateway.memory_info().rss) - before_bytes) / READERS
    print(f"{audio_format}: {each_bytes / 1024:.0f} KiB a stuck reader")
    # What may be kept is held until it is whole, in a room that all such answers share.
    is_keeping = either.environment["APPLIANCE_CACHE_SPEECH"] == "true"
    room_bytes = load_settings({}).cache.memory_bytes if is_keeping else 0
    assert each_bytes <= MOST_RSS_BYTES + room_bytes / READERS
    eventually(lambda: status(either)["requests"]["in_flight"] == 0)
