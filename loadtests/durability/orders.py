"""Clients that hand in jobs whatever becomes of the gateway, and what they know of each.

Owns: handing in under a key until there is a 202, following to the end, comparing the audio, deleting.
Refuses to know: who kills the gateway, what lies on the disk.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from appliance.audio.encoders.wav import HEADER_BYTES
from appliance.store.jobs import ENDED
from loadtests.ledger.reference import TEXTS, VOICE, job_audio_hash, texts
from processes.gateway.job_intake import scoped_key

ADDRESS = "127.0.0.1"
CLIENTS = 2
ANSWER_S = 30.0
AGAIN_S = 0.02
"""Seconds before a client asks again that got no answer."""
PATIENCE_S = 600.0
AWAY = frozenset({429, 503, 507})
"""Answers of a gateway that only just has started, or is full for the moment."""
ACCEPTED, OK = 202, 200


@dataclass(slots=True)
class Order:
    """A job as its client knows it."""

    number: int
    id: str = ""
    """Known with the 202: from then on nothing may lose it."""
    ended_as: str = ""
    """The end that it was first seen in."""
    problem: str = ""
    """What was wrong with it, in a few words; empty if nothing was."""
    is_deleted: bool = False

    @property
    def key(self) -> str:
        """The same at every attempt, so that it is one job however often it is handed in."""
        return f"order-{self.number}"

    @property
    def stored_key(self) -> str:
        """What the job's row has for it."""
        return scoped_key(f"address:{ADDRESS}", self.key)

    @property
    def is_open(self) -> bool:
        """Whether it was acknowledged and its client hasn't deleted it."""
        return bool(self.id) and not self.is_deleted

    @property
    def text_number(self) -> int:
        """Which text it is to speak."""
        return self.number % TEXTS

    def body(self) -> bytes:
        """Return what is handed in."""
        values = {"input": texts()[self.text_number], "voice": VOICE.id, "response_format": "wav"}
        return json.dumps(values).encode()


class Clients:
    """Hand in what they are told to; `running_clients` makes and ends them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._waiting: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._acknowledged = threading.Semaphore(0)
        self._waited_for = 0
        self._is_closed = False
        self.orders: list[Order] = []
        self.breaks = 0
        """Attempts that a gateway's end has cut off, each of which was made again."""
        self._threads = [
            threading.Thread(target=self._work, name=f"client-{each}") for each in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def hand_in(self, count: int) -> None:
        """Let the clients hand in further jobs; never waits."""
        for _ in range(count):
            order = Order(len(self.orders))
            self.orders.append(order)
            self._waiting.put(order)

    def wait_for_all(self) -> None:
        """Wait until everything that was handed in has been acknowledged.

        Raises:
            TimeoutError: It isn't.
        """
        self.wait_for(len(self.orders) - self._waited_for)

    def wait_for(self, count: int) -> None:
        """Wait until so many more have been acknowledged, whenever they were handed in.

        Raises:
            TimeoutError: They aren't.
        """
        for _ in range(count):
            self._waited_for += 1
            if not self._acknowledged.acquire(timeout=PATIENCE_S):
                message = "no job was accepted any more"
                raise TimeoutError(message)

    def close(self) -> None:
        """Let the clients end; a job that isn't acknowledged yet is left."""
        self._is_closed = True
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def settle(self) -> None:
        """Follow every acknowledged job to its end, compare its audio and delete it; note what is wrong.

        Raises:
            TimeoutError: One doesn't end.
        """
        for order in self.orders:
            if order.is_open:
                self._settle(order)

    def _work(self) -> None:
        while (order := self._waiting.get()) is not None:
            status, body = self._ask("POST", "/v1/jobs", order.body(), order.key)
            if status == ACCEPTED:
                order.id = json.loads(body)["id"]
            else:
                order.problem = f"refused with {status}"
            self._acknowledged.release()

    def _settle(self, order: Order) -> None:
        path = f"/v1/jobs/{order.id}"
        job = self._until(path, lambda job: job.get("state") in ENDED or "error" in job)
        state = job.get("state", "not found")
        if state != "completed" or order.ended_as not in ("", state):
            order.problem = order.problem or f"{order.ended_as or 'acknowledged'}, then {state}"
        else:
            _, audio = self._ask("GET", f"{path}/audio")
            if hashlib.sha256(audio[HEADER_BYTES:]).hexdigest() != job_audio_hash(order.text_number):
                order.problem = "other audio"
        order.ended_as = order.ended_as or state
        order.is_deleted = self._ask("DELETE", path)[0] == OK

    def _until(self, path: str, is_enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            values: dict[str, Any] = json.loads(self._ask("GET", path)[1])
            if is_enough(values):
                return values
            time.sleep(AGAIN_S)
        message = f"{path} doesn't end"
        raise TimeoutError(message)

    def _ask(self, method: str, path: str, body: bytes | None = None, key: str = "") -> tuple[int, bytes]:
        """Ask until a gateway answers that can; return status and body, 0 and nothing when all is over."""
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        while not self._is_closed:
            with closing(http.client.HTTPConnection(ADDRESS, self._port, timeout=ANSWER_S)) as connection:
                try:
                    connection.request(method, path, body, headers)
                    answer = connection.getresponse()
                    whole = answer.read()
                    if answer.status not in AWAY:
                        return answer.status, whole
                except (OSError, http.client.HTTPException):
                    self.breaks += 1
            time.sleep(AGAIN_S)
        return 0, b""


@contextmanager
def running_clients(port: int) -> Iterator[Clients]:
    """Make clients of the gateway at a port; it must answer when the block ends."""
    clients = Clients(port)
    try:
        yield clients
    finally:
        clients.close()
