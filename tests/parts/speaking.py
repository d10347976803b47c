"""What a fault test does with a running appliance: speak, ask what the gateway knows, let time pass."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from appliance.lifecycle import GATEWAY_SOCKET
from appliance.unix_calls import UnixConnection
from tests.parts.appliance import Appliance, eventually

PIECE_BYTES = 65_536
HOOKED: dict[str, Any] = {
    "TONE_HOOKS": "true",
    "TEXT_MAKE_SPEAKABLE": "false",
    "HEALTH_PROBE_INTERVAL_S": 3600,
    "VOICES_DEFAULT": "tone-low",
}
"""Settings with which a text breaks its worker as it says (`__HANG__`), and only a test asks for speech."""
PATIENCE_S = 60.0
"""Seconds after which a client gives up; no test waits for it to pass."""


@dataclass
class Answer:
    """What a client saw."""

    status: int = 0
    """0 when the connection broke off before a status."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False
    """Whether the body came to its proper end."""
    took_s: float = 0.0
    first_s: float = math.inf
    """Seconds to the first byte of the body."""
    ended_at_s: float = 0.0
    """Monotonic clock."""

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(json.loads(self.body)["error"]["code"])


class Reachable(Protocol):
    """An appliance on this machine, in a container or not."""

    @property
    def port(self) -> int:
        """Where HTTP is spoken."""


def speak(
    appliance: Reachable,
    text: str,
    *,
    voice: str = "tone-low",
    sound: str = "wav",
    address: str = "127.0.0.1",
    begun: threading.Event | None = None,
    leave: threading.Event | None = None,
) -> Answer:
    """Ask for speech and take the answer, whole or until told to leave.

    Args:
        appliance: Who is asked.
        text: What to speak.
        voice: With which voice.
        sound: `response_format`.
        address: The client's own; another one is another client.
        begun: Set when the first byte of the body has come.
        leave: Hang up at the next piece of the body once this is set; None never does.
    """
    answer = Answer()
    begun_s = time.monotonic()
    connection = http.client.HTTPConnection(
        "127.0.0.1", appliance.port, timeout=PATIENCE_S, source_address=(address, 0)
    )
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        _request(connection, {"input": text, "voice": voice, "response_format": sound})
        response = connection.getresponse()
        answer.status, answer.headers = response.status, dict(response.getheaders())
        while not (leave and leave.is_set()) and (piece := response.read1(PIECE_BYTES)):
            if not answer.body:
                answer.first_s = time.monotonic() - begun_s
                if begun is not None:
                    begun.set()
            answer.body += piece
        answer.is_whole = not response.length and not response.read1()
    answer.ended_at_s = time.monotonic()
    answer.took_s = answer.ended_at_s - begun_s
    return answer


def _request(connection: http.client.HTTPConnection, fields: dict[str, str]) -> None:
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/audio/speech", json.dumps(fields), headers)


class Clients:
    """Clients that ask at the same time."""

    def __init__(self, appliance: Reachable, count: int) -> None:
        self._appliance = appliance
        self._threads = ThreadPoolExecutor(count)

    def ask(self, text: str, **options: Any) -> Future[Answer]:
        """Ask as `speak` does, without waiting."""
        return self._threads.submit(speak, self._appliance, text, **options)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)


class Listeners:
    """Clients that ask for one short sentence after the other until told to stop."""

    def __init__(self, appliance: Reachable, addresses: list[str], voice: str = "tone-low") -> None:
        self.answers: list[Answer] = []
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._listen, args=(appliance, address, voice)) for address in addresses
        ]
        for thread in self._threads:
            thread.start()

    def _listen(self, appliance: Reachable, address: str, voice: str) -> None:
        number = 0
        while not self._stopped.is_set():
            number += 1
            self.answers.append(
                speak(appliance, f"Listener {address} hears {number}.", voice=voice, address=address)
            )

    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200 or not answer.is_whole]

    def close(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def listening(appliance: Appliance, count: int = 2, voice: str = "tone-low") -> Iterator[Listeners]:
    """Have so many others listen meanwhile."""
    addresses = [f"127.0.1.{number + 1}" for number in range(count)]
    with contextlib.closing(Listeners(appliance, addresses, voice)) as listeners:
        yield listeners


def asked_locally(appliance: Appliance, path: str) -> dict[str, Any]:
    """What `run/gateway.sock` answers; nothing when nobody does."""
    connection = UnixConnection(appliance.run_dir / GATEWAY_SOCKET, 10)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return dict(json.loads(connection.getresponse().read()))
    return {}


def connected_workers(appliance: Appliance, *states: str) -> list[dict[str, Any]]:
    """Workers that the gateway is connected to, in one of some states or in any."""
    workers = asked_locally(appliance, "/admin/status").get("workers", [])
    return [worker for worker in workers if not states or worker["state"] in states]


def wait_until_whole(appliance: Appliance, size: int) -> None:
    """Wait until all workers are idle, and none is so young that its end would be a failed start."""

    def is_whole() -> bool:
        programs = appliance.programs().values()
        old_enough = {program["pid"] for program in programs if program["state"] == "RUNNING"}
        ready = {worker["pid"] for worker in connected_workers(appliance, "ready")}
        return len(ready) == size and ready <= old_enough

    eventually(is_whole)


@contextlib.contextmanager
def whole_before_and_after(appliance: Appliance, size: int) -> Iterator[None]:
    """Begin with all workers, and end with all of them back and speaking."""
    wait_until_whole(appliance, size)
    yield
    eventually(lambda: len(connected_workers(appliance, "ready")) == size)
    assert speak(appliance, "Well again.").status == 200


def busy_worker(appliance: Appliance) -> dict[str, Any]:
    """The one worker that speaks for a client, once one does; a probe may keep another busy."""

    def speaking() -> list[dict[str, Any]]:
        return [each for each in connected_workers(appliance, "busy") if each["speaks"] != "probe"]

    [worker] = eventually(speaking)
    return dict(worker)


def stack_is_logged(appliance: Appliance, function: str, after: int) -> bool:
    """Whether a dying worker has written a stack with this function of its engine."""
    frames = [line["message"] for line in appliance.lines[after:] if line["event"] == "output"]
    return any(f"in {function}" in frame for frame in frames)


def counted(appliance: Appliance, sample: str) -> float:
    """The value of a sample of the gateway's metrics, for example `tts_worker_exits_total{cause="lost"}`."""
    lines = appliance.get("/metrics").decode().splitlines()
    [value] = [line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == sample]
    return float(value)


def wait_for_looks(appliance: Appliance, times: int) -> None:
    """Wait until the gateway has looked at its workers' clocks so many times, ten a second, from now on."""
    looks = "tts_event_loop_lag_seconds_count"
    enough = counted(appliance, looks) + times
    eventually(lambda: counted(appliance, looks) >= enough)


def exits(appliance: Appliance, cause: str) -> float:
    return counted(appliance, f'tts_worker_exits_total{{cause="{cause}"}}')


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least a share of the values doesn't exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def let_pass(seconds: float) -> None:
    """Let a fault last that is a length of time by itself; no test waits so for something to happen."""
    threading.Event().wait(seconds)
