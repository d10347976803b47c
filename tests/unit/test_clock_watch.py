"""What the exporter makes of a wall clock that somebody sets."""

from __future__ import annotations

import pytest

from appliance.clock_watch import MAX_STEPS, TOLD_S, ClockWatch

YEAR_2026_S = 1_767_225_600.0


class Clocks:
    """Both clocks of a machine."""

    def __init__(self) -> None:
        self.boot_s = 100.0
        self.offset_s = YEAR_2026_S
        self.between_s = 0.0
        """Seconds that pass with each reading of the boot clock, as on a machine that stands still."""

    def wall(self) -> float:
        return self.boot_s + self.offset_s

    def boot(self) -> float:
        self.boot_s += self.between_s
        return self.boot_s

    def watch(self) -> ClockWatch:
        return ClockWatch(self.wall, self.boot)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_clock_when_nobody_sets_it_then_no_step_however_long_it_runs(clocks: Clocks) -> None:
    watch = clocks.watch()
    for _ in range(100):
        clocks.boot_s += 86_400
        clocks.offset_s += 0.005  # the two are read one after the other
        assert watch.look() == 0


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 6.0])
def test_clock_when_it_was_set_then_told_for_an_hour_of_the_boot_clock(clocks: Clocks, step_s: float) -> None:
    watch = clocks.watch()
    clocks.offset_s += step_s
    assert watch.look() == step_s
    clocks.boot_s += TOLD_S - 1
    assert watch.look() == step_s
    clocks.boot_s += 1
    assert watch.look() == 0


def test_clock_when_it_was_set_and_set_back_then_both_steps_count_and_the_largest_is_told(
    clocks: Clocks,
) -> None:
    watch = clocks.watch()
    clocks.offset_s += 10
    assert watch.look() == 10
    clocks.offset_s -= 20
    assert watch.look() == -20
    clocks.offset_s += 10
    assert watch.look() == -20


def test_clock_when_time_passes_between_two_readings_then_that_is_no_step(clocks: Clocks) -> None:
    clocks.between_s = 5.0
    watch = clocks.watch()
    assert watch.look() == 0
    clocks.between_s = 0.0
    assert watch.look() == 0
    clocks.between_s = 5.0
    assert watch.look() == 0
    clocks.between_s = 0.0
    clocks.offset_s += 30
    assert watch.look() == 30


def test_clock_when_it_is_set_all_the_time_then_what_is_remembered_is_bounded(clocks: Clocks) -> None:
    watch = clocks.watch()
    for _ in range(3 * MAX_STEPS):
        clocks.offset_s += 2
        watch.look()
    assert len(watch._steps) == MAX_STEPS


def test_clock_when_read_for_real_then_no_step() -> None:
    assert ClockWatch().look() == 0
