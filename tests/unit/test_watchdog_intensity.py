"""Which programs the watchdog holds because they end again and again, and for how long."""

import pytest

from processes.watchdog import intensity
from tests.parts.watched_slot import EARLY_S, WORKER, Slot


@pytest.mark.parametrize("life_s", [0.3, 3.1, 9.9])
def test_intensity_when_a_slot_dies_early_again_and_again_then_few_starts_a_minute(life_s):
    slot = Slot()
    while slot.now_s < 600:
        slot.die(life_s)
        slot.act()
    begun_s = slot.starts_s[intensity.MAX_EARLY_DEATHS]
    later = [start_s - begun_s for start_s in slot.starts_s if start_s >= begun_s]
    assert sum(start_s < 60 for start_s in later) <= 5
    assert sum(240 <= start_s < 300 for start_s in later) <= 2
    assert slot.program.degraded
    assert slot.program.restarts == len(slot.starts_s) - 1


@pytest.mark.parametrize("life_s", [0.1, 1, 2.9, 3.1, 9.9])
def test_intensity_when_a_slot_dies_early_for_ten_minutes_then_no_minute_of_it_has_many_starts(life_s):
    slot = Slot()
    while not slot.program.degraded:
        slot.die(life_s)
    held_s = slot.now_s
    while slot.now_s < held_s + 600:
        slot.act()
        slot.die(life_s)
    for begin_s in slot.starts_s:
        minute = (max(begin_s, held_s), max(begin_s, held_s) + 60)
        assert sum(minute[0] < start_s < minute[1] for start_s in slot.starts_s) <= 5
        # supervisord starts it once more after each end, and that process is stopped at once.
        assert sum(minute[0] < start_s < minute[1] for start_s in slot.spawns_s) <= 10
    assert sum(held_s + 480 <= start_s < held_s + 540 for start_s in slot.starts_s) <= 2


def test_intensity_when_held_then_the_times_double_up_to_the_limit():
    assert [intensity.hold_s(holds) for holds in (1, 2, 3, 4, 5, 6, 7, 10_000)] == [
        1,
        2,
        4,
        8,
        16,
        30,
        30,
        30,
    ]


@pytest.mark.parametrize(("life_s", "is_early"), [(9.9, True), (10.1, False)])
def test_intensity_when_a_life_is_long_then_no_death_counts(life_s, is_early):
    slot = Slot()
    for _ in range(20):
        slot.die(life_s)
    assert slot.program.degraded is is_early
    assert slot.program.last_exit == "unexpected"


def test_intensity_when_a_long_life_comes_between_then_they_are_not_in_a_row():
    slot = Slot()
    for life_s in (1, 1, 1, 1, 60, 1, 1, 1, 1):
        slot.die(life_s)
    assert not slot.program.degraded
    slot.die(1)
    assert slot.program.degraded


def test_intensity_when_it_is_held_then_its_last_exit_is_its_own_and_not_the_stop_for_that():
    slot = Slot()
    for _ in range(5):
        slot.die(1)
    assert intensity.is_to_be_stopped(slot.program)
    slot.act()
    assert slot.program.last_exit == "unexpected"
    for state, from_state in (("STOPPING", "RUNNING"), ("STOPPED", "STOPPING")):
        slot.tell(state, from_state, pid=str(slot.pid))
    assert slot.program.last_exit == "stopped"


def test_intensity_when_a_worker_is_recycled_then_it_does_not_count():
    slot = Slot()
    for _ in range(100):
        slot.die(4, expected="1")
    assert (slot.program.early_deaths, slot.program.degraded) == (0, False)


@pytest.mark.parametrize("is_late", [True, False])
def test_intensity_when_exits_are_read_long_after_then_none_of_them_is_early(is_late):
    slot = Slot()
    for _ in range(intensity.MAX_EARLY_DEATHS):
        slot.tell("EXITED", "RUNNING", expected="0", pid=str(slot.pid), is_late=is_late)
        slot.start("EXITED")
    assert slot.program.degraded is not is_late
    assert slot.program.restarts == intensity.MAX_EARLY_DEATHS or not is_late
    slot.tell("FATAL", "BACKOFF", is_late=is_late)
    assert slot.program.degraded


@pytest.mark.parametrize("is_late", [True, False])
def test_intensity_when_failed_starts_are_read_long_after_then_they_count(is_late):
    """As at the watchdog's own start, while the workers beside it fail already."""
    slot = Slot()
    for _ in range(intensity.MAX_EARLY_DEATHS - 1):
        slot.tell("BACKOFF", "STARTING", tries="1", is_late=is_late)
        slot.tell("STARTING", "BACKOFF", tries="1", is_late=is_late)
    assert slot.program.early_deaths == intensity.MAX_EARLY_DEATHS - 1


def test_intensity_when_somebody_restarts_it_then_it_does_not_count():
    slot = Slot()
    for _ in range(4):
        slot.die(1)
    for state, from_state in (("STOPPING", "RUNNING"), ("STOPPED", "STOPPING")):
        slot.tell(state, from_state, pid=str(slot.pid))
    slot.start("STOPPED")
    slot.die(1)
    assert (slot.program.early_deaths, slot.program.degraded) == (1, False)


def test_intensity_when_somebody_starts_a_held_program_then_it_gets_a_fresh_count():
    slot = Slot()
    for _ in range(5):
        slot.die(1)
    slot.look("STOPPED")
    slot.start("STOPPED")
    assert (slot.program.held_until_s, slot.program.early_deaths, slot.program.degraded) == (None, 0, False)


def test_intensity_when_the_inventory_sees_somebodys_start_before_its_event_then_it_is_let_run():
    slot = Slot()
    for _ in range(5):
        slot.die(1)
    slot.look("STOPPED")
    slot.pid += 1
    slot.look("STARTING")
    assert not intensity.is_to_be_stopped(slot.program)
    assert not slot.program.degraded


def test_intensity_when_somebody_starts_and_stops_a_held_program_then_it_stays_stopped():
    slot = Slot()
    for _ in range(5):
        slot.die(1)
    slot.look("STOPPED")
    slot.start("STOPPED")
    slot.tell("BACKOFF", "STARTING", tries="1")
    slot.tell("STOPPED", "BACKOFF", pid="0")
    slot.look("STOPPED")
    assert not slot.program.degraded
    assert not intensity.is_due(slot.program, slot.now_s + 1e6)
    assert not slot.table.is_speech_wanted()


def test_intensity_when_supervisord_gave_up_then_it_is_held_and_its_own_tries_are_stopped():
    slot = Slot()
    for _ in range(4):
        slot.tell("BACKOFF", "STARTING", tries="1")
    slot.tell("FATAL", "BACKOFF")
    slot.look("FATAL")
    assert slot.program.degraded
    assert not intensity.is_to_be_stopped(slot.program)
    slot.act()
    slot.tell("BACKOFF", "STARTING", tries="1")
    slot.look("BACKOFF")
    assert intensity.is_to_be_stopped(slot.program)
    assert slot.program.holds == 2


def test_intensity_when_switched_off_then_only_what_supervisord_gave_up_is_held():
    slot = Slot(early_s=0)
    for _ in range(20):
        slot.die(1)
        slot.tell("BACKOFF", "STARTING", tries="1")
    assert not slot.program.degraded
    slot.tell("FATAL", "BACKOFF")
    assert slot.program.degraded


def test_intensity_when_it_stays_then_it_has_recovered():
    slot = Slot()
    for _ in range(5):
        slot.die(1)
    slot.act()
    slot.look("RUNNING")
    assert not intensity.has_recovered(slot.program, EARLY_S, slot.now_s + 9)
    assert intensity.has_recovered(slot.program, EARLY_S, slot.now_s + 10)


@pytest.mark.parametrize("name", [WORKER, "gateway"])
def test_speech_when_every_worker_or_the_gateway_is_held_then_it_is_wanted(name):
    slot = Slot(name=name)
    for _ in range(5):
        slot.die(1)
    slot.look("STOPPED")
    assert slot.table.is_speech_wanted()


def test_intensity_when_a_program_is_held_then_the_rest_of_its_back_off_is_told():
    slot = Slot()
    assert intensity.left_s(slot.program, slot.now_s) == 0
    program = intensity.held(slot.program, slot.now_s)
    assert intensity.left_s(program, slot.now_s + 0.25) == intensity.hold_s(1) - 0.25
    assert intensity.left_s(program, slot.now_s + 100) == 0
