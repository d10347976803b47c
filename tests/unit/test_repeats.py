import pytest

from appliance.repeats import (
    EVENT_LINES,
    EVENT_S,
    KEPT_CHARS,
    MAX_KEYS,
    SAME_LINES,
    SAME_S,
    RepeatLimiter,
    Repetition,
)


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now_s = 1_000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limiter(clock):
    return RepeatLimiter(clock)


def written(limiter, count, event="library_log", *, level="WARNING", **fields):
    """How many of so many lines are admitted; a function as a field makes its value of the line's number."""
    return sum(
        limiter.admits(
            "gateway",
            level,
            event,
            {name: value(number) if callable(value) else value for name, value in fields.items()},
        )
        for number in range(count)
    )


def test_lines_when_they_say_the_same_then_the_first_ones_pass_and_the_rest_is_reported_once(limiter, clock):
    assert written(limiter, 18_000, logger="asyncio", message="out of system resource") == SAME_LINES
    assert limiter.suppressed_lines == 18_000 - SAME_LINES
    assert limiter.take_repetitions() == []
    clock.now_s += SAME_S
    fields = {"logger": "asyncio", "message": "out of system resource"}
    report = Repetition("gateway", "WARNING", "library_log", fields, 18_000 - SAME_LINES)
    assert limiter.take_repetitions() == [report]
    assert limiter.take_repetitions() == []


def test_lines_when_their_time_is_over_then_they_pass_again(limiter, clock):
    assert written(limiter, 50, message="x") == SAME_LINES
    clock.now_s += SAME_S
    assert written(limiter, 50, message="x") == SAME_LINES


@pytest.mark.parametrize(
    "other", [{"message": "y"}, {"cause": "hung"}, {"event": "worker_lost"}, {"level": "ERROR"}]
)
def test_lines_when_one_differs_then_it_passes(limiter, other):
    assert written(limiter, 50, message="x") == SAME_LINES
    assert written(limiter, 1, **{"message": "x", **other}) == 1


def test_lines_when_a_storm_lasts_nine_seconds_then_less_than_a_hundred_a_second_are_written(limiter, clock):
    lines = 0
    for _ in range(9):
        lines += written(limiter, 2_000, message=lambda number: f"object at 0x{number:x}")
        lines += len(limiter.take_repetitions())
        clock.now_s += 1
    clock.now_s += SAME_S
    lines += len(limiter.take_repetitions())
    assert lines <= 900


def test_lines_when_each_is_about_a_request_then_only_the_bound_of_the_event_holds(limiter):
    refused = written(limiter, 1_000, "request_refused", request_id="mine", code="overloaded")
    assert refused == EVENT_LINES
    retried = written(limiter, 1_000, "utterance_retried", utterance_id=lambda number: number)
    assert retried == EVENT_LINES


def test_lines_when_an_event_has_too_many_then_one_report_counts_them(limiter, clock):
    written(limiter, 1_000, "request_refused", request_id=lambda number: number)
    clock.now_s += EVENT_S
    (report,) = limiter.take_repetitions()
    assert report == Repetition("gateway", "WARNING", "request_refused", {}, 1_000 - EVENT_LINES)


def test_line_of_a_request_when_there_are_many_then_none_is_held_back(limiter):
    assert written(limiter, 50_000, "request_finished", request_id=lambda number: number) == 50_000
    assert limiter.suppressed_lines == 0


def test_table_when_more_messages_come_than_it_holds_then_it_stays_as_it_is(limiter, clock):
    for _ in range(20):
        written(limiter, 5 * MAX_KEYS, message=lambda number: f"{number}")
        written(limiter, 5 * MAX_KEYS, event="e", message="x" * 10_000)
        for number in range(3 * MAX_KEYS):
            written(limiter, 1, event=f"event {number}")
        assert len(limiter._same.counts) <= MAX_KEYS
        assert len(limiter._events.counts) <= MAX_KEYS
        assert len(limiter._ended) <= MAX_KEYS
        clock.now_s += EVENT_S
    assert len(limiter.take_repetitions()) <= MAX_KEYS


def test_message_when_it_is_long_then_its_beginning_counts_and_of_a_traceback_the_end(limiter):
    assert written(limiter, 50, message=lambda number: "x" * KEPT_CHARS + str(number)) == SAME_LINES
    assert written(limiter, 50, traceback=lambda number: f"{number}" + "x" * KEPT_CHARS) == SAME_LINES


def test_repetitions_when_the_program_ends_then_they_are_reported_at_once(limiter):
    written(limiter, 50, message="x")
    assert [each.lines for each in limiter.take_repetitions(is_last=True)] == [50 - SAME_LINES]
