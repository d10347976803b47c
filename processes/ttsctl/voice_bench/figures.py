"""Figures: what was measured, what was promised, and the verdict.

Owns: the comparison, and of a neural voice the names and bounds that docs/benchmarks.md has, too.
Refuses to know: how anything is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median

from processes.ttsctl.voice_bench.crowds import Heard

HEADER = ("figure", "median", "best", "bound", "verdict")
CPU_RATIO = "appliance ÷ tts-server"
COQUI_FIRST_AUDIO = "tts-server, first audio of 150 characters, idle"
WORKER_START = "worker, start to hello"
WINDOWS = "windowed against whole"
WINDOWS_AT_IMPORT = "windowed against whole, decoder alone, at the import"
LISTENERS, CROWD = 4, 8
IDLE = "idle"
WITH_LISTENERS = f"with {LISTENERS} listeners, the most of all samples"
WITH_CROWD = f"with {CROWD} requests at once, the most of all samples"
STRETCH = 10
"""Texts of one stretch, of which the best counts as the best round."""
MB, MIB = 1_000_000, 1_048_576
MOST_CPU = 1 / 3.5
MOST_FIRST_MS = {150: 250.0, 400: 300.0}
MOST_LISTENER_MS, MOST_CROWD_MS = 500.0, 1100.0
MOST_GAPS_PERCENT = 2.0
MOST_MEMORY_MB, MOST_WORKER_MB = 700.0, 80.0
MOST_START_S = 1.0
MOST_GROWTH_MIB = 2.0
FP32_DIFFERENCE = 1e-6


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, beside the bound it is judged by, if any."""

    name: str
    value: float
    """The median, unless the name says otherwise; what is judged."""
    unit: str
    best: float | None = None
    """The best of all rounds, the nearest to a machine with nothing else to do."""
    most: float = math.inf
    least: float = -math.inf
    absent: str = ""
    """Why there is no value; such a figure is neither held nor missed."""

    @property
    def is_missed(self) -> bool:
        """Whether the value lies outside of its bound."""
        return not self.absent and not self.least <= self.value <= self.most

    @property
    def bound(self) -> str:
        """What it is judged by; nothing if it isn't."""
        if self.most < math.inf:
            return f"≤ {self.most:g}"
        return f"≥ {self.least:g}" if self.least > -math.inf else ""

    def row(self) -> tuple[str, str, str, str, str]:
        """Return the cells of the table, as `HEADER` names them."""
        if self.absent:
            return self.name, "–", "", self.bound, self.absent
        verdict = ("missed" if self.is_missed else "held") if self.bound else ""
        best = "" if self.best is None else f"{self.best:.2f}"
        return self.name, f"{self.value:.2f} {self.unit}".rstrip(), best, self.bound, verdict


def unmeasured(name: str, reason: str, most: float = math.inf) -> Figure:
    """Return a figure that couldn't be measured, and why."""
    return Figure(name, math.nan, "", most=most, absent=reason)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile, NaN of no values."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def request_cpu(taken_s: Sequence[float], whose: str = "appliance") -> Figure:
    """Return the CPU of a request of 150 characters."""
    return Figure(f"{whose}, CPU of 150 characters", median(taken_s), "s", min(taken_s))


def cpu_ratio(ours_s: Sequence[float], coquis_s: Sequence[float]) -> Figure:
    """Return the appliance's CPU over tts-server's, round by round."""
    ratios = [ours / coquis for ours, coquis in zip(ours_s, coquis_s, strict=True)]
    best = min(ours_s) / min(coquis_s)
    return Figure(CPU_RATIO, median(ratios), "×", best, most=MOST_CPU)


def coqui_first_audio(taken_s: Sequence[float]) -> Figure:
    """Return how long tts-server takes to its first sound."""
    return Figure(COQUI_FIRST_AUDIO, median(taken_s), "s", min(taken_s))


def coqui_memory(used_bytes: float) -> Figure:
    """Return what tts-server has in memory (PSS) after its requests."""
    return Figure("tts-server, memory (PSS) after that", used_bytes / MB, "MB")


def first_audio(chars: int, taken_s: Sequence[float]) -> Figure:
    """Return how long an idle appliance takes to its first sound."""
    name = f"first audio of {chars} characters, idle"
    return Figure(name, 1000 * median(taken_s), "ms", 1000 * min(taken_s), most=MOST_FIRST_MS[chars])


def listeners(heard: Sequence[Heard]) -> Iterator[Figure]:
    """Yield what `LISTENERS` listeners heard."""
    stretches = [heard[begin : begin + STRETCH] for begin in range(0, len(heard), STRETCH)]
    name = f"{LISTENERS} listeners, p90 first audio of {len(heard)}"
    yield _p90(name, stretches, most=MOST_LISTENER_MS)
    gaps = [each.gap_s > 0 for each in heard]
    name = f"{LISTENERS} listeners, sound stood still"
    yield Figure(name, 100 * mean(gaps), "%", most=MOST_GAPS_PERCENT)
    yield _failed(f"{LISTENERS} listeners, failed", heard)


def crowd(workers: int, rounds: Sequence[Sequence[Heard]]) -> Iterator[Figure]:
    """Yield what `CROWD` clients heard who asked at one moment, several times."""
    name = f"{CROWD} requests of 40 characters at once, {workers} workers"
    yield _p90(f"{name}, p90 first audio", rounds, most=MOST_CROWD_MS if workers >= CROWD else math.inf)
    yield _failed(f"{name}, failed", [each for some in rounds for each in some])


def memory(workers: int, when: str, used_bytes: float) -> Figure:
    """Return the memory of all processes, judged where there are no more workers than are promised.

    Args:
        workers: Of the voice's engine.
        when: What they do meanwhile.
        used_bytes: Memory (PSS), the most of all samples where they do something.
    """
    name = f"{workers} workers, memory (PSS) of all processes, {when}"
    return Figure(name, used_bytes / MB, "MB", most=MOST_MEMORY_MB if workers <= LISTENERS else math.inf)


def further_worker(own_bytes: float) -> Figure:
    """Return the memory that one worker more takes."""
    return Figure("private memory (USS) of a further worker", own_bytes / MB, "MB", most=MOST_WORKER_MB)


def worker_start(taken_s: Sequence[float]) -> Figure:
    """Return how long a worker takes to its hello."""
    return Figure(WORKER_START, median(taken_s), "s", min(taken_s), most=MOST_START_S)


def windows(variant: str, difference: float, name: str = WINDOWS) -> Figure:
    """Return how far windowed and whole audio differ at most, of a full scale of 1."""
    most = 0.0 if variant.startswith("int8") else FP32_DIFFERENCE
    return Figure(f"{name}, {variant}", 1e6 * difference, "·10⁻⁶", most=1e6 * most)


def growth(what: str, resident_bytes: Sequence[int]) -> Figure:
    """Return how a worker's memory grew over many utterances: the last quarter's median less the first's.

    Args:
        what: The utterances, as they stand in the name.
        resident_bytes: Of equal steps, at least four.
    """
    quarter = len(resident_bytes) // 4
    grown = median(resident_bytes[-quarter:]) - median(resident_bytes[:quarter])
    name = f"{what}, growth of the worker's memory (RSS)"
    return Figure(name, grown / MIB, "MiB", most=MOST_GROWTH_MIB)


def _p90(name: str, rounds: Sequence[Sequence[Heard]], most: float) -> Figure:
    """Judge all rounds together; the best is the best single round."""
    taken_ms = [[1000 * each.first_audio_s for each in heard if each.first_audio_s] for heard in rounds]
    best = min((percentile(each, 0.9) for each in taken_ms if each), default=None)
    return Figure(name, percentile([each for some in taken_ms for each in some], 0.9), "ms", best, most=most)


def _failed(name: str, heard: Sequence[Heard]) -> Figure:
    return Figure(name, sum(not each.is_whole for each in heard), "", most=0)
