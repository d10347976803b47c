"""Whose job is next."""

from __future__ import annotations

from collections import Counter

from appliance.store.jobs import Row
from processes.gateway.job_turns import LEAST_HELD_S, MOST_HELD_S, JobTurns


def jobs_of(*owners: str) -> list[Row]:
    return [{"id": str(number), "owner": owner} for number, owner in enumerate(owners)]


def served(turns: JobTurns, waiting: list[Row], count: int) -> str:
    """The owners of the next jobs, of which each is over before the next begins."""
    owners = ""
    for now_s in range(count):
        chosen = turns.choose(waiting, [], float(now_s + 1))
        assert chosen
        waiting.remove(chosen)
        owners += chosen["owner"]
    return owners


def test_choose_when_one_owner_has_many_jobs_then_the_others_wait_one_turn() -> None:
    assert served(JobTurns(), jobs_of(*"aaaabb"), 6) == "ababaa"


def test_choose_when_an_owner_has_fewer_running_jobs_then_it_is_next() -> None:
    turns, waiting, running = JobTurns(), jobs_of(*"aaaabc"), Counter("a")
    for now_s in range(3):
        chosen = turns.choose(waiting, running.elements(), float(now_s))
        assert chosen
        waiting.remove(chosen)
        running[chosen["owner"]] += 1
    assert running == {"a": 2, "b": 1, "c": 1}


def test_choose_when_the_jobs_are_one_owners_then_in_their_order_and_none_where_none_waits() -> None:
    turns, waiting = JobTurns(), jobs_of("", "")
    assert turns.choose(waiting, [""], 1.0) is waiting[0]
    assert turns.choose([], [], 2.0) is None


def test_hold_when_it_comes_again_and_again_then_said_once_and_tried_ever_more_rarely_until_it_goes_on() -> (
    None
):
    turns, now_s, waits_s = JobTurns(), 100.0, []
    for number in range(6):
        assert turns.hold("a", "storage_full", now_s, has_gone_on=False, is_everybodys=True) is (number == 0)
        assert turns.is_resting(now_s)
        begun_s = now_s
        while turns.held(now_s):
            assert turns.held_by("a", now_s) == "storage_full"
            now_s += 0.5
        waits_s.append(now_s - begun_s)
    assert waits_s == [1.0, 2.0, 4.0, 8.0, MOST_HELD_S, MOST_HELD_S]
    assert turns.hold("a", "storage_corrupt", now_s, has_gone_on=False, is_everybodys=True)
    assert turns.hold("a", "storage_corrupt", now_s, has_gone_on=True, is_everybodys=True)
    assert turns.held(now_s + LEAST_HELD_S) == []
    assert not turns.is_resting(now_s + LEAST_HELD_S)


def test_held_by_when_a_hold_is_over_or_forgotten_then_nothing() -> None:
    turns = JobTurns()
    for job_id in "ab":
        turns.hold(job_id, "storage_full", 100.0, has_gone_on=False, is_everybodys=True)
    turns.forget("b")
    assert turns.held(100.0) == ["a"]
    assert (turns.held_by("a", 100.0), turns.held_by("b", 100.0)) == ("storage_full", "")
    assert turns.held_by("a", 100.0 + 2 * LEAST_HELD_S) == ""


def test_hold_when_only_one_job_is_held_up_then_the_others_go_on() -> None:
    turns = JobTurns()
    assert turns.hold("a", "no_workers", 100.0, has_gone_on=False, is_everybodys=False)
    assert turns.held(100.5) == ["a"]
    assert not turns.is_resting(100.5)
