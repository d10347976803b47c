"""Somebody on the workers' socket breaks the rules (rows I1, I2 and I3)."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from appliance.errors import ProtocolError
from appliance.ipc.frames import HEADER, MAX_META_BYTES, MAX_PAYLOAD_BYTES, Frame, FrameDecoder, Kind
from appliance.lifecycle import WORKERS_SOCKET
from loadtests.figures import Figure
from tests.parts.appliance import Appliance, eventually
from tests.parts.listeners import Listeners, listening
from tests.parts.measured import say
from tests.parts.rogue import GARBAGE, LEAVERS_TEXT, NAME, header, running_rogue
from tests.parts.rounds import is_full
from tests.parts.scrape import scrape

MAX_GROWTH_BYTES = 10 * 1024**2
PATIENCE_S = 30.0
LAG_LIMIT_S = 0.05
LAG_SHARE = 0.01
LATE_BY_CHANCE = 0.03
MEASURED_TICKS = 120
"""Looks at the gateway's own lag, ten a second."""
NOBODY = 65_534
KNOCKS = 100

SAID = {
    "bad_magic": "magic",
    "bad_version": "version 2",
    "unknown_kind": "unknown kind",
    "length_0": "HEARTBEAT has a bad meta",
    "length_max": "4294967295",
    "no_utf8": "HEARTBEAT has a bad meta",
    "truncated": "inside a wire frame",
    "hello_for_ever": "out of turn",
    "hello_again": "out of turn",
    "drains_for_ever": "doesn't read",
    "floods": "more wire frames at once",
}
"""By deed, or its beginning: what the log says about it."""
BREACHES = (
    *(f"{what}_{when}" for what in (*GARBAGE, "truncated") for when in ("at_once", "in_an_utterance")),
    *("hello_for_ever", "hello_again", "drains_for_ever", "floods"),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    """One worker that is always busy, so that whoever joins is given something to speak."""
    made = appliance_factory(
        TONE_DELAY_S=0.05,
        WORKERS_PROGRESS_S=1.0,
        VOICES_DEFAULT="tone-low",
        HEALTH_PROBE_INTERVAL_S=3600,
    )
    made.wait_until_ready()
    with listening(made) as listeners:
        eventually(lambda: listeners.count > 100)
    return made


@pytest.fixture
def listeners(appliance: Appliance) -> Iterator[Listeners]:
    with listening(appliance) as found:
        eventually(lambda: found.count > 10)
        yield found


def counted(appliance: Appliance, *sample: str) -> float:
    return scrape(appliance.base_url)[sample]


def resident_bytes(appliance: Appliance) -> int:
    size: int = appliance.program("gateway").memory_info().rss
    return size


def assert_others_are_served(listeners: Listeners) -> None:
    asked = listeners.count
    eventually(lambda: listeners.count > asked + 20)


@pytest.mark.parametrize("deed", BREACHES)
def test_gateway_when_a_worker_breaks_the_protocol_then_its_connection_ends_and_one_request_at_most(
    appliance: Appliance, listeners: Listeners, deed: str
) -> None:
    errors = counted(appliance, "tts_protocol_errors_total")
    gateway, size_bytes = appliance.program("gateway").pid, resident_bytes(appliance)
    seen = len(appliance.lines)
    with running_rogue(appliance.run_dir, deed) as rogue:
        line = appliance.wait_for("worker_lost", after=seen, worker_pid=rogue.pid, limit_s=PATIENCE_S)
        assert rogue.wait(PATIENCE_S) == 0
    (said,) = [text for name, text in SAID.items() if deed.startswith(name)]
    assert (line["cause"], line["level"]) == ("protocol", "WARNING")
    assert said in line["error"]
    assert counted(appliance, "tts_protocol_errors_total") == errors + 1
    assert_others_are_served(listeners)
    assert len(listeners.failed()) <= 1
    assert appliance.program("gateway").pid == gateway
    grown_bytes = resident_bytes(appliance) - size_bytes
    assert grown_bytes <= MAX_GROWTH_BYTES
    print(f"{deed}: {len(listeners.failed())} of {listeners.count} failed, {grown_bytes / 1024:.0f} KiB more")


def test_gateway_when_somebody_connects_and_says_nothing_then_he_is_killed_and_nobody_notices(
    appliance: Appliance, listeners: Listeners
) -> None:
    seen, begun_s = len(appliance.lines), time.monotonic()
    with running_rogue(appliance.run_dir, "silent") as rogue:
        appliance.wait_for(
            "worker_killed", after=seen, worker_pid=rogue.pid, cause="hung", limit_s=PATIENCE_S
        )
        assert rogue.wait(PATIENCE_S) == -signal.SIGABRT
    assert_others_are_served(listeners)
    assert listeners.failed() == []
    print(f"killed {time.monotonic() - begun_s:.1f} s after its start")


@pytest.mark.parametrize(("deed", "stale_frames"), [("wrong_id", 6), ("reply_twice", 3)])
def test_gateway_when_a_reply_is_nobodys_then_it_is_dropped_and_counted_and_the_worker_stays(
    appliance: Appliance, listeners: Listeners, deed: str, stale_frames: int
) -> None:
    def stale() -> float:
        return counted(appliance, "tts_stale_frames_total")

    before, seen = stale(), len(appliance.lines)
    with running_rogue(appliance.run_dir, deed):
        appliance.wait_for("worker_joined", after=seen, worker=NAME)
        eventually(lambda: stale() >= before + 10 * stale_frames)
        assert_others_are_served(listeners)
        assert NAME in {line.get("worker") for line in finished(appliance, seen)}
    appliance.wait_for("worker_lost", after=seen, worker=NAME, cause="lost")
    assert_others_are_served(listeners)
    assert listeners.failed() == []


def finished(appliance: Appliance, after: int) -> list[dict[str, object]]:
    return [line for line in list(appliance.lines[after:]) if line["event"] == "request_finished"]


def leave_after_the_beginning(appliance: Appliance) -> bool:
    """Ask for a text and hang up when its first audio has come; return whether any had."""
    client = http.client.HTTPConnection("127.0.0.1", appliance.port, timeout=PATIENCE_S)
    body = {"input": f"I will {LEAVERS_TEXT}.", "voice": "tone-high", "response_format": "pcm"}
    client.request("POST", "/v1/audio/speech", json.dumps(body), {"Content-Type": "application/json"})
    with client.getresponse() as answer:
        has_begun = answer.status == http.HTTPStatus.OK and answer.read1(1) != b""
        assert client.sock is not None
        client.sock.shutdown(socket.SHUT_RDWR)
    client.close()
    return has_begun


def test_gateway_when_a_worker_speaks_on_after_a_cancel_then_that_is_dropped_and_counted(
    appliance: Appliance, listeners: Listeners
) -> None:
    before, seen = counted(appliance, "tts_stale_frames_total"), len(appliance.lines)
    with running_rogue(appliance.run_dir, "reply_after_cancel"):
        appliance.wait_for("worker_joined", after=seen, worker=NAME)
        eventually(
            lambda: (
                leave_after_the_beginning(appliance)
                and counted(appliance, "tts_stale_frames_total") >= before + 3
            )
        )
        assert_others_are_served(listeners)
    assert listeners.failed() == []


def lags(appliance: Appliance) -> tuple[float, float]:
    """How often the gateway looked at its own lag, and how often that was within the limit."""
    seen = scrape(appliance.base_url)
    within = seen["tts_event_loop_lag_seconds_bucket", f"{LAG_LIMIT_S}"]
    return seen["tts_event_loop_lag_seconds_count",], within


def late_share(appliance: Appliance, meanwhile: Callable[[], object]) -> float:
    """Do something again and again while the gateway's lag is measured; return the share of late ones."""
    ticks, within = lags(appliance)
    while (now := lags(appliance))[0] < ticks + MEASURED_TICKS:
        meanwhile()
    return 1 - (now[1] - within) / (now[0] - ticks)


def test_gateway_when_a_worker_never_reads_or_floods_then_it_is_killed_and_the_loop_is_never_held_up(
    appliance: Appliance, listeners: Listeners
) -> None:
    kills = counted(appliance, "tts_worker_exits_total", "progress")
    size_bytes = resident_bytes(appliance)
    rogues = 0

    def behave() -> None:
        with running_rogue(appliance.run_dir, "behaves") as rogue:
            assert rogue.wait(PATIENCE_S) == 0

    def misbehave() -> None:
        nonlocal rogues
        seen = len(appliance.lines)
        for deed, event, cause in (
            ("never_reads", "worker_killed", "progress"),
            ("drains_for_ever", "worker_lost", "protocol"),
            ("floods", "worker_lost", "protocol"),
        ):
            with running_rogue(appliance.run_dir, deed) as rogue:
                appliance.wait_for(event, after=seen, worker_pid=rogue.pid, cause=cause, limit_s=PATIENCE_S)
                rogue.wait(PATIENCE_S)
        rogues += 1

    usual, late = late_share(appliance, behave), late_share(appliance, misbehave)
    eventually(lambda: counted(appliance, "tts_worker_exits_total", "progress") == kills + rogues)
    assert_others_are_served(listeners)
    assert listeners.failed() == []
    assert resident_bytes(appliance) - size_bytes <= MAX_GROWTH_BYTES
    # On a machine that is busy with other things the loop is late beside well-behaved workers too.
    most = LAG_SHARE if is_full() else max(LAG_SHARE, usual + LATE_BY_CHANCE)
    loop = f"event loop later than {LAG_LIMIT_S * 1000:g} ms"
    say(
        "I2",
        Figure(f"{loop}, beside rogues", late * 100, "%", most=round(most * 100, 2)),
        Figure(f"{loop}, without them", usual * 100, "%"),
    )
    assert late <= most


class Decoder(Protocol):
    """What `FrameDecoder` offers."""

    def room(self) -> memoryview: ...

    def take(self, count: int) -> Iterator[Frame]: ...


class TrustingDecoder:
    """A decoder that makes room for whatever a header announces, as ours must not."""

    def __init__(self) -> None:
        self._buffer = bytearray(HEADER.size)
        self._filled = 0

    def room(self) -> memoryview:
        return memoryview(self._buffer)[self._filled :]

    def take(self, count: int) -> Iterator[Frame]:
        self._filled += count
        _magic, _version, _kind, meta_bytes, payload_bytes, _id = HEADER.unpack_from(self._buffer)
        self._buffer = bytearray(HEADER.size + meta_bytes + payload_bytes)
        return iter(())


def weaknesses(make: Callable[[], Decoder]) -> list[str]:
    """What a decoder does wrong about frames that are announced too long."""
    found = []
    for meta_bytes, payload_bytes in ((MAX_META_BYTES + 1, 0), (0, MAX_PAYLOAD_BYTES + 1), (0, 2**26)):
        decoder = make()
        tracemalloc.start()
        try:
            decoder.room()[: HEADER.size] = header(Kind.AUDIO, meta_bytes, payload_bytes)
            list(decoder.take(HEADER.size))
            found.append(f"believes {meta_bytes} + {payload_bytes}")
        except ProtocolError:
            pass
        finally:
            peak_bytes = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        if peak_bytes > MAX_GROWTH_BYTES:
            found.append(f"allocates for {payload_bytes}")
    return found


def test_decoder_when_more_is_announced_than_may_be_then_it_refuses_before_it_allocates() -> None:
    assert weaknesses(FrameDecoder) == []


def test_detector_when_a_decoder_believes_every_length_then_it_finds_that() -> None:
    assert weaknesses(TrustingDecoder) == [
        f"believes {MAX_META_BYTES + 1} + 0",
        f"believes 0 + {MAX_PAYLOAD_BYTES + 1}",
        f"believes 0 + {2**26}",
        f"allocates for {2**26}",
    ]


KNOCKING = """
import os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[3]))
for _ in range(int(sys.argv[2])):
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(sys.argv[1])
            print("hung up" if client.recv(1) == b"" else "let in")
        except OSError as error:
            print(type(error).__name__)
"""


def knock_as_nobody(path: Path) -> dict[str, int]:
    """Connect to a socket as another user of this machine, again and again; return what came of it."""
    answers = subprocess.run(
        [sys.executable, "-c", KNOCKING, str(path), str(KNOCKS), str(NOBODY)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    ).stdout.split("\n")
    return {answer: answers.count(answer) for answer in answers if answer}


@pytest.fixture
def open_door(appliance: Appliance) -> Iterator[Path]:
    """The workers' socket with every permission on its way, as if its directory weren't private."""
    path = appliance.run_dir / WORKERS_SOCKET
    before = [(each, stat.S_IMODE(each.stat().st_mode)) for each in (path, path.parent, appliance.base)]
    for each, _ in before:
        each.chmod(0o777)
    yield path
    for each, mode in before:
        each.chmod(mode)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@needs_root
def test_socket_when_another_user_knocks_then_its_directory_keeps_him_out(appliance: Appliance) -> None:
    appliance.base.chmod(0o755)
    assert knock_as_nobody(appliance.run_dir / WORKERS_SOCKET) == {"PermissionError": KNOCKS}


@needs_root
def test_socket_when_another_user_gets_through_to_it_then_he_is_hung_up_on_and_counted(
    appliance: Appliance, listeners: Listeners, open_door: Path
) -> None:
    before, seen = counted(appliance, "tts_security_denied_total", "peer_uid"), len(appliance.lines)
    answers = knock_as_nobody(open_door)
    assert sum(answers.values()) == KNOCKS
    assert set(answers) <= {"hung up", "ConnectionResetError"}
    assert counted(appliance, "tts_security_denied_total", "peer_uid") == before + KNOCKS
    appliance.wait_for("peer_refused", after=seen, uid=NOBODY)
    assert_others_are_served(listeners)
    assert listeners.failed() == []
