"""A run: load all the time, a fault now and then, and the account of both at the end.

Owns: the order of things.
Refuses to know: how any of them works.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from loadtests.ledger.compare import Account, compare
from loadtests.ledger.faults import FAULTS, Fault
from loadtests.ledger.judge import Outcome, Slot
from loadtests.ledger.lines import ClientLine, ServerRow, read_server_rows, write_client_lines
from loadtests.ledger.reference import TEXTS, audio_hashes
from loadtests.ledger.sampler import Observations, Sampler
from loadtests.ledger.target import Target, running_target, wait_for
from loadtests.open_loop import Speakers, client_address, run_schedule, speakers

CLIENTS = 20
CALM_S = 5.0
"""Load without faults before the first fault, behind the last, and at least between two."""
PATIENCE_S = 4.0
"""How much longer than its bound a run waits for the pool to be whole."""
IDLE_LIMIT_S = 30.0

Spoiler = Callable[[list[ClientLine], list[ServerRow]], None]


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
    settings: dict[str, object]
    """Of the appliance, over those of the target."""
    spoil: Spoiler | None = None
    """Falsifies the account before it is compared, to see that this is found."""


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

    def misses(self) -> list[str]:
        """Say in one line each what wasn't as it must be."""
        missed = [miss for outcome in self.outcomes for miss in outcome.misses()]
        missed += self.account.misses()
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


def run(plan: Plan, lines_path: Path | None = None) -> Report:
    """Start an appliance, load and break it, stop it, and give the report. Blocks for all of that.

    Args:
        plan: What to do.
        lines_path: Gets the clients' lines, if any does.

    Raises:
        TimeoutError: The appliance isn't ready in time.
        OSError: The ledger's file can't be read.
    """
    with running_target(**plan.settings) as target:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            slots, lines, seen = runner.run(_load_and_break(target, plan))
        idle = wait_for(lambda: target.status().get("requests", {}).get("in_flight") == 0, IDLE_LIMIT_S)
        in_flight = 0 if idle else int(target.status().get("requests", {}).get("in_flight", -1))
        rows, unreadable = read_server_rows(target.ledger_path)
    if lines_path is not None:
        write_client_lines(lines_path, lines)
    if plan.spoil is not None:
        plan.spoil(lines, rows)
    kills_s = [slot.injection.begun_at_s for slot in slots if slot.fault.name == "gateway-kill"]
    account = compare(lines, rows, audio_hashes, lambda line: line.kind == "fault" or _was_cut(line, kills_s))
    by_id = {row.id: row for row in rows}
    lines.sort(key=lambda line: line.intended_at_s)
    begun_at_s = slots[0].injection.begun_at_s
    calm = [line for line in lines if line.kind == "load" and line.ended_at_s < begun_at_s]
    return Report(
        outcomes=[slot.outcome(lines, by_id, account, seen) for slot in slots],
        unmade=tuple(sorted(set(plan.faults) - {slot.fault.name for slot in slots})),
        calm=tuple(line.id for line in calm if not line.is_acknowledged),
        unrecorded=int(sum(seen.accepted)) - len(rows) - sum(_was_cut(line, kills_s) for line in lines),
        account=account,
        unreadable=unreadable,
        kills=len(kills_s),
        seen=seen,
        in_flight=in_flight,
        late_s=max((line.sent_at_s - line.intended_at_s for line in lines), default=0.0),
    )


def _was_cut(line: ClientLine, kills_s: Sequence[float]) -> bool:
    """Return whether a gateway was killed while an attempt was under way."""
    return any(line.sent_at_s <= at_s <= line.ended_at_s for at_s in kills_s)


async def _load_and_break(target: Target, plan: Plan) -> tuple[list[Slot], list[ClientLine], Observations]:
    """Send the load while faults are made, one after another; return when both have ended."""
    for number in range(TEXTS):
        audio_hashes(number)  # computed beforehand, so that the load doesn't wait for it
    async with speakers(target.port) as clients, asyncio.TaskGroup() as group:
        sampler = Sampler(target.port, clients)
        watching = group.create_task(sampler.run())
        load = group.create_task(_load(clients, plan))
        slots = await _break(target, clients, plan)
        await load
        slots[-1].end_s = time.monotonic()
        watching.cancel()
    return slots, clients.lines, sampler.seen


async def _load(clients: Speakers, plan: Plan) -> None:
    begun_s = time.monotonic()
    starts_s = (begun_s + number / plan.rate_hz for number in range(int(plan.duration_s * plan.rate_hz)))
    await run_schedule(
        starts_s,
        lambda number, at_s: clients.ask(
            f"load-{number}", client_address(number % CLIENTS), at_s, number % TEXTS
        ),
    )


async def _break(target: Target, clients: Speakers, plan: Plan) -> list[Slot]:
    """Make faults until the time is over; return what was done."""
    end_s = time.monotonic() + plan.duration_s
    slots: list[Slot] = []
    await asyncio.sleep(CALM_S)
    for number, name in enumerate(itertools.cycle(plan.faults)):
        fault = FAULTS[name]
        if time.monotonic() + plan.every_s > end_s and slots:
            break
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


def _spoil_lost(_lines: list[ClientLine], rows: list[ServerRow]) -> None:
    rows.remove(next(row for row in rows if row.state == "completed"))


def _spoil_duplicated(_lines: list[ClientLine], rows: list[ServerRow]) -> None:
    rows.append(rows[0])


def _spoil_unexpected(_lines: list[ClientLine], rows: list[ServerRow]) -> None:
    rows.append(ServerRow("nobody asked for this", "completed"))


def _spoil_wrong(lines: list[ClientLine], _rows: list[ServerRow]) -> None:
    number = next(number for number, line in enumerate(lines) if line.is_acknowledged and line.kind == "load")
    other = (lines[number].text_number + 1) % TEXTS
    lines[number] = replace(lines[number], text_number=other)


def _spoil_contradicted(lines: list[ClientLine], _rows: list[ServerRow]) -> None:
    number = next(number for number, line in enumerate(lines) if line.is_acknowledged and line.kind == "load")
    lines[number] = replace(lines[number], status=503, code="overloaded")


def _spoil_vanished(lines: list[ClientLine], rows: list[ServerRow]) -> None:
    number = next(number for number, line in enumerate(lines) if line.is_acknowledged and line.kind == "load")
    lines[number] = replace(lines[number], status=None, exception="ServerDisconnectedError")
    rows.remove(next(row for row in rows if row.id == lines[number].id))


def _spoil_orders(_lines: list[ClientLine], rows: list[ServerRow]) -> None:
    rows[0] = replace(rows[0], orders=rows[0].utterances + 1, retried=False)


SPOILERS: dict[str, Spoiler] = {
    "lost": _spoil_lost,
    "duplicated": _spoil_duplicated,
    "unexpected": _spoil_unexpected,
    "wrong": _spoil_wrong,
    "contradicted": _spoil_contradicted,
    "vanished": _spoil_vanished,
    "orders": _spoil_orders,
}
