"""The history held against the other two accounts: the file of ended requests, and what clients saw.

Owns: reading the history page by page, the comparison, what a killed gateway may have taken, its table.
Refuses to know: how load and faults are made; whether what was heard is right (`compare`).

    missing      ended by the file, and there is no row
    duplicated   more than one row of one request
    unexpected   a row of a request that isn't in the file
    differing    a row that has another end than the file has
    running      a row without an end
    unrecorded   as missing, but a kill came so soon that nothing had written it: no fault, and counted apart
    interrupted  a row that says that a kill ended it, where one did
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.store.history import RUNNING
from loadtests.figures import Table
from loadtests.ledger.compare import SHOWN_IDS
from loadtests.ledger.lines import ClientLine, ServerRow
from loadtests.ledger.target import wait_for
from processes.ttsctl.gateway_socket import ask_json

PAGE_ROWS = 1_000
WRITTEN_S = 5.0
"""How long the last row is waited for."""
TAKEN_S = 0.25
"""Rows of requests that have ended so shortly before a kill may lack."""
BUSY_S = 0.25
"""By how much a machine that is loaded on purpose may be late with them."""
KILLED = ("interrupted", "kill")


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A request, as the history has it."""

    id: str
    state: str
    ended_by: str


@dataclass(frozen=True, slots=True)
class HistoryAccount:
    """What the comparison found; each field but the first and the last two holds ids."""

    rows: int = 0
    missing: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    unrecorded: tuple[str, ...] = ()
    interrupted: tuple[str, ...] = ()
    told: int = 0
    """Requests of which the appliance itself says that they have no row."""
    kills: int = 0
    """Gateways that were killed."""

    def faults(self) -> dict[str, tuple[str, ...]]:
        """Return what must be empty."""
        names = ("missing", "duplicated", "unexpected", "differing", "running")
        return {name: getattr(self, name) for name in names}

    def misses(self) -> Iterator[str]:
        """Say in one line each what isn't as it must be."""
        for name, ids in self.faults().items():
            if ids:
                yield f"history {name}: {len(ids)} ({', '.join(ids[:SHOWN_IDS])})"
        if self.told and not self.kills:
            yield f"history: {self.told} are said to be unrecorded, and no gateway was killed"
        if self.told < len(self.unrecorded):
            yield f"history: {len(self.unrecorded)} have no row, and {self.told} are said to be unrecorded"

    def table(self) -> Table:
        """Return the counts as a table."""
        counts = {
            "rows of the history": self.rows,
            **{name: len(ids) for name, ids in self.faults().items()},
            "interrupted by a kill": len(self.interrupted),
            "unrecorded": self.told,
        }
        return Table(tuple(counts), [tuple(f"{count:,}" for count in counts.values())])


def read_history(run_dir: Path, last_id: str | None) -> tuple[list[HistoryRow], int]:
    """Read the whole history over `run/gateway.sock`, once its last row is there; blocks.

    Fails as `ask_json` does.

    Args:
        run_dir: The appliance's.
        last_id: The request that ended last; None where there was none.

    Returns:
        The rows, the newest first, and how many requests the appliance calls unrecorded.
    """
    if last_id is not None:
        wait_for(lambda: _has_ended(run_dir, last_id), WRITTEN_S)
    rows: list[HistoryRow] = []
    query = f"limit={PAGE_ROWS}"
    while True:
        page = ask_json(run_dir, "GET", f"/v1/history?{query}")
        rows += [HistoryRow(each["request_id"], each["state"], each["ended_by"]) for each in page["data"]]
        if not page["has_more"]:
            return rows, int(page["unrecorded"])
        query = f"limit={PAGE_ROWS}&before={page['next_before']}"


def compare_history(
    rows: Sequence[HistoryRow],
    told: int,
    ended: Sequence[ServerRow],
    lines: Iterable[ClientLine],
    kills_s: Sequence[float],
) -> HistoryAccount:
    """Compare the history with the file and the clients.

    Args:
        rows: The history's.
        told: How many requests the appliance calls unrecorded.
        ended: The file's.
        lines: Of all clients.
        kills_s: Monotonic times at which a gateway was killed.
    """
    counted = Counter(row.id for row in rows)
    ends = {row.id: (row.state, row.ended_by) for row in ended}
    struck = {line.id for line in lines if _may_be_taken(line, kills_s)}
    lacking = sorted(ends.keys() - counted.keys())
    final = [row for row in rows if row.state != RUNNING]
    interrupted = [row.id for row in final if _is_interrupted(row, struck)]
    return HistoryAccount(
        rows=len(rows),
        missing=tuple(each for each in lacking if each not in struck),
        duplicated=tuple(sorted(each for each, count in counted.items() if count > 1)),
        unexpected=tuple(sorted(each for each in counted.keys() - ends.keys() if each not in struck)),
        differing=tuple(
            row.id
            for row in final
            if ends.get(row.id, (row.state, row.ended_by)) != (row.state, row.ended_by)
            and not _is_interrupted(row, struck)
        ),
        running=tuple(row.id for row in rows if row.state == RUNNING),
        unrecorded=tuple(each for each in lacking if each in struck),
        interrupted=tuple(interrupted),
        told=told,
        kills=len(kills_s),
    )


def _has_ended(run_dir: Path, request_id: str) -> bool:
    found = ask_json(run_dir, "GET", f"/v1/history?request_id={request_id}")["data"]
    return bool(found) and all(row["state"] != RUNNING for row in found)


def _is_interrupted(row: HistoryRow, struck: Collection[str]) -> bool:
    return (row.state, row.ended_by) == KILLED and row.id in struck


def _may_be_taken(line: ClientLine, kills_s: Sequence[float]) -> bool:
    """Return whether a kill came while an attempt was under way, or before its row was written."""
    since_s = line.ended_at_s + TAKEN_S + BUSY_S
    return any(line.sent_at_s <= at_s <= since_s for at_s in kills_s)
