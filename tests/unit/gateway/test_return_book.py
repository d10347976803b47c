"""Refused clients come back one after the other."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from processes.gateway.return_book import MAX_CLIENTS, MOST_AHEAD_S, ReturnBook


def test_promise_when_many_are_refused_at_once_then_no_second_gets_more_than_the_capacity() -> None:
    book = ReturnBook()
    seconds = Counter(int(book.promise(f"c{number}", 100.0, 0.5, 0.05)) for number in range(100))
    assert max(seconds.values()) <= 20
    assert len(seconds) == 6


def test_promise_when_what_was_promised_is_over_then_it_begins_anew() -> None:
    book = ReturnBook()
    assert book.promise("a", 0.0, 0.5, 1.0) == 0.5
    assert book.promise("b", 0.0, 0.5, 1.0) == 1.5
    assert book.promise("a", 60.0, 0.5, 1.0) == 0.5


def test_promise_when_a_client_asks_again_and_again_then_others_are_not_pushed_back() -> None:
    book = ReturnBook()
    assert book.promise("calm", 0.0, 0.5, 1.0) == 0.5
    assert [book.promise("impatient", now_s, 0.5, 1.0) for now_s in (0.0, 0.25, 0.5)] == [1.5, 1.25, 1.0]
    assert book.promise("late", 0.5, 0.5, 1.0) == 2.0


def test_promise_when_it_could_not_be_kept_then_a_new_one_is_given() -> None:
    book = ReturnBook()
    assert book.promise("a", 0.0, 0.5, 1.0) == 0.5
    assert book.promise("a", 0.25, 3.0, 1.0) == 3.0
    assert book.promise("a", 3.25, 0.0, 1.0) == 1.0


def test_promise_when_there_are_very_many_clients_then_the_oldest_is_forgotten() -> None:
    book = ReturnBook()
    for number in range(2 * MAX_CLIENTS):
        book.promise(f"c{number}", 0.0, 0.5, 0.001)
    assert len(book._begin_s) == MAX_CLIENTS


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(0, 3), st.floats(0, 30), st.floats(0.001, 20)),
        max_size=100,
    )
)
def test_promise_when_asked_for_ever_then_never_before_capacity_and_never_far_ahead(
    refusals: list[tuple[str, float, float, float]],
) -> None:
    book = ReturnBook()
    now_s = 0.0
    for client, pause_s, free_after_s, work_s in refusals:
        now_s += pause_s
        wait_s = book.promise(client, now_s, free_after_s, work_s)
        assert free_after_s - 1e-9 <= wait_s <= max(free_after_s, MOST_AHEAD_S)
