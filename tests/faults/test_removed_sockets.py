"""Somebody removes the sockets of the run directory, as a clean-up of temporary files does."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.lifecycle import GATEWAY_SOCKET, NOTIFY_SOCKET, SOCKETS_SOCKET, WORKERS_SOCKET
from tests.parts.appliance import Appliance, eventually
from tests.parts.scrape import scrape
from tests.parts.speaking import Clients, connected_workers, speak, wait_until_whole

pytestmark = pytest.mark.timeout(180)

SIZE = 2


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    """An appliance that would give up soon without a word of its gateway."""
    made = appliance_factory(WORKERS_TONE=SIZE, WATCHDOG_NO_ENGINE_S=20, VOICES_DEFAULT="tone-low")
    made.wait_until_ready()
    made.wait_until_running()
    return made


def pids(appliance: Appliance) -> dict[str, int]:
    return {name: program["pid"] for name, program in appliance.programs().items()}


def gateway_restarts(appliance: Appliance) -> float:
    return scrape(appliance.exporter_url)["tts_process_restarts_total", "gateway"]


def test_notify_socket_when_removed_then_opened_again_and_nobody_is_killed(appliance: Appliance) -> None:
    wait_until_whole(appliance, SIZE)
    before, seen = pids(appliance), len(appliance.lines)
    (appliance.run_dir / NOTIFY_SOCKET).unlink()
    appliance.wait_for("socket_opened_again", after=seen, program="watchdog", socket=NOTIFY_SOCKET)
    restarted = appliance.supervisorctl("restart", "exporter")  # its READY=1 comes over the new one
    assert restarted.returncode == 0
    eventually(lambda: appliance.programs()["exporter"]["ready"])
    assert speak(appliance, "As before.").status == 200
    assert {**pids(appliance), "exporter": 0} == {**before, "exporter": 0}
    assert not [line for line in appliance.lines[seen:] if line["event"] == "program_hung"]
    seen_now = scrape(appliance.exporter_url)
    assert seen_now["tts_process_hangs_total", "gateway"] == 0
    assert seen_now["tts_process_ready", "exporter"] == 1


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    """Put a socket there that nobody listens at, as a copy of an old run directory would."""
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(f"{path}.other")
    path.with_name(f"{path.name}.other").replace(path)


@pytest.mark.parametrize("undo", [remove, replace])
@pytest.mark.parametrize("name", [WORKERS_SOCKET, GATEWAY_SOCKET])
def test_gateway_when_a_socket_of_it_is_removed_then_the_next_one_opens_it_and_no_request_fails(
    appliance: Appliance, name: str, undo: Callable[[Path], None]
) -> None:
    wait_until_whole(appliance, SIZE)
    appliance.wait_until_running()
    before, seen = pids(appliance), len(appliance.lines)
    restarts = gateway_restarts(appliance)
    undo(appliance.run_dir / name)
    with contextlib.closing(Clients(appliance, SIZE)) as clients:
        answers = [clients.ask(f"Meanwhile, {number}.") for number in range(4 * SIZE)]
        appliance.wait_for("socket_removed", after=seen, sockets=[name])
        answers += [clients.ask(f"And then, {number}.") for number in range(4 * SIZE)]
        assert {answer.result().status for answer in answers} == {200}
    appliance.wait_for("gateway_ready", after=seen)
    eventually(lambda: len(connected_workers(appliance, "ready")) == SIZE)
    assert {**pids(appliance), "gateway": 0} == {**before, "gateway": 0}
    assert gateway_restarts(appliance) == restarts + 1
    appliance.program("worker-tone-1").kill()
    eventually(lambda: appliance.programs()["worker-tone-1"]["pid"] not in {0, before["worker-tone-1"]})
    eventually(lambda: len(connected_workers(appliance, "ready")) == SIZE)


def test_launcher_when_its_socket_is_removed_then_it_opens_it_again_and_the_gateway_can_restart(
    appliance: Appliance,
) -> None:
    wait_until_whole(appliance, SIZE)
    appliance.wait_until_running()
    seen = len(appliance.lines)
    (appliance.run_dir / SOCKETS_SOCKET).unlink()
    appliance.wait_for("socket_opened_again", after=seen, program="launcher", socket=SOCKETS_SOCKET)
    assert appliance.supervisorctl("restart", "gateway").returncode == 0
    appliance.wait_for("gateway_ready", after=seen)
    assert speak(appliance, "Well again.").status == 200
