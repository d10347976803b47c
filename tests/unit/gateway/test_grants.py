"""Who may compute: never more than there are cores, earliest deadline first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processes.gateway.grants import GrantLedger


def test_ask_when_a_core_is_free_then_the_grant_comes_at_once() -> None:
    given_to: list[str] = []
    ledger = GrantLedger(1, given_to.append)
    ledger.ask("a", 5.0)
    assert given_to == ["a"]
    assert ledger.holds("a")


def test_give_back_when_several_wait_then_the_earliest_deadline_is_next() -> None:
    given_to: list[str] = []
    ledger = GrantLedger(1, given_to.append)
    for name, deadline_s in (("holder", 0.0), ("late", 9.0), ("job", float("inf")), ("early", 1.0)):
        ledger.ask(name, deadline_s)
    for name in ("holder", "early", "late"):
        ledger.give_back(name)
    assert given_to == ["holder", "early", "late", "job"]


def test_give_back_when_the_asker_only_waits_then_it_leaves_the_line() -> None:
    given_to: list[str] = []
    ledger = GrantLedger(1, given_to.append)
    for name in ("holder", "gone", "next"):
        ledger.ask(name, 1.0)
    ledger.give_back("gone")
    ledger.give_back("holder")
    assert given_to == ["holder", "next"]


def test_hurry_when_it_waits_then_its_new_deadline_counts_and_others_keep_theirs() -> None:
    given_to: list[str] = []
    ledger = GrantLedger(1, given_to.append)
    for name, deadline_s in (("holder", 0.0), ("early", 1.0), ("late", 9.0), ("job", float("inf"))):
        ledger.ask(name, deadline_s)
    ledger.hurry("job", 5.0)
    ledger.hurry("holder", 7.0)
    for name in ("holder", "early", "job"):
        ledger.give_back(name)
    assert given_to == ["holder", "early", "job", "late"]


def test_renew_when_others_wait_then_the_earliest_deadline_of_all_is_next() -> None:
    given_to: list[str] = []
    ledger = GrantLedger(1, given_to.append)
    ledger.ask("holder", 0.0)
    ledger.ask("late", 9.0)
    ledger.renew("holder", 1.0)
    ledger.renew("holder", 10.0)
    assert given_to == ["holder", "holder", "late"]
    assert not ledger.holds("holder")


def test_ask_when_no_core_is_needed_then_the_grant_comes_at_once_and_no_core_is_taken() -> None:
    given_to: list[str] = []
    ledger = GrantLedger(1, given_to.append)
    for name, needs_core in (("gpu", False), ("cpu", True), ("late", True), ("gpu-2", False)):
        ledger.ask(name, 1.0, needs_core=needs_core)
    ledger.renew("gpu", 2.0, needs_core=False)
    assert given_to == ["gpu", "cpu", "gpu-2", "gpu"]
    assert ledger.holds("gpu")
    ledger.give_back("gpu")
    assert not ledger.holds("gpu")
    assert given_to[-1] == "gpu"
    ledger.give_back("cpu")
    assert given_to[-1] == "late"


@given(st.integers(1, 3), st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 10)), max_size=60))
def test_ledger_when_used_at_random_then_no_core_is_given_twice_or_kept_idle(
    cores: int, steps: list[tuple[str, float]]
) -> None:
    holders: set[str] = set()
    asked: set[str] = set()
    ledger = GrantLedger(cores, holders.add)
    for name, deadline_s in steps:
        if name in asked:
            asked.discard(name)
            holders.discard(name)
            ledger.give_back(name)
        else:
            asked.add(name)
            ledger.ask(name, deadline_s)
        assert holders <= asked
        assert len(holders) == min(cores, len(asked))
