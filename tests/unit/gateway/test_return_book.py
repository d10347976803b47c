"""Refused clients come back one after the other."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from processes.gateway.return_book import MOST_AHEAD_S, ReturnBook


def test_promise_when_many_are_refused_at_once_then_no_second_gets_more_than_the_capacity() -> None:
    book = ReturnBook()
    seconds = Counter(int(book.promise(100.0, 0.5, 0.05)) for _ in range(100))
    assert max(seconds.values()) <= 20
    assert len(seconds) == 6


def test_promise_when_what_was_promised_is_over_then_it_begins_anew() -> None:
    book = ReturnBook()
    assert book.promise(0.0, 0.5, 1.0) == 0.5
    assert book.promise(0.0, 0.5, 1.0) == 1.5
    assert book.promise(60.0, 0.5, 1.0) == 0.5


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 30), st.floats(0.001, 20)), max_size=100))
def test_promise_when_asked_for_ever_then_never_before_capacity_and_never_far_ahead(
    refusals: list[tuple[float, float, float]],
) -> None:
    book = ReturnBook()
    now_s = 0.0
    for pause_s, free_after_s, work_s in refusals:
        now_s += pause_s
        wait_s = book.promise(now_s, free_after_s, work_s)
        assert free_after_s - 1e-9 <= wait_s <= max(free_after_s, MOST_AHEAD_S)
