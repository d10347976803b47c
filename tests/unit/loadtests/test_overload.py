"""What the overload figures are made of."""

from __future__ import annotations

import math

import pytest

from loadtests.ledger.lines import ClientLine
from loadtests.overload import Phase, calm_after_s, peak_hz, percentile


def served(at_s: float, first_audio_s: float | None = 0.1, status: int = 200) -> ClientLine:
    first_audio_at_s = None if first_audio_s is None else at_s + first_audio_s
    return ClientLine(f"{at_s}", "load", 0, at_s, at_s, at_s + 1.0, first_audio_at_s, status, None)


def test_peak_when_events_come_in_bursts_then_the_most_in_any_second() -> None:
    assert peak_hz([0.0, 0.5, 0.99, 1.0, 1.2, 3.0]) == 4
    assert peak_hz([]) == 0


def test_percentile_when_taken_then_the_nearest_rank() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(range(1, 101), 0.9) == 90
    assert math.isinf(percentile([], 0.9))


def test_calm_when_slow_or_refused_at_first_then_the_time_of_the_last() -> None:
    lines = [served(number / 10) for number in range(100)]
    lines[:20] = [served(number / 10, 2.0) for number in range(10)] + [
        served(1 + number / 10, None, 503) for number in range(10)
    ]
    assert calm_after_s(Phase(lines, 0.0, 10.0), 0.1) == pytest.approx(1.8, abs=0.01)
    assert calm_after_s(Phase(lines[20:], 2.0, 10.0), 0.1) == 0.0


def test_calm_when_it_never_is_then_infinite() -> None:
    assert math.isinf(
        calm_after_s(Phase([served(number / 10, 2.0) for number in range(100)], 0.0, 10.0), 0.1)
    )


def test_goodput_when_answers_end_after_the_phase_then_they_do_not_count() -> None:
    assert Phase([served(0.0), served(0.5), served(1.5)], 0.0, 2.0).goodput_hz() == 1.0
