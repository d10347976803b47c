"""What an operator does with supervisorctl, and what the watchdog, the exporter and the log do meanwhile."""

import http.client
import json
import os
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.lifecycle import (
    BACKLOG,
    EXIT_CONFIG,
    EXIT_OK,
    receive_descriptors,
)
from appliance.watched import notify
from tests.parts.appliance import eventually, free_port, run_launcher
from tests.parts.scrape import scrape

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def appliance(appliance_factory):
    """A running appliance; each test leaves it ready."""
    made = appliance_factory(WORKERS_TONE=2)
    made.wait_until_ready()
    made.wait_until_running()
    return made


def is_ready(appliance, name):
    return appliance.programs().get(name, {}).get("ready")


def test_supervisorctl_when_asked_for_the_status_then_every_program_runs(appliance):
    result = appliance.supervisorctl("status")
    assert result.returncode == 0, result
    states = {line.split()[0]: line.split()[1] for line in result.stdout.splitlines()}
    names = ["exporter", "gateway", "watchdog", "worker-tone-1", "worker-tone-2"]
    assert states == dict.fromkeys(names, "RUNNING")


def test_supervisorctl_when_asked_for_the_tail_then_it_shows_the_programs_json_lines(appliance):
    result = appliance.supervisorctl("tail", "-100000", "gateway")
    lines = [json.loads(line) for line in result.stdout.splitlines() if line]
    assert {line["program"] for line in lines} == {"gateway"}
    assert "gateway_ready" in {line["event"] for line in lines}


@contextmanager
def knocking(port, knockers=4):
    """Clients that each open connection after connection; yields what they got."""
    answers: list[int | str] = []
    is_over = threading.Event()

    def knock():
        while not is_over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                connection.request("GET", "/health/live", headers={"Connection": "close"})
                answers.append(connection.getresponse().status)
            except (OSError, http.client.HTTPException) as error:
                answers.append(repr(error))
            finally:
                connection.close()

    threads = [threading.Thread(target=knock) for _ in range(knockers)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_gateway_when_restarted_under_connections_then_none_is_refused(appliance):
    before = appliance.program("gateway").pid
    with knocking(appliance.port) as answers:
        eventually(lambda: len(answers) > 20)
        result = appliance.supervisorctl("restart", "gateway")
        eventually(lambda: is_ready(appliance, "gateway"))
        count = len(answers)
        eventually(lambda: len(answers) > count + 20)
    assert "gateway: started" in result.stdout
    assert appliance.program("gateway").pid != before
    assert set(answers) == {200}, [answer for answer in answers if answer != 200]


TCP_INFO = struct.Struct("=8x6I")
"""Source: linux/tcp.h, `struct tcp_info`; of a listener `tcpi_sacked`, the last here, is the backlog."""


def test_listener_when_the_gateway_accepts_on_it_then_it_keeps_the_launchers_backlog(appliance):
    handed = receive_descriptors(appliance.run_dir)
    os.close(handed["accepted"])
    with socket.socket(fileno=handed["http"]) as listener:
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size)
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    assert TCP_INFO.unpack(info)[-1] == min(BACKLOG, most)


def test_launcher_when_another_one_comes_then_it_is_refused(appliance):
    result = run_launcher(appliance.base)
    assert result.returncode == EXIT_CONFIG
    assert result.stderr.count("\n") == 1
    assert f"another launcher (process {appliance.process.pid}) runs there" in result.stderr
    assert appliance.get("/health/live")


def test_programs_when_ready_then_the_file_says_so(appliance):
    programs = appliance.programs()
    gateway = programs["gateway"]
    assert (gateway["ready"], programs["exporter"]["ready"], programs["watchdog"]["ready"]) == (True,) * 3
    eventually(lambda: "tone 2/2" in appliance.programs()["gateway"]["status"])
    assert gateway["pid"] == appliance.program("gateway").pid
    assert 0 < gateway["since_s"] < time.monotonic()


def test_ready_when_a_stranger_says_it_then_it_is_ignored(appliance):
    seen = len(appliance.lines)
    assert notify(appliance.run_dir, "READY=1", "STATUS=I am the gateway")
    appliance.wait_for("notification_of_a_stranger", after=seen)
    assert "I am the gateway" not in {program["status"] for program in appliance.programs().values()}


def test_watchdog_when_restarted_then_it_still_knows_who_is_ready(appliance):
    old = appliance.program("watchdog").pid
    appliance.supervisorctl("restart", "watchdog")
    eventually(
        lambda: appliance.programs()["watchdog"]["pid"] not in {0, old} and is_ready(appliance, "watchdog")
    )
    assert is_ready(appliance, "gateway")
    eventually(lambda: appliance.programs()["watchdog"]["state"] == "RUNNING")


def test_worker_when_it_is_killed_then_it_is_counted_and_replaced(appliance):
    victim = appliance.program("worker-tone-2")
    restarts = appliance.programs()["worker-tone-2"]["restarts"]
    victim.kill()
    eventually(lambda: appliance.programs()["worker-tone-2"]["pid"] not in {0, victim.pid})
    # supervisord's events, which are counted, come later than its inventory.
    eventually(lambda: appliance.programs()["worker-tone-2"]["restarts"] == restarts + 1)
    assert appliance.programs()["worker-tone-2"]["last_exit"] == "SIGKILL"
    eventually(lambda: scrape(appliance.exporter_url)["tts_process_restarts_total", "worker"] == restarts + 1)
    appliance.wait_until_running()


def test_exporter_when_scraped_then_gateway_and_processes_are_one_exposition(appliance):
    seen = scrape(appliance.exporter_url)
    assert seen["tts_up",] == 1
    assert seen["tts_supervisor_up",] == 1
    assert seen["tts_process_state", "running", "worker"] == 2
    assert seen["tts_process_state", "gateway", "running"] == 1
    assert seen["tts_requests_in_flight",] == 0
    assert seen["tts_process_resident_memory_bytes", "gateway"] > 10_000_000
    assert 0 < seen["tts_disk_used_ratio",] <= 1
    assert seen["tts_disk_free_bytes",] > 0
    assert seen["tts_db_bytes",] > 0


def test_exporter_when_the_gateway_is_gone_then_it_shows_all_else(appliance):
    try:
        appliance.supervisorctl("stop", "gateway")
        seen = scrape(appliance.exporter_url)
        assert seen["tts_up",] == 0
        assert seen["tts_process_state", "gateway", "stopped"] == 1
        assert seen["tts_process_state", "running", "worker"] == 2
        assert ("tts_requests_in_flight",) not in seen
    finally:
        appliance.supervisorctl("start", "gateway")
    eventually(lambda: is_ready(appliance, "gateway"))
    assert scrape(appliance.exporter_url)["tts_up",] == 1


def test_exporter_when_the_gateway_hangs_then_a_scrape_still_ends(appliance):
    gateway = appliance.program("gateway")
    gateway.suspend()
    try:
        seen = scrape(appliance.exporter_url)
    finally:
        gateway.resume()
    assert seen["tts_up",] == 0
    assert seen["tts_process_state", "gateway", "running"] == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/health", 200), ("HEAD", "/metrics", 200), ("GET", "/", 404), ("POST", "/metrics", 405)],
)
def test_exporter_when_asked_for_something_else_then_it_refuses(appliance, method, path, status):
    request = urllib.request.Request(appliance.exporter_url + path, method=method)
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        assert response.status == status


def test_appliance_when_one_program_cannot_start_then_it_degrades_and_serves(appliance_factory):
    port = free_port()
    appliance = appliance_factory(EXPORTER_PORT=port)
    appliance.wait_for("launcher_started")
    with socket.create_server(("127.0.0.1", port)):  # in the way of the exporter's own
        appliance.wait_until_ready()
        appliance.wait_for("program_degraded", name="exporter")
    assert not is_ready(appliance, "exporter")
    assert appliance.get("/health/live")
    assert appliance.process.poll() is None
    assert appliance.stop() == EXIT_OK
