"""The history held against the ledger's file and what clients saw."""

from __future__ import annotations

import pytest

from loadtests.ledger.history import KILLED, HistoryRow, compare_history
from loadtests.ledger.lines import ClientLine, ServerRow


def attempt(request_id: str, at_s: float) -> ClientLine:
    """One that was answered well, in 0.1 s."""
    return ClientLine(request_id, "load", 0, at_s, at_s, at_s + 0.1, status=200)


def written(request_id: str = "a", state: str = "completed", ended_by: str = "completed") -> HistoryRow:
    return HistoryRow(request_id, state, ended_by)


ENDED = [ServerRow("a", "completed", "completed"), ServerRow("b", "failed", "engine_failed")]
WRITTEN = [written("b", "failed", "engine_failed"), written("a")]
ASKED = [attempt("a", 0.0), attempt("b", 1.0), attempt("c", 9.0)]


def test_history_when_all_sides_agree_then_nothing_is_missed() -> None:
    account = compare_history(WRITTEN, 0, ENDED, ASKED, [])
    assert list(account.misses()) == []
    assert account.rows == 2


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (WRITTEN[:1], "missing"),
        ([*WRITTEN, written("a")], "duplicated"),
        ([*WRITTEN, written("c")], "unexpected"),
        ([WRITTEN[0], written("a", "failed", "completed")], "differing"),
        ([WRITTEN[0], written("a", "completed", "client")], "differing"),
        ([WRITTEN[0], written("a", *KILLED)], "differing"),
        ([WRITTEN[0], written("a", "running", "")], "running"),
    ],
)
@pytest.mark.parametrize("kills_s", [[], [9.05]])
def test_history_when_it_disagrees_then_said_unless_a_kill_was_near(
    rows: list[HistoryRow], kind: str, kills_s: list[float]
) -> None:
    account = compare_history(rows, len(kills_s), ENDED, ASKED, kills_s)
    excused = kind == "unexpected" and bool(kills_s)  # c was under way when the gateway was killed
    assert [miss.split()[1] for miss in account.misses()] == ([] if excused else [f"{kind}:"])


@pytest.mark.parametrize(("at_s", "is_excused"), [(0.05, True), (0.5, True), (0.7, False), (-0.1, False)])
def test_history_when_a_kill_came_then_only_rows_of_just_before_may_lack(
    at_s: float, is_excused: bool
) -> None:
    account = compare_history(WRITTEN[:1], 1, ENDED, ASKED, [at_s])
    assert (account.unrecorded, account.missing) == ((("a",), ()) if is_excused else ((), ("a",)))


def test_history_when_a_kill_ended_what_ran_then_counted_apart() -> None:
    account = compare_history([*WRITTEN, written("c", *KILLED)], 0, ENDED, ASKED, [9.05])
    assert (account.interrupted, list(account.misses())) == (("c",), [])


def test_history_when_more_lack_than_are_told_or_any_without_a_kill_then_said() -> None:
    (miss,) = compare_history(WRITTEN[:1], 0, ENDED, ASKED, [0.2]).misses()
    assert miss == "history: 1 have no row, and 0 are said to be unrecorded"
    (miss,) = compare_history(WRITTEN, 2, ENDED, ASKED, []).misses()
    assert miss == "history: 2 are said to be unrecorded, and no gateway was killed"
