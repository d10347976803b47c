"""Peers that are gone without a word: switched off, out of range (row L6)."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.parts.appliance import Appliance, eventually
from tests.parts.missing import give_up
from tests.parts.slow_clients import LIVE, LONG_TEXT, closed, sample, speech, status

pytestmark = pytest.mark.timeout(120)

BACK_S = 30.0
OURS, THEIRS = "10.213.77.1", "10.213.77.2"
CLIENTS = """
import socket, sys
address, live, speech = (sys.argv[1], int(sys.argv[2])), *map(bytes.fromhex, sys.argv[3:])
idle, listener = (socket.create_connection(address, 30) for _ in range(2))
idle.sendall(live)
assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")
listener.sendall(speech)
assert listener.recv(1024).startswith(b"HTTP/1.1 200 ")
print("both are served", flush=True)
listener.settimeout(None)
while listener.recv(65536):
    pass
"""
"""Two clients, one idle and one that listens to whatever comes."""


def ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def house() -> Iterator[str]:
    """A network namespace at the other end of a virtual cable."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace")
    if shutil.which("ip") is None:
        give_up("needs ip: apt-get install iproute2")
    name, cable = f"tts-{os.getpid()}", f"tts{os.getpid() % 1_000_000}"
    made = ip("netns", "add", name)
    if made.returncode:
        pytest.skip(f"needs network namespaces: {made.stderr.strip()}")
    try:
        for arguments in (
            f"link add {cable}a type veth peer name {cable}b netns {name}",
            f"addr add {OURS}/30 dev {cable}a",
            f"link set {cable}a up",
            f"-n {name} addr add {THEIRS}/30 dev {cable}b",
            f"-n {name} link set {cable}b up",
        ):
            assert ip(*arguments.split()).returncode == 0, arguments
        yield name
    finally:
        # The namespace lives on while the kernel still sends for its dead sockets: its cable must not.
        ip("link", "del", f"{cable}a")
        ip("netns", "del", name)


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    made = appliance_factory(
        HTTP_HOST="0.0.0.0", VOICES_DEFAULT="tone-low", TONE_CHUNK_DELAY_S=0.3, HEALTH_PROBE_INTERVAL_S=3600
    )
    made.wait_until_ready()
    return made


@contextlib.contextmanager
def clients_in(house: str, appliance: Appliance) -> Iterator[None]:
    live, speak = LIVE.hex(), speech(LONG_TEXT).hex()
    command = ["ip", "netns", "exec", house, sys.executable, "-c", CLIENTS]
    with subprocess.Popen(
        [*command, OURS, str(appliance.port), live, speak], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "both are served\n"
            yield
        finally:
            process.kill()


def connections_of_peers() -> int:
    """How many connections to the other house the kernel has."""
    theirs = "".join(f"{int(part):02X}" for part in reversed(THEIRS.split(".")))
    return sum(
        line.split()[2].startswith(theirs) and line.split()[3] == "01"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
    )


def descriptors_of_peers(gateway: psutil.Process) -> int:
    """How many descriptors the gateway spends on connections to the other house."""
    return sum(bool(of.raddr) and of.raddr.ip == THEIRS for of in gateway.net_connections("tcp"))


@pytest.mark.slow
def test_peers_when_they_vanish_then_their_descriptors_are_back_in_time(
    appliance: Appliance, house: str
) -> None:
    seen, gateway = len(appliance.lines), appliance.program("gateway")
    before = closed(appliance, "vanished")
    with clients_in(house, appliance):
        eventually(lambda: status(appliance)["requests"]["in_flight"] == 1)
        assert connections_of_peers() == descriptors_of_peers(gateway) == 2
        begun_s = time.monotonic()
        # From now on nothing leaves that house, not even an ACK.
        assert ip("-n", house, "route", "add", "blackhole", f"{OURS}/32").returncode == 0
        line = appliance.wait_for("request_finished", after=seen, limit_s=BACK_S)
        listener_s = time.monotonic() - begun_s
        eventually(lambda: closed(appliance, "vanished") == before + 2, BACK_S)
        both_s = time.monotonic() - begun_s
    print(f"descriptors back after {listener_s:.1f} s and {both_s:.1f} s")
    assert both_s <= BACK_S
    assert (line["outcome"], line["ended_by"]) == ("cancelled", "client")
    appliance.wait_for("connections_closed", after=seen, reason="vanished", peer=THEIRS)
    assert descriptors_of_peers(gateway) == 0
    assert connections_of_peers() == 0
    assert sample(appliance, "tts_requests_in_flight") == 0
    eventually(lambda: status(appliance)["workers"][0]["state"] == "ready")
    assert appliance.get("/health/live")
