"""The verdict on one fault, and the table of all.

Owns: what became of the requests of a fault's slot, the bounds, the table's cells.
Refuses to know: how faults are made and requests sent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from loadtests.figures import Table
from loadtests.ledger.compare import Account
from loadtests.ledger.faults import Fault, Injection, Victims
from loadtests.ledger.lines import ClientLine, ServerRow
from loadtests.ledger.sampler import Observations

RECOVER_WINDOW_S = 5.0
RECOVER_SHARE = 0.99
"""Recovered is: from then on 5 s of at least 99 % success. Source: reference matrix, time to recover."""
MOST_RECOVER_S = 10.0
MOST_FALSE_GREEN_S = 2.0
WORKER_CODES = frozenset({"worker_lost", "synthesis_timeout"})
HEADER = (
    "fault",
    "times",
    "requests",
    "seen after s",
    "whole after s",
    "recovered after s",
    "failed beside the victim",
    "failed on the victim",
    "lost",
    "duplicated",
    "unaccounted",
    "wrong",
    "false green s",
    "false red s",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one fault has led to."""

    fault: Fault
    requests: int
    detected_s: float | None
    """Seconds from the fault until the appliance showed it."""
    whole_s: float | None
    """Seconds from the fault's end until every worker served; None if that took too long to wait for."""
    recovered_s: float | None
    """Seconds from the fault's end to lasting success."""
    blast: tuple[str, ...]
    """The requests that failed and weren't on the victim: id, and what the client got."""
    on_victim: int
    most_on_victim: int
    """Of a lost worker: it speaks one utterance at a time, so only those who hear that can fail with it."""
    ledger: Mapping[str, int]
    """Ids of the comparison's faults that began in this slot, by kind."""
    unaccounted: int
    false_green_s: float
    false_red_s: float
    is_observed: bool
    """Whether health and truth were looked at often enough to believe the two above."""
    missed: tuple[str, ...]
    """What else must hold for this fault and didn't, in one line each."""

    def misses(self) -> Iterator[str]:
        """Say in one line each which bound was missed."""
        fault = self.fault
        if fault.detect_s is not None and (self.detected_s is None or self.detected_s > fault.detect_s):
            yield f"{fault.name}: seen after {_shown(self.detected_s)} s, at most {fault.detect_s:g} s"
        if self.whole_s is None or self.whole_s > fault.whole_s:
            yield f"{fault.name}: whole after {_shown(self.whole_s)} s, at most {fault.whole_s:g} s"
        if self.recovered_s is None or self.recovered_s > MOST_RECOVER_S:
            yield f"{fault.name}: recovered after {_shown(self.recovered_s)} s, at most {MOST_RECOVER_S:g} s"
        if self.false_green_s > MOST_FALSE_GREEN_S:
            most_s = MOST_FALSE_GREEN_S
            yield f"{fault.name}: false green for {self.false_green_s:.1f} s, at most {most_s:g} s"
        if not self.is_observed:
            yield f"{fault.name}: health and truth were hardly looked at"
        if fault.victims is Victims.WORKERS and self.on_victim > self.most_on_victim:
            yield f"{fault.name}: {self.on_victim} failed on the victim, at most {self.most_on_victim}"
        yield from self.missed
        if self.blast:
            yield f"{fault.name}: {len(self.blast)} failed beside the victim ({'; '.join(self.blast[:5])})"


class Slot:
    """The time from one fault to the next, and what happened in it.

    A request that is still under way when the next fault is made belongs to that one.
    """

    def __init__(self, fault: Fault, injection: Injection, whole_at_s: float | None, end_s: float) -> None:
        """Take what was done and when.

        Args:
            fault: Its kind.
            injection: When it was made, and seen.
            whole_at_s: Monotonic time at which every worker served again; None if it never came.
            end_s: Monotonic time of the next fault, or of the run's end.
        """
        self.fault = fault
        self.injection = injection
        self.whole_at_s = whole_at_s
        self.end_s = end_s

    def outcome(
        self,
        lines: Sequence[ClientLine],
        rows: Mapping[str, ServerRow],
        account: Account,
        seen: Observations,
        most_on_victim: int = 1,
    ) -> Outcome:
        """Judge the slot.

        Args:
            lines: Of the whole run, in the order of their intended times.
            rows: The server's, by id.
            account: The comparison of both.
            seen: By the sampler.
            most_on_victim: How many requests of the load hear one utterance.
        """
        begun_at_s, ended_at_s = self.injection.begun_at_s, self.injection.ended_at_s
        mine = [line for line in lines if begun_at_s <= line.intended_at_s and line.ended_at_s < self.end_s]
        before = [line for line in lines if line.intended_at_s < begun_at_s <= line.ended_at_s]
        counted = [line for line in (*before, *mine) if line.kind == "load"]
        failed = [line for line in counted if not line.is_acknowledged]
        victims = [line for line in failed if self._is_victim(line, rows.get(line.id))]
        ids = {line.id for line in (*before, *mine)}
        return Outcome(
            fault=self.fault,
            requests=len(counted),
            detected_s=self.injection.detected_s,
            whole_s=None if self.whole_at_s is None else max(0.0, self.whole_at_s - ended_at_s),
            recovered_s=recovered_s(counted, ended_at_s, self.end_s),
            blast=tuple(_named(line) for line in failed if line not in victims),
            on_victim=len(victims),
            most_on_victim=most_on_victim,
            ledger={kind: len(ids.intersection(found)) for kind, found in account.faults().items()},
            unaccounted=sum(begun_at_s <= at_s < self.end_s for at_s, _ in seen.unaccounted),
            false_green_s=seen.false_green_s(begun_at_s, self.end_s),
            false_red_s=seen.false_red_s(begun_at_s, self.end_s),
            is_observed=seen.is_dense(begun_at_s, self.end_s),
            missed=tuple(f"{self.fault.name}: {miss}" for miss in self.injection.missed),
        )

    def _is_victim(self, line: ClientLine, row: ServerRow | None) -> bool:
        """Return whether a failed request was on what was broken."""
        match self.fault.victims:
            case Victims.NOBODY:
                return False
            case Victims.WORKERS:
                return line.code in WORKER_CODES or (row is not None and row.ended_by in WORKER_CODES)
            case Victims.UNTIL_WHOLE:
                return self.whole_at_s is None or line.intended_at_s <= self.whole_at_s
            case Victims.IN_FLIGHT:
                begun_at_s = self.injection.begun_at_s
                return line.sent_at_s <= begun_at_s <= line.ended_at_s


def recovered_s(lines: Sequence[ClientLine], from_s: float, end_s: float) -> float | None:
    """Return the seconds until success was lasting: 99 % of what was to start in the next 5 s.

    Args:
        lines: Attempts of the load.
        from_s: Monotonic time from which to look.
        end_s: Where the slot ends; a shorter rest than 5 s counts whole.

    Returns:
        None where success wasn't lasting before the end.
    """
    lines = sorted(lines, key=lambda line: line.intended_at_s)
    starts_s = [line.intended_at_s for line in lines]
    candidates_s = [from_s, *(line.intended_at_s + 1e-6 for line in lines if not line.is_acknowledged)]
    for at_s in candidates_s:
        if at_s < from_s or at_s > end_s:
            continue
        window = lines[
            bisect_left(starts_s, at_s) : bisect_left(starts_s, min(at_s + RECOVER_WINDOW_S, end_s))
        ]
        if window and sum(line.is_acknowledged for line in window) >= RECOVER_SHARE * len(window):
            return at_s - from_s
    return None


def outcomes_table(outcomes: Sequence[Outcome]) -> Table:
    """Return the table of a run: a line for each kind of fault, the worst of its times."""
    by_name: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_name.setdefault(outcome.fault.name, []).append(outcome)
    return Table(HEADER, [_row(name, each) for name, each in by_name.items()])


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    shows = outcomes[0].fault.detect_s is not None
    return (
        name,
        str(len(outcomes)),
        str(sum(each.requests for each in outcomes)),
        _worst([each.detected_s for each in outcomes]) if shows else "",
        _worst([each.whole_s for each in outcomes]),
        _worst([each.recovered_s for each in outcomes]),
        str(sum(len(each.blast) for each in outcomes)),
        str(sum(each.on_victim for each in outcomes)),
        *(str(sum(each.ledger[kind] for each in outcomes)) for kind in ("lost", "duplicated")),
        str(sum(each.unaccounted for each in outcomes)),
        str(sum(each.ledger["wrong"] for each in outcomes)),
        f"{max(each.false_green_s for each in outcomes):.1f}",
        f"{max(each.false_red_s for each in outcomes):.1f}",
    )


def _named(line: ClientLine) -> str:
    return f"{line.id}: {line.status} {line.code or line.exception}"


def _worst(seconds: Sequence[float | None]) -> str:
    known = [each for each in seconds if each is not None]
    return "never" if len(known) < len(seconds) else f"{max(known):.2f}"


def _shown(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.2f}"
