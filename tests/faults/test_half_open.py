"""Five hundred half-open connections from one address, while others speak (row L5)."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from loadtests.figures import Figure
from tests.parts.appliance import Appliance, eventually
from tests.parts.measured import say
from tests.parts.slow_clients import (
    HALF_A_HEAD,
    LIVE,
    ask_locally,
    closed,
    connect,
    read_to_end,
    sample,
    speech,
)
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(120)

HOSTILE = "127.0.0.66"
HALF_OPEN = 500
OTHERS = 4
REQUESTS = 50
"""That each of the others makes, at least; half of them share the hostile address."""
HEALTH_P99_S = 0.25
LOCAL_S = 1.0
CLOSING = b"\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(WORKERS_TONE=2, VOICES_DEFAULT="tone-low", HEALTH_PROBE_INTERVAL_S=3600)
    made.wait_until_ready()
    return made


class Attack:
    """Keeps its number of half-open connections up, whatever is closed."""

    def __init__(self, appliance: Appliance, stop: threading.Event) -> None:
        self._appliance = appliance
        self._stop = stop
        self.opened = 0

    def run(self) -> None:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self._open()) for _ in range(HALF_OPEN)]
            while not self._stop.wait(0.25):
                for index, client in enumerate(clients):
                    if was_closed(client):
                        client.close()
                        clients[index] = stack.enter_context(self._open())

    def _open(self) -> socket.socket:
        self.opened += 1
        return connect(self._appliance, HALF_A_HEAD, source=HOSTILE)


def was_closed(client: socket.socket) -> bool:
    try:
        client.recv(4096, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


def is_heard(appliance: Appliance, source: str) -> bool:
    with (
        contextlib.suppress(OSError),
        connect(appliance, speech("Hello.").replace(b"\r\n\r\n", CLOSING), source=source) as client,
    ):
        return read_to_end(client).startswith(b"HTTP/1.1 200 ")
    return False


def live_after_s(appliance: Appliance) -> float:
    """Seconds until /health/live has answered a new connection."""
    begun_s = time.monotonic()
    with connect(appliance, LIVE.replace(b"\r\n\r\n", CLOSING)) as client:
        assert read_to_end(client).startswith(b"HTTP/1.1 200 ")
    return time.monotonic() - begun_s


def local_after_s(appliance: Appliance) -> float:
    """Seconds until `run/gateway.sock` has answered."""
    begun_s = time.monotonic()
    ask_locally(appliance, "/health/live")
    return time.monotonic() - begun_s


@contextlib.contextmanager
def running(*works: Callable[[], None]) -> Iterator[None]:
    """Threads that end with the block."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def p99(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def test_gateway_when_one_address_holds_500_half_open_connections_then_others_are_served(
    appliance: Appliance,
) -> None:
    seen, is_over, before = len(appliance.lines), threading.Event(), closed(appliance, "many_heads")
    attack = Attack(appliance, is_over)
    heard: list[bool] = []

    def others(source: str) -> None:
        heard.extend(is_heard(appliance, source) for _ in range(REQUESTS))

    with running(attack.run):
        try:
            eventually(lambda: closed(appliance, "many_heads") > before)
            sources = ["127.0.0.1", HOSTILE] * (OTHERS // 2)
            with running(*(lambda source=source: others(source) for source in sources)):
                live_s = [live_after_s(appliance) for _ in range(300)]
                local_s = [local_after_s(appliance) for _ in range(100)]
                assert run_ttsctl(appliance, "live").stdout == "alive\n"
            eventually(lambda: closed(appliance, "head_late") > 0)
        finally:
            is_over.set()

    success = sum(heard) / len(heard)
    say(
        "L5",
        Figure("half-open connections made", attack.opened, ""),
        Figure(f"{HALF_OPEN} half-open connections, others' success", success * 100, "%", least=99),
        Figure("/health/live meanwhile, p99", p99(live_s) * 1000, "ms", most=HEALTH_P99_S * 1000),
        Figure("run/gateway.sock meanwhile, p99", p99(local_s) * 1000, "ms", most=LOCAL_S * 1000),
    )
    assert success >= 0.99
    assert p99(live_s) <= HEALTH_P99_S
    assert p99(local_s) <= LOCAL_S
    appliance.wait_for("connections_closed", after=seen, reason="many_heads", peer=HOSTILE)
    assert closed(appliance, "many_heads") - before >= HALF_OPEN - 32
    assert len(appliance.lines) - seen < attack.opened + 3 * len(heard)  # no storm

    eventually(lambda: sample(appliance, 'tts_http_connections{state="head"}') == 0)
    assert is_heard(appliance, HOSTILE)
