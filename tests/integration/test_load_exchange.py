"""What a client of the load test makes of an answer, however strange."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from loadtests.exchange import Ending, Manner, Order, Target, speak, voices_of
from loadtests.load_run import LoadRun
from loadtests.samples import Samples
from tests.parts.appliance import Appliance
from tests.parts.deceiver import BARE

ORDER = Order("Hello.", "tone-low", "pcm")
SHAPE = b'{"error":{"message":"m","type":"t","param":null,"code":"overloaded"}}'
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PATIENCE_S = 15.0
SPOKEN = b"\x01\x02" * 3000
"""More than six characters can take at least."""
BYTES = len(SPOKEN)


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[Target]:
    """A server that reads one request, says this and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                received = b""
                while b"}" not in received:
                    received += connection.recv(65536)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        yield Target(f"http://127.0.0.1:{listener.getsockname()[1]}")
        serving.join()


def error(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("answer", "ending", "reason"),
    [
        (error(b"503 Busy", SHAPE, b"Retry-After: 2"), Ending.REFUSED, "503 overloaded"),
        (error(b"429 Quota", SHAPE, b"Retry-After: 0"), Ending.REFUSED, "429 overloaded"),
        (error(b"503 Busy", SHAPE), Ending.FAILED, "503 overloaded"),
        (error(b"503 Busy", SHAPE, b"Retry-After: soon"), Ending.FAILED, "503 overloaded"),
        (error(b"503 Busy", b"\xff\xfe\x80", b"Retry-After: 2"), Ending.FAILED, "503 in an unknown shape"),
        (error(b"500 Oops", SHAPE, b"Retry-After: 2"), Ending.FAILED, "500 overloaded"),
        (error(b"502 Oops", b"<html>"), Ending.FAILED, "502 in an unknown shape"),
        (OK + b"Content-Length: 0\r\n\r\n", Ending.FAILED, "no audio"),
        (OK + b"Content-Length: 10\r\n\r\nhalf", Ending.FAILED, "broke off"),
        (CHUNKED + b"4\r\nhalf\r\n", Ending.FAILED, "IncompleteRead"),
        (b"", Ending.FAILED, "RemoteDisconnected"),
        (b"\xff\xff\r\n\r\n", Ending.FAILED, "BadStatusLine"),
        (CHUNKED + b"1\r\nx\r\n0\r\n\r\n", Ending.FAILED, "too little audio"),
        (OK + b"Content-Length: 1\r\n\r\nx", Ending.FAILED, "too little audio"),
        (OK + b"Content-Length: %d\r\n\r\n" % BYTES + bytes(BYTES), Ending.FAILED, "silence"),
        (OK + b"Content-Length: %d\r\n\r\n" % BYTES + SPOKEN, Ending.COMPLETED, ""),
        (CHUNKED + b"%x\r\n" % BYTES + SPOKEN + b"\r\n0\r\n\r\n", Ending.COMPLETED, ""),
    ],
)
def test_speak_when_any_answer_comes_then_it_has_an_ending(
    answer: bytes, ending: Ending, reason: str
) -> None:
    with answering(answer) as target:
        outcome = speak(target, ORDER, time.monotonic())
    assert (outcome.ending, outcome.reason) == (ending, reason)
    assert outcome.total_s > 0
    has_body = answer.startswith(OK) and reason != "no audio"
    assert (outcome.first_audio_s is not None) == has_body


@pytest.mark.parametrize("manner", [Manner.WHOLE, Manner.LEAVING, Manner.SLOW])
@pytest.mark.parametrize("name", [name for name, header in BARE.items() if header])
def test_speak_when_only_a_header_comes_then_it_is_neither_audio_nor_a_success(
    name: str, manner: Manner
) -> None:
    header = BARE[name]
    with answering(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(header), header)) as target:
        outcome = speak(target, Order("Hello.", "tone-low", name, manner), time.monotonic())
    assert (outcome.ending, outcome.reason, outcome.first_audio_s) == (Ending.FAILED, "no audio", None)


def test_speak_when_a_leaver_hears_one_byte_then_it_is_no_success() -> None:
    with answering(CHUNKED + b"1\r\nx\r\n0\r\n\r\n") as target:
        outcome = speak(target, Order("Hello.", "tone-low", "pcm", Manner.LEAVING), time.monotonic())
    assert (outcome.ending, outcome.reason) == (Ending.FAILED, "too little audio")


def test_speak_when_it_begins_late_then_the_wait_counts() -> None:
    with answering(OK + b"Content-Length: %d\r\n\r\n" % BYTES + SPOKEN) as target:
        outcome = speak(target, ORDER, time.monotonic() - 3)
    assert outcome.first_audio_s is not None
    assert 3 <= outcome.first_audio_s <= outcome.total_s


@pytest.mark.parametrize("name", sorted(BARE))
def test_speak_when_the_appliance_answers_in_any_format_then_it_is_a_success(
    speaking: Appliance, name: str
) -> None:
    for voice in ("tone-low", "en-us"):
        order = Order("The library opens at nine.", voice, name)
        outcome = speak(Target(speaking.base_url), order, time.monotonic())
        assert outcome.ending is Ending.COMPLETED, outcome


@pytest.mark.parametrize("manner", [Manner.WHOLE, Manner.LISTENING, Manner.LEAVING])
def test_speak_when_the_appliance_answers_then_read_in_this_manner(
    speaking: Appliance, manner: Manner
) -> None:
    text = "A sentence of some length that is heard to its end. " * 10
    order = Order(text, "tone-low", "pcm", manner)
    outcome = speak(Target(speaking.base_url, source="127.0.0.9"), order, time.monotonic())
    assert outcome.ending is Ending.COMPLETED, outcome
    whole_bytes = 48_000 * 0.025 * len(text)
    assert (outcome.body_bytes > 0.9 * whole_bytes) == (manner is not Manner.LEAVING)


def test_samples_when_a_body_is_no_utf8_then_the_request_is_in_the_statistics() -> None:
    samples = Samples(begun_at_s=time.monotonic(), warm_up_s=0)
    due_s = time.monotonic()
    with answering(error(b"503 Busy", b"\xff\xfe", b"Retry-After: 2")) as target:
        samples.begin("sentence", due_s)
        samples.end("sentence", due_s, speak(target, ORDER, due_s))
    found = samples.of("sentence")
    assert (found.begun, found.endings[Ending.FAILED], found.unfinished) == (1, 1, 0)
    assert found.success(refused_too=True) == 0


def test_run_when_the_appliance_is_on_this_machine_then_each_client_has_an_address(
    speaking: Appliance,
) -> None:
    run = LoadRun(speaking.base_url, ["one", "two"], "tone", Samples(0, 0))
    first, second, third = (run.next_target() for _ in range(3))
    assert len({first.source, second.source, third.source}) == 3
    assert first.key == third.key != second.key
    assert run.next_sentence() != run.next_sentence()


def test_run_when_the_engine_has_no_voice_then_it_is_named(speaking: Appliance) -> None:
    with pytest.raises(ValueError, match="no voice of the engine vits"):
        LoadRun(speaking.base_url, [], "vits", Samples(0, 0))


def test_voices_when_something_else_answers_then_told() -> None:
    with (
        answering(error(b"404 No", b"<html>")) as target,
        pytest.raises(ValueError, match="status 404 and no"),
    ):
        voices_of(target, "{tone}")
