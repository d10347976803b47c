"""A run: load all the time, a fault now and then, and the account of both at the end.

Owns: the order of things, what a run leaves behind, what of the whole run counts as missed.
Refuses to know: how any of them works.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from loadtests.appliance import LAUNCHER
from loadtests.ledger.compare import COMPLETED, SHOWN_IDS, Account, compare
from loadtests.ledger.faults import FAULTS, Fault, Victims
from loadtests.ledger.history import HistoryAccount, HistoryRow, compare_history, read_history
from loadtests.ledger.jobs import JobAccount, JobLine, compare_jobs, read_job_rows, run_jobs
from loadtests.ledger.judge import Outcome, Slot
from loadtests.ledger.lines import ClientLine, ServerRow, read_server_rows, write_client_lines
from loadtests.ledger.pattern import LISTENERS, ask
from loadtests.ledger.reference import TEXTS, audio_hashes, job_audio_hash
from loadtests.ledger.sampler import Observations, Sampler
from loadtests.ledger.spoilers import Spoiler
from loadtests.ledger.target import Target, running_target, wait_for
from loadtests.open_loop import LEFT, Speakers, run_schedule, speakers
from loadtests.progress import TICK_S, Progress

CALM_S = 5.0
"""Load without faults before the first fault, behind the last, and at least between two."""
PATIENCE_S = 4.0
"""How much longer than its bound a run waits for the pool to be whole."""
IDLE_LIMIT_S = 30.0
MOST_LATE_S = 0.5
"""Behind a generator later than this the appliance was kept waiting too."""
MAY_LEAVE = frozenset({"fault", "leaver"})
"""Kinds of attempts whose clients may hang up."""
ENDS_GATEWAY = frozenset({"gateway-restart", "gateway-kill"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does."""

    duration_s: float
    rate_hz: float
    """Requests of the load in a second."""
    every_s: float
    """Seconds from one fault to the next; longer where an appliance takes longer to mend."""
    faults: Sequence[str]
    """Gone through again and again."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Of the appliance, over those of the target."""
    launcher: Sequence[str] = LAUNCHER
    """As `running_appliance` takes it."""
    has_cache: bool = False
    """Whether answers are kept; the settings must say so, too."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a run has left behind; `judge` says what it shows."""

    faults: Sequence[str]
    """Of the plan."""
    slots: Sequence[Slot]
    lines: Sequence[ClientLine]
    rows: Sequence[ServerRow]
    unreadable: int
    seen: Observations
    in_flight: int
    restarts: int
    """Gateways that got ready after the first one."""
    has_cache: bool = False
    """Of the plan."""
    jobs: Sequence[JobLine] = ()
    job_rows: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """As `compare_jobs` takes them."""
    history: Sequence[HistoryRow] = ()
    told_unrecorded: int = 0
    """Requests that the appliance itself calls unrecorded."""


@dataclass(frozen=True, slots=True)
class Load:
    """What became of the requests as a whole, without those that a fault sent."""

    requests: int
    """Of the load."""
    failed: tuple[str, ...]
    """Of the load and of the sampler's, but for those that the sampler itself gave up."""
    given_up: int
    """Requests that the sampler left after its patience."""
    slowest_s: float
    """From the intended start of a request to the end of its answer."""
    ended_gateways: int
    """Gateways that the run has ended on purpose."""
    restarts: int
    """Gateways that got ready after the first one, as the appliance's log tells."""

    unspoken: int
    """Requests that were answered with what another one had had spoken."""
    has_cache: bool
    may_fail: bool
    """Whether something was broken that takes requests with it."""

    def misses(self) -> Iterator[str]:
        """Say in one line each what wasn't as it must be."""
        if self.restarts != self.ended_gateways:
            yield f"gateways: {self.ended_gateways} ended on purpose, {self.restarts} restarted"
        if self.has_cache and not self.unspoken:
            yield "no request was answered with what another one had had spoken"
        if self.failed and not self.may_fail:
            yield f"{len(self.failed)} requests failed, none may ({', '.join(self.failed[:SHOWN_IDS])})"


@dataclass(frozen=True, slots=True)
class Report:
    """What a run has shown."""

    outcomes: list[Outcome]
    unmade: tuple[str, ...]
    """Faults of the plan that there was no time for."""
    calm: tuple[str, ...]
    """Requests that failed before the first fault."""
    unrecorded: int
    """Requests that gateways had accepted and that have no row, but for those in flight at a kill."""
    account: Account
    unreadable: int
    """Lines of the server's file that were torn."""
    kills: int
    """Gateways that were killed, each of which may have torn one."""
    seen: Observations
    in_flight: int
    """Requests that the gateway still counted as running after all clients had gone."""
    late_s: float
    """The most that a request left behind its schedule: the generator's own fault."""
    load: Load
    jobs: JobAccount
    history: HistoryAccount = field(default_factory=HistoryAccount)

    @property
    def is_late(self) -> bool:
        """Whether the generator stood still, so that the appliance wasn't asked what the plan says."""
        return self.late_s > MOST_LATE_S

    def misses(self) -> list[str]:
        """Say in one line each what wasn't as it must be."""
        missed = [miss for outcome in self.outcomes for miss in outcome.misses()]
        missed += [*self.account.misses(), *self.load.misses(), *self.jobs.misses(), *self.history.misses()]
        if self.unreadable > self.kills:
            missed.append(f"unreadable: {self.unreadable} lines after {self.kills} kills")
        if self.seen.unaccounted:
            worst = max(abs(off) for _, off in self.seen.unaccounted)
            missed.append(f"unaccounted: {len(self.seen.unaccounted)} scrapes, by up to {worst:g}")
        if self.unrecorded > 0:
            missed.append(f"unaccounted: {self.unrecorded} accepted requests have no row")
        if self.unmade:
            missed.append(f"not made: {', '.join(self.unmade)}")
        if self.calm:
            missed.append(f"{len(self.calm)} failed before the first fault ({', '.join(self.calm[:5])})")
        if self.in_flight:
            missed.append(f"unaccounted: {self.in_flight} still in flight at the end")
        if not self.seen.scrapes or not self.outcomes:
            missed.append("nothing was measured")
        return missed


def run(plan: Plan, lines_path: Path | None = None, spoil: Spoiler | None = None) -> Report:
    """Start an appliance, load and break it, stop it, and give the report. Blocks for all of that.

    Args:
        plan: What to do.
        lines_path: Gets the clients' lines, if any does.
        spoil: As `judge` takes it.

    Raises:
        TimeoutError: The appliance isn't ready in time.
        OSError: The ledger's file can't be read.
    """
    record = make_record(plan)
    if lines_path is not None:
        write_client_lines(lines_path, record.lines)
    return judge(record, spoil)


def make_record(plan: Plan) -> Record:
    """Start an appliance, load and break it, stop it, and return what is left. Blocks for all of that.

    Raises:
        TimeoutError: The appliance isn't ready in time.
        OSError: The ledger's file can't be read.
    """
    with running_target(launcher=plan.launcher, **plan.settings) as target:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            slots, lines, seen, jobs = runner.run(_load_and_break(target, plan))
        idle = wait_for(lambda: target.status().get("requests", {}).get("in_flight") == 0, IDLE_LIMIT_S)
        in_flight = 0 if idle else int(target.status().get("requests", {}).get("in_flight", -1))
        rows, unreadable = read_server_rows(target.ledger_path)
        job_rows = read_job_rows(target.data_dir)
        history, told = read_history(target.run_dir, rows[-1].id if rows else None)
        restarts = target.log.events["gateway_ready"] - 1
    lines.sort(key=lambda line: line.intended_at_s)
    return Record(
        plan.faults,
        slots,
        lines,
        rows,
        unreadable,
        seen,
        in_flight,
        restarts,
        plan.has_cache,
        jobs,
        job_rows,
        history,
        told,
    )


def judge(record: Record, spoil: Spoiler | None = None) -> Report:
    """Compare both halves of a run and judge it; the record stays as it is.

    Args:
        record: What the run has left behind.
        spoil: Falsifies a copy of the account before it is compared, to see that this is found; the history
            is compared with what it really was.
    """
    lines, rows, seen = list(record.lines), list(record.rows), record.seen
    if spoil is not None:
        spoil(lines, rows)
    kills_s = [slot.injection.begun_at_s for slot in record.slots if slot.fault.name == "gateway-kill"]
    account = compare(
        lines, rows, audio_hashes, lambda line: line.kind in MAY_LEAVE or _was_cut(line, kills_s)
    )
    by_id = {row.id: row for row in rows}
    most_on_worker = LISTENERS if record.has_cache else 1
    begun_at_s = record.slots[0].injection.begun_at_s
    calm = [line for line in lines if line.kind == "load" and line.ended_at_s < begun_at_s]
    return Report(
        outcomes=[slot.outcome(lines, by_id, account, seen, most_on_worker) for slot in record.slots],
        unmade=tuple(sorted(set(record.faults) - {slot.fault.name for slot in record.slots})),
        calm=tuple(line.id for line in calm if not line.is_acknowledged),
        unrecorded=int(sum(seen.accepted)) - len(rows) - sum(_was_cut(line, kills_s) for line in lines),
        account=account,
        unreadable=record.unreadable,
        kills=len(kills_s),
        seen=seen,
        in_flight=record.in_flight,
        late_s=max((line.sent_at_s - line.intended_at_s for line in lines), default=0.0),
        load=_load_of(record, lines, rows),
        jobs=compare_jobs(record.jobs, record.job_rows),
        history=compare_history(record.history, record.told_unrecorded, record.rows, record.lines, kills_s),
    )


def _load_of(record: Record, lines: Sequence[ClientLine], rows: Sequence[ServerRow]) -> Load:
    load = [line for line in lines if line.kind == "load"]
    return Load(
        requests=len(load),
        failed=tuple(line.id for line in lines if _has_failed(line)),
        given_up=sum(_is_given_up(line) for line in lines),
        slowest_s=max((line.ended_at_s - line.intended_at_s for line in load), default=0.0),
        ended_gateways=sum(slot.fault.name in ENDS_GATEWAY for slot in record.slots),
        restarts=record.restarts,
        unspoken=sum(row.state == COMPLETED and not row.utterances for row in rows),
        has_cache=record.has_cache,
        may_fail=any(slot.fault.victims is not Victims.NOBODY for slot in record.slots),
    )


def _has_failed(line: ClientLine) -> bool:
    return not line.is_acknowledged and line.kind not in MAY_LEAVE and not _is_given_up(line)


def _is_given_up(line: ClientLine) -> bool:
    return line.kind == "synthetic" and line.exception == LEFT


def _was_cut(line: ClientLine, kills_s: Sequence[float]) -> bool:
    """Return whether a gateway was killed while an attempt was under way."""
    return any(line.sent_at_s <= at_s <= line.ended_at_s for at_s in kills_s)


async def _load_and_break(
    target: Target, plan: Plan
) -> tuple[list[Slot], list[ClientLine], Observations, list[JobLine]]:
    """Send the load while faults are made, one after another; return when both have ended."""
    for number in range(TEXTS):
        (
            audio_hashes(number),
            job_audio_hash(number),
        )  # computed beforehand, so that the load doesn't wait for it
    async with speakers(target.port) as clients, asyncio.TaskGroup() as group:
        sampler = Sampler(target.port, clients)
        progress = Progress(plan.duration_s, lambda: len(clients.lines))
        beside = [group.create_task(each) for each in (sampler.run(), _tell(progress))]
        load = group.create_task(_load(clients, plan))
        jobs = group.create_task(run_jobs(target.port, plan.duration_s))
        slots = await _break(target, clients, plan, progress)
        progress.phase = "the last answers"
        await load
        job_lines = await jobs
        slots[-1].end_s = time.monotonic()
        for each in beside:
            each.cancel()
    return slots, clients.lines, sampler.seen, job_lines


async def _tell(progress: Progress) -> None:
    """Show the progress until cancelled."""
    try:
        while True:
            progress.show()
            await asyncio.sleep(TICK_S)
    finally:
        progress.end()


async def _load(clients: Speakers, plan: Plan) -> None:
    begun_s = time.monotonic()
    starts_s = (begun_s + number / plan.rate_hz for number in range(int(plan.duration_s * plan.rate_hz)))
    await run_schedule(
        starts_s,
        lambda number, at_s: ask(clients, number, at_s, has_cache=plan.has_cache),
    )


async def _break(target: Target, clients: Speakers, plan: Plan, progress: Progress) -> list[Slot]:
    """Make faults until the time is over; return what was done."""
    progress.phase = "calm"
    end_s = time.monotonic() + plan.duration_s
    slots: list[Slot] = []
    await asyncio.sleep(CALM_S)
    for number, name in enumerate(itertools.cycle(plan.faults)):
        fault = FAULTS[name]
        if time.monotonic() + max(plan.every_s, fault.takes_s + CALM_S) > end_s and slots:
            break
        progress.phase = name
        slot = await _make(target, clients, fault, f"fault-{number}")
        began_s = slot.injection.begun_at_s
        if slots:
            slots[-1].end_s = began_s
        slots.append(slot)
        await asyncio.sleep(max(CALM_S, began_s + plan.every_s - time.monotonic()))
    return slots


async def _make(target: Target, clients: Speakers, fault: Fault, name: str) -> Slot:
    injection = await fault.inject(target, clients, name)
    whole_at_s = await asyncio.to_thread(wait_for, target.is_whole, fault.whole_s + PATIENCE_S)
    return Slot(fault, injection, whole_at_s, float("inf"))
