"""The gateway is told to stop while its clients are in the middle of something."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from appliance.store.check import connect as open_database
from processes.launcher.rendering import GATEWAY_MARGIN_S
from tests.parts.appliance import Appliance, eventually
from tests.parts.slow_clients import (
    LIVE,
    LONG_TEXT,
    connect,
    connect_without_room,
    read_to_end,
    speech,
)
from tests.parts.speaking import HOOKED, asked_locally, busy_worker
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(120)

DRAIN_S = 4.0
"""Longer than `GATEWAY_MARGIN_S`, so that a drain that takes twice as long is killed by supervisord."""


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(
        DISPATCH_DRAIN_S=DRAIN_S,
        WORKERS_PROGRESS_S=60,  # a worker that hangs is found out at the stop, not before
        **HOOKED,
        WATCHDOG_EARLY_S=0,  # a gateway that is told to stop nine times in a minute is what is wanted here
    )
    made.wait_until_ready()
    return made


@pytest.fixture(autouse=True)
def _well(appliance: Appliance) -> None:
    """Each test begins with a gateway that has a worker, and whose end is no failed start to supervisord."""
    appliance.wait_until_running()
    eventually(lambda: asked_locally(appliance, "/health").get("status") == "ok")


@contextlib.contextmanager
def listener_of_a_long_text(appliance: Appliance, version: str = "1.1") -> Iterator[socket.socket]:
    """A client that has heard the beginning and is yet to read the rest."""
    with connect_without_room(appliance, speech(LONG_TEXT, version=version)) as client:
        assert client.recv(1024).startswith(f"HTTP/{version} 200 ".encode())
        yield client


def stop_gateway(appliance: Appliance, number: signal.Signals = signal.SIGTERM) -> int:
    """Send a signal; return how many lines the log had before."""
    seen = len(appliance.lines)
    appliance.program("gateway").send_signal(number)
    appliance.wait_for("gateway_draining", after=seen, in_flight=1)
    return seen


def test_stop_when_a_reader_is_stuck_then_it_is_interrupted_within_the_drain_and_the_socket_answers(
    appliance: Appliance,
) -> None:
    with listener_of_a_long_text(appliance):
        begun_s = time.monotonic()
        seen = stop_gateway(appliance)
        eventually(lambda: asked_locally(appliance, "/health").get("status") == "draining")
        assert run_ttsctl(appliance, "live").stdout == "alive\n"
        line = appliance.wait_for("request_finished", after=seen)
        assert (line["outcome"], line["ended_by"], line["ended_in"]) == ("interrupted", "stop", "stream")
        appliance.wait_for("gateway_stopped", after=seen)
        assert DRAIN_S < time.monotonic() - begun_s < 2 * DRAIN_S
    assert DRAIN_S * 2 < DRAIN_S + GATEWAY_MARGIN_S
    appliance.wait_for("gateway_ready", after=seen)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_stop_when_the_signal_is_another_one_then_drained_all_the_same(
    appliance: Appliance, number: signal.Signals
) -> None:
    with listener_of_a_long_text(appliance):
        seen = stop_gateway(appliance, number)
    assert appliance.wait_for("request_finished", after=seen)["outcome"] == "cancelled"  # it waited for that
    appliance.wait_for("gateway_stopped", after=seen)
    appliance.wait_for("gateway_ready", after=seen)


def test_stop_when_an_answer_ends_with_its_connection_then_its_client_sees_that_it_is_not_whole(
    appliance: Appliance,
) -> None:
    with listener_of_a_long_text(appliance, "1.0") as client:
        seen = stop_gateway(appliance)
        assert appliance.wait_for("request_finished", after=seen)["outcome"] == "interrupted"
        with pytest.raises(ConnectionResetError):
            deque(iter(lambda: client.recv(1_000_000), b""), 0)
    appliance.wait_for("gateway_ready", after=seen)


def test_stop_when_a_client_hangs_up_meanwhile_then_it_is_the_one_who_ended_it(appliance: Appliance) -> None:
    with listener_of_a_long_text(appliance):
        seen = stop_gateway(appliance)
        eventually(lambda: asked_locally(appliance, "/health").get("status") == "draining")
    line = appliance.wait_for("request_finished", after=seen)
    assert (line["outcome"], line["ended_by"]) == ("cancelled", "client")
    appliance.wait_for("gateway_ready", after=seen)


def test_stop_when_a_reader_goes_on_then_it_gets_the_whole_and_nobody_waits_longer(
    appliance: Appliance,
) -> None:
    with listener_of_a_long_text(appliance) as client:
        seen = stop_gateway(appliance)
        eventually(lambda: asked_locally(appliance, "/health").get("status") == "draining")
        refused = run_ttsctl(
            appliance, "say", "x", "--voice", "tone-low", "-o", "/dev/null", "--format", "wav"
        )
        assert "draining" in refused.stderr
        end = b""
        while data := client.recv(1_000_000):
            end = (end + data)[-5:]
        assert end == b"0\r\n\r\n"
    assert appliance.wait_for("request_finished", after=seen)["outcome"] == "completed"
    appliance.wait_for("gateway_ready", after=seen)


def test_stop_when_a_client_is_idle_then_its_connection_is_closed_before_the_drain_is_over(
    appliance: Appliance,
) -> None:
    with listener_of_a_long_text(appliance), connect(appliance, LIVE) as idle:
        assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")
        seen = stop_gateway(appliance)
        assert idle.recv(4096) == b""
        assert "gateway_stopped" not in {line["event"] for line in appliance.lines[seen:]}
    appliance.wait_for("gateway_ready", after=seen)


def test_stop_when_a_body_is_still_coming_then_the_request_is_refused_honestly(appliance: Appliance) -> None:
    request = speech("Hello.", "wav")
    begun = request.index(b"\r\n\r\n") + 9
    with listener_of_a_long_text(appliance), connect(appliance, request[:begun]) as slow:
        seen = stop_gateway(appliance)
        eventually(lambda: asked_locally(appliance, "/health").get("status") == "draining")
        slow.sendall(request[begun:])
        answer = read_to_end(slow)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nconnection: close\r\n" in answer.lower()
        assert b'"code":"draining"' in answer
        assert "gateway_stopped" not in {line["event"] for line in appliance.lines[seen:]}
    appliance.wait_for("gateway_ready", after=seen)


def test_stop_when_the_database_is_held_and_a_worker_hangs_then_it_is_killed_and_the_stop_is_in_time(
    appliance: Appliance,
) -> None:
    eventually(lambda: asked_locally(appliance, "/health")["db"]["state"] == "ok")
    seen = len(appliance.lines)
    with (
        contextlib.closing(open_database(appliance.base / "data" / "appliance.sqlite")) as holder,
        connect(appliance, speech("It never ends. __HANG__")),
    ):
        hung = busy_worker(appliance)
        holder.execute("BEGIN IMMEDIATE")
        assert appliance.supervisorctl("restart", "gateway").returncode == 0
        appliance.wait_for("worker_killed", after=seen, worker=hung["name"], cause="cancel")
        appliance.wait_for("store_not_closed_well", after=seen)
        appliance.wait_for("gateway_stopped", after=seen)
        stopped = "stopped: gateway (exit status 0)"
        eventually(lambda: stopped in {line.get("message") for line in appliance.lines[seen:]})
    appliance.wait_for("gateway_ready", after=seen)
    eventually(lambda: asked_locally(appliance, "/health")["db"]["state"] == "ok")


def test_drain_when_switched_off_then_every_engine_is_probed_at_once(appliance: Appliance) -> None:
    eventually(lambda: asked_locally(appliance, "/health/tts")["status"] == "ok")
    eventually(lambda: asked_locally(appliance, "/health/tts")["age_s"] > 1)
    for switch in ("on", "off"):
        assert run_ttsctl(appliance, "drain", switch).returncode == 0
    eventually(lambda: asked_locally(appliance, "/health/tts")["age_s"] < 1, 10)
    assert asked_locally(appliance, "/health/tts")["status"] == "ok"
