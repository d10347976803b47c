"""The container as Compose starts it: what it may, what it takes, and that it speaks."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.figures import Figure
from tests.parts.appliance import eventually
from tests.parts.container import LAN_ADDRESS, LIMITS, PEAKS, Container, say
from tests.parts.docker_engine import Engine
from tests.parts.missing import give_up
from tests.parts.rounds import rounds
from tests.parts.speaking import Listeners, speak

pytestmark = pytest.mark.timeout(3600)

GIB = 1024**3
MIB = 1024**2
LISTENERS = 6
ANSWERS_UNDER_LOAD = rounds(150, 1500)
MOST_IDLE_BYTES = 450 * MIB
"""Without files in memory, which the kernel gives back."""
MP3_SYNC = 0xFFE0
"""The first eleven bits of a frame."""


@pytest.fixture(scope="module")
def container(engine: Engine, default_image: str) -> Iterator[Container]:
    with contextlib.closing(Container(engine, default_image)) as made:
        begun_s = time.monotonic()
        made.start_healthy()
        say("-", Figure("from the container's start to healthy", time.monotonic() - begun_s, "s"))
        yield made


def test_container_when_started_by_compose_then_healthy_and_ready(container: Container) -> None:
    assert container.state()["Health"]["Status"] == "healthy"
    assert container.execute("ttsctl", "live") == "alive"
    assert container.events("appliance_ready")


def test_curl_when_it_asks_both_published_addresses_then_an_mp3_comes(
    container: Container, tmp_path: Path
) -> None:
    for address in ("127.0.0.1", LAN_ADDRESS):
        file = tmp_path / f"{address}.mp3"
        body = json.dumps({"input": "The container speaks.", "voice": "en-us"})
        url = f"http://{address}:{container.port}/v1/audio/speech"
        header = "Content-Type: application/json"
        curl(url, "-H", header, "-d", body, "-o", str(file))
        sound = file.read_bytes()
        assert int.from_bytes(sound[:2]) & MP3_SYNC == MP3_SYNC
        assert len(sound) > 5000


def test_curl_when_it_asks_for_health_then_api_database_and_workers_are_well(container: Container) -> None:
    health = json.loads(curl(f"http://localhost:{container.port}/health"))
    assert (health["status"], health["api"], health["db"]["state"]) == ("ok", "ok", "ok")
    assert health["worker"]["ready"] == health["worker"]["total"] > 0


def curl(*arguments: str) -> str:
    """Ask as the package and the pages do; a status of an error fails."""
    if not shutil.which("curl"):
        give_up("curl isn't installed")
    return subprocess.run(["curl", "-fsS", *arguments], capture_output=True, text=True, check=True).stdout


def test_processes_when_looked_at_then_none_is_root_has_a_capability_or_can_get_one(
    container: Container,
) -> None:
    told = container.execute("sh", "-c", "cat /proc/[0-9]*/status")
    fields: dict[str, set[str]] = {}
    for name, value in re.findall(r"^(\w+):\s+(.*)$", told, re.MULTILINE):
        fields.setdefault(name, set()).add(value)
    assert {part for value in fields["Uid"] for part in value.split()} == {"10001"}
    assert {part for value in fields["Gid"] for part in value.split()} == {"10001"}
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert {int(value, 16) for value in fields[kind]} == {0}, kind
    assert fields["NoNewPrivs"] == {"1"}
    assert fields["Seccomp"] == {"2"}


def test_doctor_when_asked_in_the_container_then_nothing_is_to_be_mended(container: Container) -> None:
    told = json.loads(container.execute("ttsctl", "doctor", "--json", check=False))
    verdicts = {found["name"]: found["verdict"] for found in told["checks"]}
    assert "fail" not in verdicts.values(), told
    assert verdicts["packages"] == "ok"


@pytest.mark.parametrize("place", ["/x", "/app/x", "/etc/x", "/opt/venv/x", "/usr/x", "/etc/tts/env"])
def test_root_when_written_to_then_it_is_read_only(container: Container, place: str) -> None:
    assert container.execute("sh", "-c", f"touch {place} && echo written", check=False) == ""


@pytest.mark.parametrize(
    ("place", "most_mib"), [("/tmp", 64), ("/run/tts", 64), ("/dev/shm", 64), ("/var/lib/tts", None)]
)
def test_place_when_written_to_then_there_is_room_within_its_bound(
    container: Container, place: str, most_mib: int | None
) -> None:
    assert container.execute("sh", "-c", f"touch {place}/x && rm {place}/x && echo written") == "written"
    if most_mib:
        size = container.execute("df", "--output=size", "--block-size=1M", place).split()[1]
        assert int(size) <= most_mib


def test_temporary_file_when_executed_then_refused(container: Container) -> None:
    script = "cp /bin/true /tmp/x && chmod +x /tmp/x && /tmp/x && echo executed; rm -f /tmp/x"
    assert container.execute("sh", "-c", script, check=False) == ""


def test_ports_when_listed_then_nothing_listens_but_what_is_published_and_the_exporter(
    container: Container,
) -> None:
    table = container.execute("sh", "-c", "cat /proc/net/tcp /proc/net/tcp6")
    listening = {
        (address, int(port, 16))
        for address, port, state in re.findall(r"^ *\d+: (\w+):(\w+) \w+:\w+ (\w\w)", table, re.MULTILINE)
        if state == "0A" and not address.endswith("0B00007F")  # Docker's own resolver, on 127.0.0.11
    }
    assert {port for _, port in listening} == {8000, 9464, 10200}
    published = container.inspected()["NetworkSettings"]["Ports"]
    assert {port for port, places in published.items() if places} == {"8000/tcp", "10200/tcp"}
    for places in filter(None, published.values()):
        assert {place["HostIp"] for place in places} == {"127.0.0.1", LAN_ADDRESS}


def test_limits_when_read_in_the_container_then_those_of_the_file(container: Container) -> None:
    host = container.inspected()["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (10**9, GIB, GIB)
    assert (host["PidsLimit"], host["RestartPolicy"]["Name"]) == (256, "unless-stopped")
    assert host["LogConfig"]["Config"]["mode"] == "non-blocking"
    assert int(container.read(*LIMITS)) == GIB
    assert container.execute("sh", "-c", "ulimit -n; ulimit -c").split() == ["4096", "0"]
    started = container.events("launcher_started")[0]
    assert (started["cores"], started["memory_bytes"]) == (1, GIB)


def test_settings_when_they_stand_in_env_then_the_gateway_has_them_and_the_file_shows_but_its_mode(
    container: Container,
) -> None:
    gateway = "/proc/$(ttsctl supervisorctl pid gateway)/environ"
    environment = container.execute("sh", "-c", f"tr '\\0' '\\n' < {gateway}").splitlines()
    assert f"APPLIANCE_LAN_PORT={container.port}" in environment
    assert "APPLIANCE_IMPORTER_ELSEWHERE=true" in environment
    assert container.execute("stat", "-c", "%a", "/etc/tts/env") == "600"
    assert container.execute("sh", "-c", "cat /etc/tts/env", check=False) == ""  # root's, and nobody is that


def test_memory_when_many_listen_then_within_the_limit_and_nothing_is_killed(container: Container) -> None:
    idle_bytes = container.own_bytes()
    addresses = [f"127.0.0.{10 + number}" for number in range(LISTENERS)]
    with contextlib.closing(Listeners(container, addresses, voice="en-us")) as listeners:
        eventually(lambda: len(listeners.answers) >= ANSWERS_UNDER_LOAD, 600)
        busy_bytes = container.own_bytes()
    assert listeners.failed() == []
    peak_bytes = int(container.read(*PEAKS))
    say(
        "-",
        Figure("memory, espeak-ng alone, idle", idle_bytes / MIB, "MiB", most=MOST_IDLE_BYTES / MIB),
        Figure(f"memory, espeak-ng alone, {LISTENERS} listeners", busy_bytes / MIB, "MiB", most=GIB / MIB),
        Figure("memory, espeak-ng alone, most with files", peak_bytes / MIB, "MiB"),
    )
    assert idle_bytes < MOST_IDLE_BYTES
    assert busy_bytes < GIB
    assert container.killed_by_memory() == 0


def test_network_when_there_is_none_outside_then_speech_is_the_same(
    engine: Engine, default_image: str
) -> None:
    """Row N1 of the fault matrix: neither a name server nor a way out."""
    alone = Container(engine, default_image, networks={"default": {"internal": True}})
    with contextlib.closing(alone) as container:
        container.start()
        eventually(lambda: container.state().get("Health", {}).get("Status") == "healthy", 180)
        script = "import socket; socket.create_connection(('192.0.2.1', 80), 3)"
        assert container.execute("python", "-c", f"{script}; print('out')", check=False) == ""
        container.execute("ttsctl", "say", "Nobody is outside.", "-o", "/tmp/said.mp3")
        assert int(container.execute("stat", "-c", "%s", "/tmp/said.mp3")) > 5000


def test_answer_when_it_is_long_then_whole_through_the_published_port(container: Container) -> None:
    answer = speak(container, "A long text is spoken piece by piece. " * 100, voice="en-us", sound="mp3")
    assert (answer.status, answer.is_whole) == (200, True)
    assert answer.first_s < answer.took_s
