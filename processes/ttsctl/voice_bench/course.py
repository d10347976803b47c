"""The order in which a voice is measured: alone, by listeners, by a crowd.

Owns: how many rounds of what, and in which turns.
Refuses to know: how a request is sent and whose processes are read (`Subject`), names and bounds (`figures`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Protocol, TypeVar

from processes.ttsctl.voice_bench import crowds, figures
from processes.ttsctl.voice_bench.coqui_server import CoquiServer
from processes.ttsctl.voice_bench.crowds import Heard
from processes.ttsctl.voice_bench.figures import Figure
from processes.ttsctl.voice_bench.texts import SENTENCE_40, SENTENCE_150, SENTENCE_400

REQUESTS = 3
"""Of the appliance for one of tts-server, in each round."""
WARM_UP = 2
IDLE_S = 3.0
SAMPLE_S = 0.5

Result = TypeVar("Result")
Tell = Callable[[str], None]
"""Takes what is being measured now."""


class Remembering(Protocol):
    """Something whose memory is measured; everything blocks."""

    def shared_out_bytes(self) -> int:
        """Return the memory of all its processes, what several share counted once (PSS)."""


class Subject(Remembering, Protocol):
    """An appliance that is measured."""

    def speak(self, place: int, text: str) -> Heard:
        """Have a text spoken for a client by its number, and hear it out."""

    def cpu_s(self) -> float:
        """Return the CPU seconds that all its processes have used."""

    def workers_own_bytes(self) -> list[int]:
        """Return the memory that each worker has for itself (USS)."""


class NothingHeardError(Exception):
    """A request of the measurement failed, so that there is nothing to measure."""


def alone(
    subject: Subject, coqui: CoquiServer | str, rounds: int, first_rounds: int, tell: Tell
) -> Iterator[Figure]:
    """Yield CPU and first audio of one request at a time, in turns with tts-server.

    Args:
        subject: Idle.
        coqui: The server with the same model, or why there is none.
        rounds: Of CPU.
        first_rounds: Of the first sound.
        tell: Hears of each round.

    Raises:
        NothingHeardError: A request failed.
        OSError: Coqui's server doesn't answer.
    """
    idle_share = _idle_cpu_share(subject)
    for _ in range(WARM_UP):
        _first_audio_s(subject, SENTENCE_150)
    if not isinstance(coqui, str):
        coqui.speak(SENTENCE_40)
    ours_s: list[float] = []
    coquis_s: list[float] = []
    coqui_first_s: list[float] = []
    for number in range(rounds):
        tell(f"CPU, round {number + 1} of {rounds}")
        if not isinstance(coqui, str):
            begun_s = coqui.cpu_s()
            coqui_first_s.append(coqui.speak(SENTENCE_150))
            coquis_s.append(coqui.cpu_s() - begun_s)
        ours_s.append(_request_cpu_s(subject, idle_share))
    yield from _cpu(ours_s, coquis_s, coqui)
    yield _coqui_first(coqui_first_s, coqui)
    for chars, text in ((150, SENTENCE_150), (400, SENTENCE_400)):
        tell(f"first audio of {chars} characters")
        yield figures.first_audio(chars, [_first_audio_s(subject, text) for _ in range(first_rounds)])
    if not isinstance(coqui, str):
        yield figures.coqui_memory(coqui.shared_out_bytes())


def together(subject: Subject, listen_s: float | None, rounds: int, tell: Tell) -> Iterator[Figure]:
    """Yield the memory of all processes at rest, then what several clients at a time hear, and their memory.

    Args:
        subject: Idle.
        listen_s: How long there are listeners; None has none.
        rounds: Of a crowd that asks at one moment.
        tell: Hears of each part.
    """
    workers = len(subject.workers_own_bytes())
    yield figures.memory(workers, figures.IDLE, subject.shared_out_bytes())
    if listen_s is not None:
        yield from _listening(subject, listen_s, tell)
    yield from _crowding(subject, rounds, tell)


def _listening(subject: Subject, during_s: float, tell: Tell) -> Iterator[Figure]:
    tell(f"{figures.LISTENERS} listeners, {during_s:g} s")
    heard, largest_bytes = with_memory(
        subject, lambda: crowds.listen(subject.speak, figures.LISTENERS, during_s)
    )
    workers = subject.workers_own_bytes()
    yield from figures.listeners(heard)
    yield figures.memory(len(workers), figures.WITH_LISTENERS, largest_bytes)
    yield figures.further_worker(median(workers))


def _crowding(subject: Subject, rounds: int, tell: Tell) -> Iterator[Figure]:
    tell(f"{figures.CROWD} requests at once")
    workers = len(subject.workers_own_bytes())
    crowds.at_once(subject.speak, SENTENCE_40, figures.CROWD)
    heard, largest_bytes = with_memory(
        subject,
        lambda: [crowds.at_once(subject.speak, SENTENCE_40, figures.CROWD) for _ in range(rounds)],
    )
    yield from figures.crowd(workers, heard)
    yield figures.memory(workers, figures.WITH_CROWD, largest_bytes)


def with_memory(subject: Remembering, work: Callable[[], Result]) -> tuple[Result, float]:
    """Return what some work gives, and the most memory (PSS) of all processes meanwhile, in bytes."""
    ended = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        largest = threads.submit(crowds.until, ended, subject.shared_out_bytes, SAMPLE_S)
        try:
            done = work()
        finally:
            ended.set()
    return done, largest.result()


def _cpu(ours_s: list[float], coquis_s: list[float], coqui: CoquiServer | str) -> Iterator[Figure]:
    if not isinstance(coqui, str):
        yield figures.request_cpu(coquis_s, "tts-server")
    yield figures.request_cpu(ours_s)
    if isinstance(coqui, str):
        yield figures.unmeasured(figures.CPU_RATIO, coqui, figures.MOST_CPU)
    else:
        yield figures.cpu_ratio(ours_s, coquis_s)


def _coqui_first(taken_s: list[float], coqui: CoquiServer | str) -> Figure:
    if isinstance(coqui, str):
        return figures.unmeasured(figures.COQUI_FIRST_AUDIO, coqui)
    return figures.coqui_first_audio(taken_s)


def _idle_cpu_share(subject: Subject) -> float:
    begun_s, begun_cpu_s = time.perf_counter(), subject.cpu_s()
    time.sleep(IDLE_S)
    return (subject.cpu_s() - begun_cpu_s) / (time.perf_counter() - begun_s)


def _request_cpu_s(subject: Subject, idle_share: float) -> float:
    begun_s, begun_cpu_s = time.perf_counter(), subject.cpu_s()
    for _ in range(REQUESTS):
        _first_audio_s(subject, SENTENCE_150)
    idle_s = idle_share * (time.perf_counter() - begun_s)
    return (subject.cpu_s() - begun_cpu_s - idle_s) / REQUESTS


def _first_audio_s(subject: Subject, text: str) -> float:
    """Return the seconds to the first sound; takes the whole answer."""
    heard = subject.speak(0, text)
    if not heard.is_whole or heard.first_audio_s is None:
        raise NothingHeardError
    return heard.first_audio_s
