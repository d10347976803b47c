"""What was measured, unrounded: every answer's seconds, the ends of all requests, by entry.

Owns: the samples and their percentiles. Locust's own are rounded to 1, 10 or 100 ms.
Refuses to know: limits, HTTP, Locust.

It grows with the run: 32 bytes for each request, which at 100 requests a second is 12 MB an hour.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field

from loadtests.exchange import Ending, Outcome
from processes.ttsctl.voice_bench.figures import percentile


class Series:
    """Values with the moment that each belongs to."""

    def __init__(self) -> None:
        self.at_s = array("d")
        """Seconds since the run began."""
        self.values_s = array("d")

    def __len__(self) -> int:
        return len(self.values_s)

    def add(self, at_s: float, value_s: float) -> None:
        """Take a value in."""
        self.at_s.append(at_s)
        self.values_s.append(value_s)

    def percentile_s(self, share: float) -> float:
        """Return the smallest value that this share of all values doesn't exceed; NaN of no values.

        Source: the nearest-rank definition, so that it is one of the values.
        """
        return percentile(self.values_s, share)


@dataclass(slots=True)
class EntrySamples:
    """One entry's requests whose intended start came after the warm-up."""

    begun: int = 0
    endings: Counter[Ending] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Why requests failed or were refused."""
    exceptions: int = 0
    """Users that broke down; each counts as a failed request."""
    gaps: int = 0
    """Listeners whose sound stood still."""
    first_audio: Series = field(default_factory=Series)
    answer: Series = field(default_factory=Series)
    """Successful answers only, whole."""
    failed_at: Series = field(default_factory=Series)

    @property
    def unfinished(self) -> int:
        """Requests that never ended, though they were given time to."""
        return self.begun - sum(self.endings.values())

    @property
    def attempts(self) -> int:
        """Everything that should have been a success."""
        return self.begun + self.exceptions

    def success(self, *, refused_too: bool) -> float:
        """Return the share of successes; with `refused_too` an honest refusal is one."""
        good = self.endings[Ending.COMPLETED] + (self.endings[Ending.REFUSED] if refused_too else 0)
        return good / self.attempts if self.attempts else math.nan


class Samples:
    """All entries of a run."""

    def __init__(self, begun_at_s: float, warm_up_s: float) -> None:
        """Begin.

        Args:
            begun_at_s: Monotonic time of the run's begin.
            warm_up_s: What was due earlier than this many seconds into the run doesn't count.
        """
        self.begun_at_s = begun_at_s
        self.warm_up_s = warm_up_s
        self.entries: dict[str, EntrySamples] = {}
        self.control = Series()
        """Seconds that the generator itself adds."""
        self.stray_exceptions = 0
        """Exceptions that Locust counted and that belong to no entry."""

    def of(self, entry: str) -> EntrySamples:
        """Return an entry's samples."""
        return self.entries.setdefault(entry, EntrySamples())

    def counts(self, due_s: float) -> bool:
        """Return whether a request that was due at this monotonic time counts."""
        return due_s - self.begun_at_s >= self.warm_up_s

    def begin(self, entry: str, due_s: float) -> None:
        """Note that a request begins; it must end, or it counts as failed."""
        if self.counts(due_s):
            self.of(entry).begun += 1

    def end(self, entry: str, due_s: float, outcome: Outcome) -> None:
        """Note how a request ended."""
        if not self.counts(due_s):
            return
        samples, at_s = self.of(entry), due_s - self.begun_at_s
        samples.endings[outcome.ending] += 1
        if outcome.first_audio_s is not None:
            samples.first_audio.add(at_s, outcome.first_audio_s)
        if outcome.ending is Ending.COMPLETED:
            samples.answer.add(at_s, outcome.total_s)
            samples.gaps += outcome.gap_s > 0
        else:
            samples.reasons[outcome.reason] += 1
            samples.failed_at.add(at_s, outcome.total_s)

    def add_control(self, due_s: float, delay_s: float) -> None:
        """Take in what the generator added to an answer of known delay."""
        if self.counts(due_s):
            self.control.add(due_s - self.begun_at_s, delay_s)
