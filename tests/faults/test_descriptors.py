"""The gateway has few descriptors, and clients take them (row L8)."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
import urllib.request
from collections.abc import Callable

import psutil
import pytest

from loadtests.figures import Figure
from processes.gateway.connection_watch import KEPT_CONNECTIONS
from tests.parts.appliance import Appliance, eventually
from tests.parts.measured import say
from tests.parts.rounds import allowance_s
from tests.parts.slow_clients import (
    HALF_A_HEAD,
    LIVE,
    LONG_TEXT,
    ask_locally,
    closed,
    connect,
    connect_without_room,
    read_to_end,
    sample,
    speech,
    status,
)
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(120)

DESCRIPTORS = 144
"""128 until the store, jobs and kept answers came: the gateway keeps more files open for these, and clients
are to have as many as before."""
PAUSE_AT = 116
"""80 % of them, in whole ones."""
ANSWER_S = 0.1
BUSY_ANSWER_S = 0.4
"""What a machine that runs other tests beside this one may add to an answer of the local socket."""
PROXY = "127.0.0.77"
TCP_CLOSE = 7
"""Source: linux/tcp_states.h; `tcpi_state` is the first byte of `tcp_info`."""


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(
        WORKERS_TONE=2,
        VOICES_DEFAULT="tone-low",
        HEALTH_PROBE_INTERVAL_S=3600,
        HTTP_TRUSTED_PROXIES=f"{PROXY}/32",
        DISPATCH_CLIENT_BACKLOG=1000,
    )
    made.wait_until_ready()
    return made


@pytest.fixture
def gateway(appliance: Appliance) -> psutil.Process:
    process = appliance.program("gateway")
    _soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    return process


def is_paused(appliance: Appliance) -> bool:
    return sample(appliance, "tts_http_accept_paused") == 1


def asked_within(appliance: Appliance, times: int) -> list[float]:
    """Seconds that each answer of `run/gateway.sock` took."""
    taken_s = []
    for _ in range(times):
        begun_s = time.monotonic()
        ask_locally(appliance, "/health/live")
        taken_s.append(time.monotonic() - begun_s)
    return taken_s


def speak(appliance: Appliance, source: str = "127.0.0.1") -> bytes:
    data = speech("Hello.").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with connect(appliance, data, source=source) as client:
        return read_to_end(client)


@pytest.mark.slow
def test_descriptors_when_half_open_connections_take_them_then_the_socket_answers_and_all_comes_back(
    appliance: Appliance, gateway: psutil.Process
) -> None:
    seen, pauses = len(appliance.lines), sample(appliance, "tts_http_accept_pauses_total")
    with contextlib.ExitStack() as stack:
        begun_s = time.monotonic()
        for number in range(300):
            source = f"127.0.1.{1 + number % 10}"  # thirty from each address, which are not too many
            stack.enter_context(connect(appliance, HALF_A_HEAD, source=source))
        eventually(lambda: is_paused(appliance))
        most = gateway.num_fds()
        taken_s = asked_within(appliance, 200)
        assert run_ttsctl(appliance, "live").stdout == "alive\n"
        exporter = urllib.request.urlopen(f"{appliance.exporter_url}/metrics", timeout=10).read()
        assert b"\ntts_http_accept_paused 1.0" in exporter
        assert {worker["state"] for worker in status(appliance)["workers"]} == {"ready"}
        most = max(most, gateway.num_fds())
        answer = speak(appliance)  # it waits in the listening queue behind all of them
        waited_s = time.monotonic() - begun_s
        assert answer.startswith(b"HTTP/1.1 200 ")
    say(
        "L8",
        Figure(f"of {DESCRIPTORS} descriptors in use, at most", most, "", most=DESCRIPTORS - 1),
        Figure("run/gateway.sock meanwhile, slowest", max(taken_s) * 1000, "ms", most=ANSWER_S * 1000),
        Figure("heard behind 300 half-open connections after", waited_s, "s"),
    )
    assert most < DESCRIPTORS
    assert max(taken_s) < ANSWER_S + allowance_s(BUSY_ANSWER_S)
    line = appliance.wait_for("accept_paused", after=seen, limit=DESCRIPTORS)
    assert line["descriptors"] >= PAUSE_AT - 1
    appliance.wait_for("accept_resumed", after=seen)
    eventually(lambda: not is_paused(appliance))
    counted = sample(appliance, "tts_http_accept_pauses_total") - pauses
    said = [line["event"] for line in appliance.lines[seen:]].count("accept_paused")
    assert said == counted < 20
    assert speak(appliance).startswith(b"HTTP/1.1 200 ")


def test_descriptors_when_idle_connections_take_them_then_those_have_to_go(
    appliance: Appliance, gateway: psutil.Process
) -> None:
    seen, before = len(appliance.lines), closed(appliance, "descriptors")
    with contextlib.ExitStack() as stack:
        clients: list[socket.socket] = []
        while not (clients and closed(appliance, "descriptors") > before):
            clients.append(stack.enter_context(connect(appliance, LIVE)))
            assert clients[-1].recv(4096).startswith(b"HTTP/1.1 200 ")
            assert len(clients) <= DESCRIPTORS
        assert speak(appliance).startswith(b"HTTP/1.1 200 ")
        assert clients[0].recv(1) == b""
    appliance.wait_for("connections_closed", after=seen, reason="descriptors")
    eventually(lambda: not is_paused(appliance))


def test_descriptors_when_slow_readers_of_one_address_take_them_then_the_longest_stuck_have_to_go(
    appliance: Appliance, gateway: psutil.Process
) -> None:
    """Nothing else would end them: their heads are whole, and `http.write_limit_s` is far away."""
    seen, before = len(appliance.lines), closed(appliance, "descriptors")
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(connect_without_room(appliance, speech(LONG_TEXT), source="127.0.1.1"))
        proxied = [
            stack.enter_context(connect_without_room(appliance, speech(LONG_TEXT), source=PROXY))
            for _ in range(KEPT_CONNECTIONS + 1)  # one more than any other address would keep
        ]
        readers: list[socket.socket] = []
        while closed(appliance, "descriptors") == before:
            assert len(readers) < DESCRIPTORS
            readers.append(stack.enter_context(connect_without_room(appliance, speech(LONG_TEXT))))
        assert speak(appliance, "127.0.1.2").startswith(b"HTTP/1.1 200 ")
        eventually(lambda: not is_paused(appliance))
        ended = int(closed(appliance, "descriptors") - before)
        assert 0 < ended <= len(readers) - KEPT_CONNECTIONS
        states = [is_reset(each) for each in readers]
        assert states.count(True) == ended
        assert not any(is_reset(each) for each in [other, *proxied])
        line = appliance.wait_for("connections_closed", after=seen, reason="descriptors")
        assert (line["peer"], line["level"]) == ("127.0.0.1", "WARNING")
        assert other.recv(1024)


def is_reset(client: socket.socket) -> bool:
    """Whether the other side has thrown this connection away, without reading what has come."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE


def test_descriptors_when_none_is_left_at_all_then_accepting_waits_without_a_storm(
    appliance: Appliance, gateway: psutil.Process
) -> None:
    # What earlier clients leave gives its descriptors back first, or one would be free after all.
    eventually(lambda: {each.status for each in gateway.net_connections("tcp")} <= {psutil.CONN_LISTEN})
    seen = len(appliance.lines)
    _soft, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (gateway.num_fds(), hard))
    used = gateway.cpu_times()
    with connect(appliance, LIVE) as client:
        appliance.wait_for("accept_paused", after=seen)
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    appliance.wait_for("accept_resumed", after=seen)
    events = [line["event"] for line in appliance.lines[seen:]]
    assert events.count("accept_paused") == events.count("accept_resumed") == 1
    assert gateway.cpu_times().user - used.user < 1.0
