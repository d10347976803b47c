"""Whose job is next: owners take turns, and a job that is held up leaves its place to others.

Owns: which owner was served how long ago, which jobs are held by what, and until when.
Refuses to know: rows, voices, engines, how a job is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from appliance.store.jobs import Row

LEAST_HELD_S = 1.0
MOST_HELD_S = 15.0
"""Seconds between two tries of a job: the first, doubled each time up to the second."""


class Hold(NamedTuple):
    """What a job waits out."""

    code: str
    """Of the error."""
    wait_s: float
    """Seconds from that to the next try."""
    until_s: float
    """Monotonic time of the next try."""


class JobTurns:
    """Chooses which job runs next."""

    def __init__(self) -> None:
        self._served_at_s: dict[str, float] = {}
        """Owner → monotonic time at which a job of it was last chosen. Owners are few: each has a key."""
        self._holds: dict[str, Hold] = {}
        self._rest_until_s = 0.0

    def is_resting(self, now_s: float) -> bool:
        """Return whether no job is to begin: the store has just failed, and it is everybody's."""
        return now_s < self._rest_until_s

    def choose(self, waiting: Collection[Row], running: Iterable[str], now_s: float) -> Row | None:
        """Return the job that is next, or None if none waits.

        It is one of the owner with the fewest running jobs; among such, of the one served longest ago.

        Args:
            waiting: Jobs, each owner's in their order.
            running: The owner of each job that runs.
            now_s: Monotonic time.
        """
        counts = Counter(running)
        chosen = min(
            waiting,
            key=lambda row: (counts[row["owner"]], self._served_at_s.get(row["owner"], 0.0)),
            default=None,
        )
        if chosen is not None:
            self._served_at_s[chosen["owner"]] = now_s
        return chosen

    def hold(self, job_id: str, code: str, now_s: float, *, has_gone_on: bool, is_everybodys: bool) -> bool:
        """Let a job wait for its next try; return whether it waits for something new.

        Args:
            job_id: The job.
            code: Of the error that it waits out.
            now_s: Monotonic time.
            has_gone_on: Whether it had gone on since it was held before.
            is_everybodys: Whether every other job would be held by the same.
        """
        before = None if has_gone_on else self._holds.get(job_id)
        wait_s = LEAST_HELD_S if before is None else min(before.wait_s * 2, MOST_HELD_S)
        self._holds[job_id] = Hold(code, wait_s, now_s + wait_s)
        if is_everybodys:
            self._rest_until_s = now_s + LEAST_HELD_S
        return before is None or before.code != code

    def forget(self, job_id: str) -> None:
        """Forget that a job was held."""
        self._holds.pop(job_id, None)

    def held_by(self, job_id: str, now_s: float) -> str:
        """Return the code of the error that a job waits out, or nothing; trying again is no end."""
        hold = self._holds.get(job_id)
        return "" if hold is None or now_s >= hold.until_s + LEAST_HELD_S else hold.code

    def held(self, now_s: float) -> list[str]:
        """Return the ids of the jobs whose next try isn't due."""
        return [job_id for job_id, hold in self._holds.items() if now_s < hold.until_s]
