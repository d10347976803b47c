"""What a killed appliance leaves behind, what is in the way of a start, and requests during a stop."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from appliance.lifecycle import (
    EXIT_CONFIG,
    EXIT_FATAL,
    EXIT_OK,
    GATEWAY_SOCKET,
    NOTIFY_SOCKET,
    SOCKETS_SOCKET,
    SUPERVISOR_SOCKET,
    WORKERS_SOCKET,
    listen_unix,
)
from appliance.settings import ROOT
from appliance.unix_calls import UnixConnection
from processes.launcher.launch import HURRY_S
from tests.parts.appliance import Appliance, eventually, run_launcher
from tests.parts.inserted import ENDS_AT_ONCE, inserted_code
from tests.parts.rounds import allowance_s, rounds
from tests.parts.scrape import scrape
from tests.parts.slow_clients import sample

pytestmark = [pytest.mark.slow, pytest.mark.timeout(rounds(240, 900))]

STOP_ROUNDS = rounds(5, 30)
START_ROUNDS = rounds(2, 20)
"""Rows S7 and S6 of the fault matrix. Tens and not hundreds, as each round takes some five seconds."""
CLIENTS = 4
FATAL_WITHIN_S = 10.0
"""Bound of row S2."""
GONE_WITHIN_S = 5.0
NOBODY = 65534
SLOW: dict[str, Any] = {"WORKERS_TONE": 2, "VOICES_DEFAULT": "tone-low", "TONE_DELAY_S": 1.5}
"""Two workers need three seconds for four requests: longer than the gateway lingers before it drains."""


def speak(appliance: Appliance, text: str = "One more.") -> int | str:
    """Have something spoken; return the status, the code of a refusal, or how the transfer broke."""
    request = urllib.request.Request(
        f"{appliance.base_url}/v1/audio/speech",
        json.dumps({"input": text, "voice": "tone-low", "response_format": "wav"}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert len(answer.read()) > 1000
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return f"{refusal.status} {json.loads(refusal.read())['error']['code']}"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__


@contextmanager
def speaking_clients(appliance: Appliance) -> Iterator[list[int | str]]:
    """Clients whose requests are taken in before the block begins, and have ended after it."""
    answers: list[int | str] = []

    def ask(number: int) -> None:
        answers.append(speak(appliance, f"One more, number {number}."))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: b"tts_requests_in_flight 4.0" in appliance.get("/metrics"))
        yield answers
    finally:
        for thread in threads:
            thread.join()


def asked_locally(
    appliance: Appliance, method: str, path: str, body: dict[str, str] | None = None
) -> tuple[int, dict[str, Any], str]:
    """Status, JSON and Retry-After of an answer on `run/gateway.sock`; status 0 when nobody answers."""
    connection = UnixConnection(appliance.run_dir / GATEWAY_SOCKET, 10)
    headers = {"Content-Type": "application/json"} if body else {}
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.getheader("Retry-After", "")
    return 0, {}, ""


def is_draining(appliance: Appliance) -> bool:
    status, body, _retry_after = asked_locally(appliance, "GET", "/health")
    return status == 503 and body["status"] == "draining"


def test_stop_when_requests_are_in_flight_then_each_is_answered_whole(run_dir: Path) -> None:
    took_s = []
    for number in range(STOP_ROUNDS):
        keeps: dict[str, Any] = {
            "CACHE_SPEECH": number % 2 == 1,
            "CACHE_DISK_BYTES": 0,
        }  # nothing for the next
        with contextlib.closing(Appliance(run_dir, **SLOW, **keeps)) as appliance:
            appliance.wait_until_ready()
            with speaking_clients(appliance) as answers:
                appliance.send_signal(signal.SIGTERM)
                begun_s = time.monotonic()
                eventually(lambda appliance=appliance: is_draining(appliance))  # type: ignore[misc]  # mypy #12557
                assert answers == []
                status, body, retry_after = asked_locally(
                    appliance, "POST", "/v1/audio/speech", {"input": "Late.", "voice": "tone-low"}
                )
                assert (status, body["error"]["code"]) == (503, "draining")
                assert int(retry_after) > 0
                assert sample(appliance, 'tts_requests_rejected_total{reason="draining"}') == 1
                assert sample(appliance, "tts_requests_in_flight") == CLIENTS
            assert answers == [200] * CLIENTS
            assert appliance.wait() == EXIT_OK
            took_s.append(round(time.monotonic() - begun_s, 2))
            appliance.assert_nothing_left()
            ended = [line for line in appliance.lines if line["event"] == "request_finished"]
            assert [line["outcome"] for line in ended] == ["completed"] * CLIENTS
    print(f"stopped with {CLIENTS} requests in flight after {took_s} s, none lost")


@pytest.mark.parametrize("keeps", [False, True])
def test_stop_when_signalled_twice_then_it_hurries_and_no_client_takes_a_part_for_the_whole(
    run_dir: Path, keeps: bool
) -> None:
    settings = SLOW | {"TONE_DELAY_S": 30, "CACHE_SPEECH": keeps}
    with contextlib.closing(Appliance(run_dir, **settings)) as appliance:
        appliance.wait_until_ready()
        with speaking_clients(appliance) as answers:
            appliance.send_signal(signal.SIGTERM)
            eventually(lambda: is_draining(appliance))
            assert sample(appliance, "tts_requests_in_flight") == CLIENTS
            begun_s = time.monotonic()
            appliance.send_signal(signal.SIGTERM)
            assert appliance.wait() == EXIT_OK
            took_s = time.monotonic() - begun_s
        assert len(answers) == CLIENTS
        assert 200 not in answers
        appliance.assert_nothing_left()
        assert (appliance.lines[-1]["event"], appliance.lines[-1]["exit_code"]) == ("launcher_ends", EXIT_OK)
        assert not any(line.get("outcome") == "completed" for line in appliance.lines)
    print(f"ended {took_s:.2f} s after the second SIGTERM (limit {HURRY_S:g} s and what the kernel needs)")
    assert_next_one_speaks(run_dir)


def test_stop_when_killed_in_the_middle_then_nothing_is_left_and_the_next_one_speaks(run_dir: Path) -> None:
    with contextlib.closing(Appliance(run_dir, **SLOW | {"TONE_DELAY_S": 30})) as appliance:
        appliance.wait_until_ready()
        with speaking_clients(appliance) as answers:
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
                appliance.send_signal(number)
            appliance.wait()
            eventually(lambda: appliance.left_processes() == [], GONE_WITHIN_S)
        assert len(answers) == CLIENTS
        assert 200 not in answers
    assert_next_one_speaks(run_dir)


def assert_next_one_speaks(base: Path) -> float:
    """Start an appliance in the same directory, and return the seconds until it was ready."""
    begun_s = time.monotonic()
    with contextlib.closing(Appliance(base)) as appliance:
        appliance.wait_until_ready()
        ready_s = time.monotonic() - begun_s
        eventually(lambda: speak(appliance) == 200)
        assert_account_is_clean(appliance)
        assert appliance.stop() == EXIT_OK
    return ready_s


def assert_account_is_clean(appliance: Appliance) -> None:
    """See in the metrics that its only request has ended, and that nothing had to be started twice."""
    in_flight = 'tts_requests_finished_total{outcome="completed"}', "tts_requests_in_flight"
    eventually(lambda: [sample(appliance, name) for name in in_flight] == [1, 0])
    assert sample(appliance, "tts_requests_accepted_total") == 1
    values = scrape(appliance.exporter_url)
    started_again = {key: value for key, value in values.items() if key[0] == "tts_process_restarts_total"}
    assert set(started_again.values()) == {0}, started_again


def test_start_when_everything_was_killed_then_what_is_left_behind_is_cleared(run_dir: Path) -> None:
    took_s = []
    for _ in range(START_ROUNDS):
        with contextlib.closing(Appliance(run_dir)) as appliance:
            appliance.wait_until_ready()
            for process in [psutil.Process(appliance.process.pid), *appliance.left_processes()]:
                with contextlib.suppress(psutil.NoSuchProcess):  # it has died with its parent
                    process.kill()
            appliance.wait()
            eventually(lambda appliance=appliance: appliance.left_processes() == [])  # type: ignore[misc]  # mypy #12557
            assert (appliance.run_dir / "supervisord.pid").exists()
            left = (SUPERVISOR_SOCKET, SOCKETS_SOCKET, WORKERS_SOCKET, GATEWAY_SOCKET)
            assert all((appliance.run_dir / name).is_socket() for name in left)
        took_s.append(round(assert_next_one_speaks(run_dir), 2))
    print(f"ready {took_s} s after a start over what was left")


SOCKETS = (SUPERVISOR_SOCKET, SOCKETS_SOCKET, WORKERS_SOCKET, GATEWAY_SOCKET, NOTIFY_SOCKET)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", SOCKETS)
def test_start_when_a_socket_is_foreign_then_it_is_refused_and_kept(run_dir: Path, name: str) -> None:
    path = run_dir / "run" / name
    listen_unix(path, socket.SOCK_DGRAM if name == NOTIFY_SOCKET else socket.SOCK_STREAM).close()
    os.chown(path, NOBODY, NOBODY)
    assert_refused(run_dir, f"{name}: belongs to user {NOBODY}")
    assert path.is_socket()


def assert_refused(base: Path, *words: str, **settings: object) -> str:
    """Start a launcher that refuses in one line with these words, and return the line."""
    result = run_launcher(base, **settings)
    assert (result.returncode, result.stdout) == (EXIT_CONFIG, ""), result
    assert re.fullmatch(r"configuration: [^\n]+\n", result.stderr)
    for word in words:
        assert word in result.stderr
    return result.stderr


def assert_right(base: Path, **settings: object) -> None:
    """See that a launcher has nothing more to say against the settings."""
    result = run_launcher(base, "--check-config", **settings)
    assert (result.returncode, result.stderr) == (EXIT_OK, ""), result


SECRET = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[http]\nmax_body_bytes = 'many'\n", "http.max_body_bytes = 'many'"),
        ("[http]\ncolour = 'red'\n", "http.colour"),
        ("[walls]\n", "walls"),
        ("[workers]\nsilence_s = 0.3\n", "workers.silence_s = 0.3"),
        ("[watchdog]\nsilence_s = -1\n", "watchdog.silence_s = -1"),
        ("[admin]\nnetworks = ['everybody']\n", "admin.networks"),
        ("[http\n", "at line 1"),
        (f"[admin]\nkey = '{SECRET}'\n", "admin.key"),
        (f"[admin]\nkey_file = '{SECRET}'\n", "admin.key_file"),
        (f"[http]\napi_keys_file = ['{SECRET}']\n", "http.api_keys_file"),
        (f"[http]\napi_keys_file = '{SECRET}'\n", "http.api_keys_file"),
    ],
)
def test_start_when_the_settings_file_is_wrong_then_the_line_names_the_key_and_no_secret(
    run_dir: Path, text: str, key: str
) -> None:
    file = run_dir / "appliance.toml"
    file.write_text(text)
    (run_dir / "voices.toml").write_bytes((ROOT / "config" / "voices.toml").read_bytes())
    assert SECRET not in assert_refused(run_dir, key, CONFIG=file)
    file.write_text("")
    assert_right(run_dir, CONFIG=file)


def test_start_when_there_is_to_be_no_worker_then_the_line_names_the_key(run_dir: Path) -> None:
    assert "workers.espeak" in assert_refused(run_dir, WORKERS_TONE=0)


def test_start_when_a_key_stands_in_the_place_of_its_file_then_the_launcher_says_so_in_one_line(
    run_dir: Path,
) -> None:
    assert SECRET not in assert_refused(run_dir, "admin.key_file", ADMIN_KEY_FILE=SECRET)


@pytest.mark.parametrize(
    ("content", "mode", "word"),
    [(SECRET, 0o644, "others may read"), (SECRET, 0o660, "others may read"), ("", 0o600, "holds no key")],
)
def test_start_when_a_key_file_is_wrong_then_the_line_names_the_key_and_no_secret(
    run_dir: Path, content: str, mode: int, word: str
) -> None:
    file = run_dir / "keys"
    file.write_text(content)
    file.chmod(mode)
    assert SECRET not in assert_refused(run_dir, "admin.key_file", word, ADMIN_KEY_FILE=file)
    file.write_text(SECRET)
    file.chmod(0o600)
    assert_right(run_dir, ADMIN_KEY_FILE=file)


def test_start_when_a_secret_stands_in_the_environment_by_mistake_then_only_its_name_is_said(
    run_dir: Path,
) -> None:
    assert SECRET not in assert_refused(run_dir, "APPLIANCE_ADMIN_KEYS: no such setting", ADMIN_KEYS=SECRET)


def test_gateway_when_it_is_replaced_by_one_that_exits_at_once_then_the_appliance_gives_up_soon(
    run_dir: Path, tmp_path: Path
) -> None:
    with inserted_code(tmp_path, ENDS_AT_ONCE.format(package="processes.gateway")):
        appliance = Appliance(run_dir)
    with contextlib.closing(appliance), contextlib.ExitStack() as stack:
        appliance.wait_for("launcher_started")
        begun_s = time.monotonic()
        asked = stack.enter_context(ThreadPoolExecutor(1)).submit(speak, appliance)
        exporter_url = appliance.exporter_url
        eventually(lambda: scrape(exporter_url)["tts_process_restarts_total", "gateway"] > 0)
        values = scrape(exporter_url)
        assert (values["tts_up",], values["tts_process_ready", "gateway"]) == (0, 0)
        assert appliance.wait() == EXIT_FATAL
        took_s = time.monotonic() - begun_s
        appliance.assert_nothing_left()
        assert any(
            line["event"] == "verdict" and line["reason"] == "gateway_fatal" for line in appliance.lines
        )
        assert asked.result() in {"URLError", "ConnectionResetError"}  # it waited in the launcher's socket
    assert_next_one_speaks(run_dir)
    print(f"exit code {EXIT_FATAL} after {took_s:.1f} s (bound {FATAL_WITHIN_S:g} s)")
    assert took_s <= FATAL_WITHIN_S + allowance_s(FATAL_WITHIN_S)


def test_exporter_when_it_is_replaced_by_one_that_exits_at_once_then_the_rest_goes_on(
    run_dir: Path, tmp_path: Path, appliance_factory: Callable[..., Appliance]
) -> None:
    with inserted_code(tmp_path, ENDS_AT_ONCE.format(package="processes.exporter")):
        appliance = appliance_factory()
    appliance.wait_until_ready()
    appliance.wait_for("program_degraded", name="exporter")
    assert speak(appliance) == 200
    assert appliance.programs()["exporter"]["degraded"]
    assert appliance.stop() == EXIT_OK
