"""The ledger's rules: what is lost, duplicated, wrong; when success is lasting; when health lies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.ledger.__main__ import (
    EXIT_HELD,
    EXIT_MISSED,
    EXIT_UNSURE,
    exit_code,
    load_table,
    verdict,
)
from loadtests.ledger.compare import compare
from loadtests.ledger.faults import FAULTS, Injection
from loadtests.ledger.history import HistoryAccount
from loadtests.ledger.jobs import JobLine, compare_jobs
from loadtests.ledger.judge import Slot, outcomes_table, recovered_s
from loadtests.ledger.lines import ClientLine, ServerRow, read_server_rows, write_client_lines
from loadtests.ledger.pattern import BEHIND, text_number
from loadtests.ledger.reference import TEXTS, audio_hashes, job_audio_hash, texts
from loadtests.ledger.run import MOST_LATE_S, Load, Record, Report, judge
from loadtests.ledger.sampler import Observations, disagreement_s, identity
from loadtests.ledger.spoilers import SPOILERS
from loadtests.open_loop import LEFT


def reference(text_number: int) -> frozenset[str]:
    return frozenset({f"audio {text_number}"})


def attempt(request_id: str = "a", text_number: int = 0, at_s: float = 0.0, **fields: Any) -> ClientLine:
    """An attempt that was answered well, unless the fields say otherwise."""
    values = {"status": 200, "sha256": f"audio {text_number}", "bytes": 44, **fields}
    return ClientLine(request_id, "load", text_number, at_s, at_s, at_s + 0.1, **values)


def row(request_id: str = "a", state: str = "completed", **fields: Any) -> ServerRow:
    return ServerRow(request_id, state, **{"bytes": 44, **fields})


def test_compare_when_both_sides_agree_then_nothing_is_missed() -> None:
    lines = [attempt("a"), attempt("b", 1), attempt("c", status=503, code="overloaded", sha256="")]
    account = compare(lines, [row("a"), row("b")], reference)
    assert account.misses() == []
    assert (account.acknowledged, account.rejected, account.indeterminate) == (("a", "b"), ("c",), ())


def test_compare_when_a_row_is_missing_then_lost() -> None:
    assert compare([attempt("a")], [], reference).lost == ("a",)


def test_compare_when_the_server_says_that_it_failed_then_lost() -> None:
    assert compare([attempt("a")], [row("a", "failed")], reference).lost == ("a",)


def test_compare_when_nobody_asked_then_unexpected() -> None:
    assert compare([], [row("a")], reference).unexpected == ("a",)


def test_compare_when_an_id_has_two_rows_then_duplicated() -> None:
    assert compare([attempt("a")], [row("a"), row("a", "failed")], reference).duplicated == ("a",)


@pytest.mark.parametrize("fields", [{"sha256": "audio of another request"}, {"bytes": 43}])
def test_compare_when_the_audio_is_another_then_wrong(fields: dict[str, Any]) -> None:
    assert compare([attempt("a", **fields)], [row("a")], reference).wrong == ("a",)


def test_compare_when_an_error_has_no_code_then_unclear() -> None:
    assert compare([attempt("a", status=500, sha256="")], [], reference).unclear == ("a",)


def test_compare_when_connections_were_lost_then_indeterminate_and_some_recovered() -> None:
    broken: dict[str, Any] = {"exception": "ClientPayloadError", "sha256": "", "status": None}
    lines = [attempt("a", **broken), attempt("b", **broken | {"status": 200})]
    account = compare(lines, [row("b")], reference, lambda line: line.id == "a")
    assert (account.indeterminate, account.recovered, account.misses()) == (("a", "b"), ("b",), [])
    assert compare(lines, [row("b")], reference).vanished == ("a",)


def test_compare_when_the_client_was_refused_and_the_server_completed_it_then_contradicted() -> None:
    lines = [attempt("a", status=503, code="overloaded", sha256="")]
    assert compare(lines, [row("a")], reference).contradicted == ("a",)
    assert compare(lines, [row("a", "failed")], reference).misses() == []


def test_compare_when_workers_were_ordered_more_than_there_was_then_duplicated_unless_one_was_lost() -> None:
    assert compare([attempt("a")], [row("a", orders=2)], reference).duplicated == ("a",)
    assert compare([attempt("a")], [row("a", orders=2, retried=True)], reference).misses() == []


@pytest.mark.parametrize("name", SPOILERS)
def test_compare_when_the_account_was_falsified_then_it_is_found(name: str) -> None:
    lines = [
        attempt(f"id {number}", number, sha256=min(audio_hashes(number)), status=200) for number in range(3)
    ]
    rows = [row(line.id) for line in lines]
    assert compare(lines, rows, audio_hashes).misses() == []
    SPOILERS[name](lines, rows)
    (miss,) = compare(lines, rows, audio_hashes).misses()
    assert miss.startswith(f"{'duplicated' if name == 'orders' else name}: 1 ")


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), max_size=20))
def test_compare_when_anything_happens_then_each_attempt_is_one_of_three(
    cases: list[tuple[int, bool, bool]],
) -> None:
    lines = [
        attempt(f"{number} {index}", exception="lost" if is_broken else None, status=200 if is_good else 503,
                code=None if is_good else "draining")
        for index, (number, is_broken, is_good) in enumerate(cases)
    ]  # fmt: skip
    account = compare(lines, [], reference)
    ways = (*account.acknowledged, *account.rejected, *account.indeterminate)
    assert sorted(ways) == sorted(line.id for line in lines)


def test_rows_when_the_last_line_is_torn_then_counted_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    whole = {"request_id": "a", "state": "completed", "ended_by": "completed", "bytes": 44}
    whole |= {"audio_s": 1.0, "worker": "w", "ts": "2026"}
    whole |= {"utterances": 1, "orders": 1, "retried": False}
    path.write_text(json.dumps(whole) + "\n" + '{"request_id": "b", "st\n' + json.dumps(whole)[:30])
    rows, unreadable = read_server_rows(path)
    assert rows == [ServerRow("a", "completed", "completed", 44, "w")]
    assert unreadable == 2


def test_client_lines_when_written_then_one_json_line_each(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    write_client_lines(path, [attempt("a"), attempt("b")])
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_reference_when_texts_differ_then_their_audio_differs() -> None:
    hashes = [audio_hashes(number) for number in range(20)]
    assert len(set(texts())) == TEXTS
    assert len(frozenset.union(*hashes)) == sum(map(len, hashes))


def test_disagreement_when_one_is_good_and_the_other_is_not_then_those_seconds() -> None:
    health = [(0.0, True), (10.0, False), (20.0, True)]
    truth = [(0.0, True), (8.0, False), (25.0, True)]
    assert disagreement_s(health, truth, 0.0, 30.0) == 2.0 + 5.0
    assert disagreement_s(truth, health, 0.0, 30.0) == 0.0
    assert disagreement_s(health, truth, 9.0, 21.0) == 2.0
    assert disagreement_s([], truth, 0.0, 30.0) == 0.0


@given(st.lists(st.tuples(st.floats(0, 9), st.booleans()), max_size=20))
def test_disagreement_when_compared_with_itself_then_none(samples: list[tuple[float, bool]]) -> None:
    assert disagreement_s(samples, samples, 0.0, 10.0) == 0.0


def test_identity_when_a_request_has_vanished_then_off_by_one() -> None:
    scrape = b"""# HELP tts_requests_accepted_total x
tts_requests_accepted_total 5.0
tts_requests_finished_total{outcome="completed"} 2.0
tts_requests_finished_total{outcome="failed"} 1.0
tts_requests_in_flight 1.0
"""
    assert identity(scrape) == (5, 1)
    assert identity(scrape.replace(b"flight 1", b"flight 2")) == (5, 0)


def test_accepted_when_a_gateway_comes_after_another_then_both_count() -> None:
    seen = Observations()
    for count in (3.0, 8.0, 1.0, 4.0):
        seen.note_accepted(count)
    assert seen.accepted == [8.0, 4.0]


def test_recovered_when_failures_stop_then_the_time_of_the_last() -> None:
    lines = [attempt(str(number), at_s=number / 10) for number in range(200)]
    for number in range(30):
        lines[number] = attempt(str(number), at_s=number / 10, status=503, code="no_workers")
    assert recovered_s(lines, 0.0, 20.0) == pytest.approx(2.9, abs=0.01)
    assert recovered_s(lines[30:], 0.0, 20.0) == 0.0


def test_recovered_when_failures_never_stop_then_none() -> None:
    lines = [attempt(str(number), at_s=number / 10, status=503) for number in range(100)]
    assert recovered_s(lines, 0.0, 10.0) is None


def outcome(
    lines: list[ClientLine], rows: list[ServerRow], name: str = "worker-kill-busy", **times: Any
) -> Any:
    slot = Slot(
        FAULTS[name], Injection(1.0, 1.0, times.get("seen_at_s", 1.05)), times.get("whole_at_s", 2.0), 20.0
    )
    account = compare(lines, rows, reference)
    seen, most_on_victim = times.get("seen", looked_at()), times.get("most_on_victim", 1)
    return slot.outcome(lines, {each.id: each for each in rows}, account, seen, most_on_victim)


def looked_at() -> Observations:
    """An appliance that was well for 20 s, and looked at as often as it should be."""
    return Observations([(at / 10, True) for at in range(200)], [(at / 5, True) for at in range(100)])


def test_outcome_when_nobody_looked_then_its_false_green_is_not_believed() -> None:
    lines = [attempt(str(number), at_s=number / 10) for number in range(100)]
    judged = outcome(lines, [row(line.id) for line in lines], seen=Observations())
    assert list(judged.misses()) == ["worker-kill-busy: health and truth were hardly looked at"]


def test_outcome_when_one_worker_takes_more_than_it_can_speak_with_it_then_said() -> None:
    lines = [attempt(str(number), at_s=number / 10) for number in range(100)]
    for number in (9, 11, 12):
        lines[number] = attempt(str(number), at_s=number / 10, status=503, code="worker_lost", sha256="")
    judged = outcome(lines, [row(line.id) for line in lines if line.is_acknowledged])
    assert list(judged.misses()) == ["worker-kill-busy: 3 failed on the victim, at most 1"]


def test_outcome_when_two_hear_one_utterance_then_both_may_fail_with_its_worker() -> None:
    lines = [attempt(str(number), at_s=number / 10) for number in range(100)]
    for number in (9, 11):
        lines[number] = attempt(str(number), at_s=number / 10, status=503, code="worker_lost", sha256="")
    rows = [row(line.id) for line in lines if line.is_acknowledged]
    assert list(outcome(lines, rows, most_on_victim=2).misses()) == []
    assert len(list(outcome(lines, rows, most_on_victim=1).misses())) == 1


def load_of(**changed: Any) -> Load:
    """What became of a load with which all is well."""
    return replace(Load(1, (), 0, 0.1, 0, 0, unspoken=0, has_cache=False, may_fail=True), **changed)


def report(**changed: Any) -> Report:
    """A run with one fault that missed nothing, unless the fields say otherwise."""
    seen = looked_at()
    seen.scrapes = 1
    judged = outcome([attempt("a", at_s=1.0)], [row("a")])
    account = compare([], [], reference)
    well = Report([judged], (), (), 0, account, 0, 0, seen, 0, 0.0, load_of(), compare_jobs([], {}))
    return replace(well, **changed)


def test_report_when_something_was_left_out_then_each_is_said() -> None:
    assert report().misses() == []
    spoiled = report(unmade=("pool-stop",), calm=("load-1",), unrecorded=2)
    assert [miss.split()[0] for miss in spoiled.misses()] == ["unaccounted:", "not", "1"]


def test_report_when_the_identity_was_off_at_a_scrape_then_said_by_how_much() -> None:
    seen = looked_at()
    seen.scrapes, seen.unaccounted = 9, [(1.0, 2.0), (2.0, -3.0)]
    assert report(seen=seen).misses() == ["unaccounted: 2 scrapes, by up to 3"]


def test_report_when_a_request_failed_then_said_only_where_none_may() -> None:
    load = load_of(failed=("load-1",))
    assert report(load=load).misses() == []
    assert report(load=replace(load, may_fail=False)).misses() == ["1 requests failed, none may (load-1)"]


def test_load_when_the_sampler_gave_up_then_not_failed_but_what_was_broken_off_is() -> None:
    slot = Slot(FAULTS["gateway-restart"], Injection(0.0, 0.0), 0.0, 20.0)
    broken: dict[str, Any] = {"status": None, "sha256": ""}
    lines = [
        attempt("load-left", exception=LEFT, **broken),
        replace(attempt("probe-left", exception=LEFT, **broken), kind="synthetic"),
        replace(attempt("probe-cut", exception="ServerDisconnectedError", **broken), kind="synthetic"),
        replace(attempt("fault-cut", exception="ServerDisconnectedError", **broken), kind="fault"),
        replace(attempt("leaver-left", exception=LEFT, **broken), kind="leaver"),
        attempt("load-whole"),
    ]
    load = judge(Record(["gateway-restart"], [slot], lines, [], 0, looked_at(), 0, 1)).load
    assert (load.requests, load.failed, load.given_up) == (2, ("load-left", "probe-cut"), 1)


def test_report_when_a_gateway_ended_by_itself_then_said() -> None:
    spoiled = report(load=load_of(ended_gateways=2, restarts=3))
    assert spoiled.misses() == ["gateways: 2 ended on purpose, 3 restarted"]


def test_report_when_answers_are_kept_and_none_was_heard_again_then_said() -> None:
    missed = report(load=load_of(has_cache=True)).misses()
    assert missed == ["no request was answered with what another one had had spoken"]
    assert report(load=load_of(has_cache=True, unspoken=1)).misses() == []


def test_text_number_when_answers_are_kept_then_each_text_comes_twice_and_some_once_more() -> None:
    assert [text_number(number, has_cache=False) for number in range(3)] == [0, 1, 2]
    numbers = [text_number(number, has_cache=True) for number in range(8)]
    assert numbers == [0, 0, 1, 1, 2, 2, 3, (3 - BEHIND) % TEXTS]


def test_verdict_when_the_generator_was_late_then_the_run_never_counts_as_held() -> None:
    held, late = report(), report(late_s=MOST_LATE_S + 0.1)
    late_and_missed = replace(late, in_flight=1)
    assert [exit_code(each) for each in (held, late, late_and_missed)] == [
        EXIT_HELD,
        EXIT_UNSURE,
        EXIT_MISSED,
    ]
    assert verdict(held) == "The latest request left 0 ms behind its schedule. Every bound held."
    assert "this machine stood still" in verdict(late)
    assert verdict(late).endswith("measure again. No bound was missed.")
    assert verdict(late_and_missed).endswith("Missed:\n\n- unaccounted: 1 still in flight at the end")


def test_load_table_when_gateways_were_restarted_then_they_requests_and_failures_are_counted() -> None:
    counts = {"requests": 25_200, "unspoken": 7, "given_up": 2, "ended_gateways": 8, "restarts": 8}
    load = load_of(failed=("load-1",), slowest_s=1.5, **counts)
    shown = load_table(report(load=load)).markdown()
    cells = [cell.strip() for cell in shown.split("\n")[-1].split("|")[1:-1]]
    assert cells == ["1", "8", "25,200", "7", "1", "2", "1.50"]


def test_outcome_when_only_the_victim_failed_then_nothing_is_missed() -> None:
    lines = [attempt(str(number), at_s=number / 10) for number in range(100)]
    lines[9] = attempt("9", at_s=0.9, status=503, code="worker_lost", sha256="")
    rows = [row(line.id, "completed" if line.is_acknowledged else "failed") for line in lines]
    judged = outcome(lines, rows)
    assert (list(judged.misses()), judged.on_victim) == ([], 1)
    assert "worker-kill-busy" in outcomes_table([judged]).markdown()


def test_outcome_when_others_failed_or_it_came_too_late_then_each_is_said() -> None:
    lines = [attempt(str(number), at_s=number / 10) for number in range(100)]
    lines[50] = attempt("50", at_s=5.0, status=503, code="no_workers", sha256="")
    rows = [row(line.id) for line in lines if line.is_acknowledged]
    judged = outcome(lines, rows, seen_at_s=None, whole_at_s=9.0)
    assert [miss.split(" ")[1] for miss in judged.misses()] == ["seen", "whole", "1"]
    assert "50: 503 no_workers" in judged.blast


def test_outcome_when_the_gateway_was_killed_then_what_was_in_flight_may_fail_and_nothing_else() -> None:
    lines = [attempt(str(number), at_s=number / 10) for number in range(100)]
    lost: dict[str, Any] = {"status": None, "exception": "ServerDisconnectedError", "sha256": ""}
    lines[9] = ClientLine("9", "load", 9, 0.9, 0.9, 1.01, **lost)
    lines[40] = ClientLine("40", "load", 40, 4.0, 4.0, 4.1, **lost)
    rows = [row(line.id) for line in lines if line.is_acknowledged]
    judged = outcome(lines, rows, "gateway-kill")
    assert (judged.on_victim, judged.blast) == (1, ("40: None ServerDisconnectedError",))


def job(key: str = "job-1", state: str = "completed", **fields: Any) -> JobLine:
    """A job that ended as it should, unless the fields say otherwise."""
    return JobLine(key, 1, **{"id": f"id of {key}", "state": state, "sha256": job_audio_hash(1), **fields})


def job_row(key: str = "job-1", state: str = "completed") -> dict[str, tuple[str, str]]:
    return {job(key).stored_key: (f"id of {key}", state)}


def test_jobs_when_both_sides_agree_then_nothing_is_missed() -> None:
    lines = [job(), job("job-2", "cancelled", is_cancelled=True), job("job-3", "gone", is_deleted=True)]
    account = compare_jobs(lines, job_row() | job_row("job-2", "cancelled"))
    assert list(account.misses()) == []
    assert (account.handed_in, account.states) == (3, {"completed": 1, "cancelled": 1})


@pytest.mark.parametrize(
    ("line", "rows", "kind"),
    [
        (job(), {}, "lost"),
        (job(), {job().stored_key: ("id of another", "completed")}, "lost"),
        (job(is_deleted=True), job_row(), "unexpected"),
        (job(), job_row() | job_row("job-2"), "unexpected"),
        (job(state="running"), job_row(state="running"), "unfinished"),
        (job(state="cancelled"), job_row(), "contradicted"),
        (job(is_cancelled=True), job_row(), "contradicted"),
        (job(state="failed"), job_row(state="failed"), "failed"),
        (job(sha256="other audio"), job_row(), "wrong"),
    ],
)
def test_jobs_when_the_sides_disagree_then_said(
    line: JobLine, rows: dict[str, tuple[str, str]], kind: str
) -> None:
    assert [each.split()[1] for each in compare_jobs([line], rows).misses()] == [f"{kind}:"]


def test_jobs_when_one_was_never_accepted_then_said() -> None:
    misses = list(compare_jobs([job(id="", state="")], {}).misses())
    assert misses == ["jobs: 1 were never acknowledged"]


def test_report_when_the_history_disagrees_then_said() -> None:
    spoiled = report(history=HistoryAccount(missing=("a",)))
    assert spoiled.misses() == ["history missing: 1 (a)"]
    assert exit_code(spoiled) == EXIT_MISSED
