"""What a long job costs: the gateway's memory, CPU over plain requests, first sounds beside it.

Owns: the section `jobs` of the measurements.
Refuses to know: how memory and CPU are read, how a first sound is told from the rest.

The same kind of text is spoken by plain requests and as a job, in turns, and CPU is compared by its
characters; as many clients ask as there are workers, so that all of the pool speaks both times. Then
listeners ask for sentences with a job beside them and without it, in turns: it is paused and goes on.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import islice
from statistics import median
from threading import Event, Thread
from typing import Any

from appliance.store.jobs import ENDED
from loadtests.appliance import Appliance, running_appliance
from loadtests.client import Client, UnexpectedAnswerError, speech_request
from loadtests.figures import Figure
from loadtests.floor import VOICE_ID
from processes.ttsctl.voice_bench.texts import sentences

WORKERS = 2
CHARS = {False: 1_000_000, True: 100_000}
COMPARED_CHARS = {False: 100_000, True: 40_000}
"""In one round, by plain requests and by a job: one text."""
COMPARED_ROUNDS = {False: 7, True: 3}
WARM_UP_CHARS = 20_000
PARAGRAPH = 10
"""Sentences, some 300 characters."""
PARAGRAPHS = 12
"""Of a plain request."""
ROUNDS = {False: 10, True: 4}
LISTENED = 20
"""First sounds in a block with the job, and in one without it."""
FORMAT = "mp3"
MOST_GROWTH_MIB = 10.0
LEAST_THROUGHPUT = 0.95
"""Characters for a CPU second of the job, over those of plain requests."""
MOST_FIRST_AUDIO = 1.3
"""First sounds (p90) beside the job, over those without it."""
LOOK_S, MEMORY_S = 0.5, 0.1
P90 = 0.9
MIB = 1024 * 1024
MICROSECONDS, MILLISECONDS = 1e6, 1e3


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes some six minutes, or one."""
    chars = CHARS[is_short]
    with running_appliance(WORKERS_ESPEAK=WORKERS) as appliance:
        jobs = _Jobs(appliance.port)
        jobs.watch(jobs.submit(_text(WARM_UP_CHARS)))
        growth_bytes = _growth_bytes(appliance, jobs, _text(chars))
        compared = _compared(appliance, jobs, COMPARED_CHARS[is_short], COMPARED_ROUNDS[is_short])
        path = jobs.submit(_text(chars))
        with Client(appliance.port) as client:
            alone_s, beside_s = _listened(client, jobs, path, ROUNDS[is_short])
    ratios = [plain_s / job_s for plain_s, job_s in compared]
    plain_s, job_s = (median(each) for each in zip(*compared, strict=True))
    return [
        Figure(
            f"gateway, growth over a job of {chars:,} characters",
            growth_bytes / MIB,
            "MiB",
            most=MOST_GROWTH_MIB,
        ),
        Figure("plain requests, CPU of a character", plain_s * MICROSECONDS, "µs"),
        Figure("the job, CPU of a character", job_s * MICROSECONDS, "µs"),
        Figure(
            "the job's throughput ÷ plain requests'", median(ratios), "×", max(ratios), least=LEAST_THROUGHPUT
        ),
        Figure(
            "first audio without the job, p90",
            _p90(alone_s) * MILLISECONDS,
            "ms",
            min(alone_s) * MILLISECONDS,
        ),
        Figure(
            "first audio beside the job, p90",
            _p90(beside_s) * MILLISECONDS,
            "ms",
            min(beside_s) * MILLISECONDS,
        ),
        Figure("beside ÷ without, p90", _p90(beside_s) / _p90(alone_s), "×", most=MOST_FIRST_AUDIO),
    ]


class _Jobs:
    """The jobs of an appliance on this machine, over HTTP."""

    def __init__(self, port: int) -> None:
        self._port = port

    def submit(self, text: str) -> str:
        """Hand in a job; return its path."""
        values = {"input": text, "voice": VOICE_ID, "response_format": FORMAT}
        return f"/v1/jobs/{self.ask('POST', '/v1/jobs', json.dumps(values).encode())['id']}"

    def watch(self, path: str) -> None:
        """Wait until a job has ended.

        Raises:
            UnexpectedAnswerError: It ends otherwise than completed.
        """
        while (job := self.ask("GET", path))["state"] not in ENDED:
            time.sleep(LOOK_S)
        if job["state"] != "completed":
            message = f"the job is {job['state']}: {job['reason']}"
            raise UnexpectedAnswerError(message)

    def ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """Return what the appliance says.

        Raises:
            UnexpectedAnswerError: It refuses.
        """
        headers = {"Content-Type": "application/json"}
        with closing(http.client.HTTPConnection("127.0.0.1", self._port)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            values: dict[str, Any] = json.loads(answer.read())
        if "error" in values:
            raise UnexpectedAnswerError(str(values))
        return values


def _text(chars: int) -> str:
    """Return a text of so many characters or a few more, in paragraphs."""
    parts: list[str] = []
    length = 0
    for number, sentence in enumerate(sentences(), 1):
        parts.append(sentence + (" " if number % PARAGRAPH else "\n\n"))
        length += len(parts[-1])
        if length >= chars:
            return "".join(parts)
    raise AssertionError


def _growth_bytes(appliance: Appliance, jobs: _Jobs, text: str) -> int:
    """Return the most by which the gateway grows from before a job is handed in until it has ended."""
    first_bytes = appliance.memory_bytes()["gateway"]
    seen_bytes = [first_bytes]
    is_over = Event()

    def look() -> None:
        while not is_over.wait(MEMORY_S):
            seen_bytes.append(appliance.memory_bytes()["gateway"])

    looking = Thread(target=look)
    looking.start()
    try:
        jobs.watch(jobs.submit(text))
    finally:
        is_over.set()
        looking.join()
    return max(seen_bytes) - first_bytes


def _compared(appliance: Appliance, jobs: _Jobs, chars: int, rounds: int) -> list[tuple[float, float]]:
    """Return the CPU seconds of a character that plain requests speak, and of one of a job, in turns."""
    text = _text(chars)
    taken_s: list[tuple[float, float]] = []
    for _ in range(rounds):
        plain_s = _cpu_s(appliance, len(text), partial(_speak, appliance.port, text))
        job_s = _cpu_s(appliance, len(text), lambda: jobs.watch(jobs.submit(text)))
        taken_s.append((plain_s, job_s))
    return taken_s


def _cpu_s(appliance: Appliance, chars: int, work: Callable[[], None]) -> float:
    """Return the CPU seconds of the appliance that some work takes for each of its characters."""
    begun_s = appliance.cpu_s()
    work()
    return (appliance.cpu_s() - begun_s) / chars


def _speak(port: int, text: str) -> None:
    """Have a text spoken by plain requests of some paragraphs, as many at a time as there are workers."""
    paragraphs = iter(text.split("\n\n"))
    requests = []
    while part := "\n\n".join(islice(paragraphs, PARAGRAPHS)):
        requests.append(speech_request(part, VOICE_ID, FORMAT))

    def ask(number: int) -> None:
        with Client(port) as client:
            for request in requests[number::WORKERS]:
                client.send(request)

    with ThreadPoolExecutor(WORKERS) as clients:
        list(clients.map(ask, range(WORKERS)))


def _listened(client: Client, jobs: _Jobs, path: str, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds to first sounds without a job that runs, and beside it; cancels it in the end."""
    texts = sentences()
    alone_s: list[float] = []
    beside_s: list[float] = []
    for _ in range(rounds):
        for change, taken_s in (("pause", alone_s), ("resume", beside_s)):
            jobs.ask("POST", f"{path}/{change}")
            client.send(speech_request(next(texts), VOICE_ID, "pcm"))  # what was under way is over
            requests = [speech_request(next(texts), VOICE_ID, "pcm") for _ in range(LISTENED)]
            taken_s += [client.send(request).first_byte_s for request in requests]
    jobs.ask("DELETE", path)
    return alone_s, beside_s


def _p90(values: list[float]) -> float:
    return sorted(values)[int(P90 * len(values))]
