"""The comparison: every attempt must be accounted for on both sides, exactly once.

Owns: the rules, as pure functions.
Refuses to know: where lines and rows come from, what a fault is.

    acknowledged   the client has a whole answer with success
    rejected       the client has a whole answer with an error's code
    indeterminate  the connection ended before the answer, or in its middle
    lost           acknowledged, but the server has no completed row of it
    unexpected     a row that nobody asked for
    duplicated     more than one row of one id, or spoken more than once without a worker having been lost
    wrong          acknowledged, but not the audio that the text gives, or not as long as its row
    recovered      indeterminate, and the server has completed it
    contradicted   rejected, and the server has completed it
    vanished       indeterminate without a row, though its gateway lived on
    unclear        neither acknowledged nor rejected nor indeterminate: an error without a code
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from loadtests.ledger.lines import ClientLine, ServerRow

COMPLETED = "completed"
SHOWN_IDS = 5
"""Ids that are named of each kind of fault."""

Reference = Callable[[int], Collection[str]]
"""From a text's number to the SHA-256 that its audio may have."""


@dataclass(frozen=True, slots=True)
class Account:
    """What the comparison found; each field holds ids."""

    attempted: tuple[str, ...]
    acknowledged: tuple[str, ...]
    rejected: tuple[str, ...]
    indeterminate: tuple[str, ...]
    lost: tuple[str, ...]
    unexpected: tuple[str, ...]
    duplicated: tuple[str, ...]
    wrong: tuple[str, ...]
    recovered: tuple[str, ...]
    unclear: tuple[str, ...]
    contradicted: tuple[str, ...]
    vanished: tuple[str, ...]

    def faults(self) -> dict[str, tuple[str, ...]]:
        """Return what must be empty."""
        return {
            "lost": self.lost,
            "unexpected": self.unexpected,
            "duplicated": self.duplicated,
            "wrong": self.wrong,
            "unclear": self.unclear,
            "contradicted": self.contradicted,
            "vanished": self.vanished,
        }

    def misses(self) -> list[str]:
        """Say in one line each what isn't empty and should be."""
        return [
            f"{name}: {len(ids)} ({', '.join(ids[:SHOWN_IDS])})" for name, ids in self.faults().items() if ids
        ]


def compare(
    lines: Iterable[ClientLine],
    rows: Iterable[ServerRow],
    reference: Reference,
    is_excused: Callable[[ClientLine], bool] = lambda _line: False,
) -> Account:
    """Compare both halves.

    Args:
        lines: Of all clients; an id that stands there twice counts as duplicated.
        rows: Of the server.
        reference: Says which audio a text may have.
        is_excused: Says of an attempt that broke whether nobody could have written its row: its gateway was
            killed, or the client itself had left.
    """
    lines, rows = list(lines), list(rows)
    attempts = Counter(line.id for line in lines)
    counted = Counter(row.id for row in rows)
    completed = {row.id: row for row in rows if row.state == COMPLETED}
    acknowledged = [line for line in lines if line.is_acknowledged]
    rejected = [line for line in lines if line.is_rejected and not line.is_acknowledged]
    broken = [line for line in lines if line.exception is not None]
    return Account(
        attempted=tuple(attempts),
        acknowledged=_ids(acknowledged),
        rejected=_ids(rejected),
        indeterminate=_ids(broken),
        lost=_ids(line for line in acknowledged if line.id not in completed),
        unexpected=tuple(sorted(counted.keys() - attempts.keys())),
        duplicated=_more_than_once(attempts, counted, rows),
        wrong=_ids(line for line in acknowledged if _is_wrong(line, completed.get(line.id), reference)),
        recovered=_ids(line for line in broken if line.id in completed),
        unclear=_ids(
            line for line in lines if not (line.is_acknowledged or line.is_rejected or line.exception)
        ),
        contradicted=_ids(line for line in rejected if line.id in completed),
        vanished=_ids(line for line in broken if line.id not in counted and not is_excused(line)),
    )


def unaccounted(accepted: float, finished: float, in_flight: float) -> float:
    """Return by how much the counters' identity is off: accepted − finished = in flight."""
    return accepted - finished - in_flight


def _more_than_once(
    attempts: Counter[str], counted: Counter[str], rows: Iterable[ServerRow]
) -> tuple[str, ...]:
    twice = {row.id for row in rows if row.is_spoken_twice}
    return tuple(sorted(each for each in counted if counted[each] > 1 or attempts[each] > 1 or each in twice))


def _is_wrong(line: ClientLine, row: ServerRow | None, reference: Reference) -> bool:
    is_other_length = row is not None and row.bytes != line.bytes
    is_other_audio = line.text_number >= 0 and line.sha256 not in reference(line.text_number)
    return is_other_length or is_other_audio


def _ids(lines: Iterable[ClientLine]) -> tuple[str, ...]:
    return tuple(line.id for line in lines)
