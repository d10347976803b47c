import pytest

from processes.watchdog import intensity
from processes.watchdog.clocks import EngineClock, HeartbeatClock
from processes.watchdog.events import EventDecoder, SupervisorEvent
from processes.watchdog.notifications import parse_assignments
from processes.watchdog.programs import MAX_STATUS_CHARS, ProgramTable, after_hang

EARLY_S = 10.0


def info(name, state, pid=0):
    return {"name": name, "statename": state, "pid": pid}


@pytest.fixture
def table():
    """A table with a running gateway of pid 7."""
    made = ProgramTable({}, EARLY_S)
    made.take_inventory([info("gateway", "STARTING", 7), info("exporter", "STOPPED")], 1.0)
    return made


def event(state, from_state="RUNNING", now_s=0.0, **fields):
    return (state, {"processname": "gateway", "from_state": from_state, **fields}, now_s)


def test_ready_when_said_before_running_then_it_is_kept(table):
    assert table.take_notification(7, {"READY": "1", "STATUS": "2 workers"})
    table.take_inventory([info("gateway", "RUNNING", 7)], 4.0)
    gateway = table["gateway"]
    assert (gateway.state, gateway.ready, gateway.status, gateway.since_s) == (
        "RUNNING",
        True,
        "2 workers",
        4.0,
    )


@pytest.mark.parametrize("pid", [8, 0])
def test_ready_when_the_process_changes_then_it_is_gone(table, pid):
    table.take_notification(7, {"READY": "1", "STATUS": "2 workers"})
    table.take_inventory([info("gateway", "STARTING", pid)], 4.0)
    assert (table["gateway"].ready, table["gateway"].status) == (False, "")


def test_ready_when_an_old_event_comes_late_then_it_is_kept(table):
    table.take_notification(7, {"READY": "1"})
    table.take_event(*event("STARTING", "STOPPED", tries="0"))
    assert table["gateway"].ready


def test_ready_when_the_program_is_stopping_then_it_is_gone(table):
    table.take_notification(7, {"READY": "1"})
    table.take_notification(7, {"STOPPING": "1"})
    assert not table["gateway"].ready


def test_failed_starts_when_it_never_gets_ready_then_they_are_counted(table):
    for pid in (8, 0, 9, 9, 0, 10):
        table.take_inventory([info("gateway", "STARTING", pid)], 2.0)
    assert table["gateway"].failed_starts == 3
    table.take_notification(10, {"READY": "1"})
    assert table["gateway"].failed_starts == 0


@pytest.mark.parametrize("last_words", [{"READY": "1"}, {"READY": "1", "STOPPING": "1"}])
def test_failed_starts_when_it_had_been_ready_then_its_end_does_not_count(table, last_words):
    table.take_notification(7, last_words)
    table.take_inventory([info("gateway", "EXITED", 0)], 2.0)
    assert table["gateway"].failed_starts == 0


def test_failed_starts_when_somebody_stopped_it_then_they_start_anew(table):
    table.take_inventory([info("gateway", "STARTING", 8)], 2.0)
    assert table["gateway"].failed_starts == 1
    table.take_inventory([info("gateway", "STOPPED", 0)], 3.0)
    assert table["gateway"].failed_starts == 0


@pytest.mark.parametrize("state", ["STOPPING", "STOPPED"])
def test_failed_starts_when_it_is_restarted_between_two_inventories_then_nothing_counts(table, state):
    for pid in (7, 8, 9, 10):
        table.take_event(*event(state, "STARTING", pid=str(pid)))
        table.take_inventory([info("gateway", "STARTING", pid + 1)], 2.0)
    assert table["gateway"].failed_starts == 0
    table.take_inventory([info("gateway", "STARTING", 12)], 3.0)
    assert table["gateway"].failed_starts == 1


def test_failed_starts_when_the_event_of_a_restart_comes_late_then_nothing_counts(table):
    table.take_inventory([info("gateway", "STARTING", 8)], 2.0)
    table.take_event(*event("STOPPED", "STOPPING", pid="7"))
    assert table["gateway"].failed_starts == 0
    table.take_inventory([info("gateway", "STARTING", 9)], 3.0)
    assert table["gateway"].failed_starts == 1


def test_notification_when_from_a_stranger_then_it_changes_nothing(table):
    before = table.as_json()
    assert not table.take_notification(99, {"READY": "1"})
    assert not table.take_notification(8, {"READY": "1"})
    assert table.as_json() == before


def test_status_when_endless_then_it_is_cut(table):
    table.take_notification(7, {"STATUS": "x" * 10_000})
    assert len(table["gateway"].status) == MAX_STATUS_CHARS


def test_state_when_it_stays_then_its_time_stays(table):
    table.take_inventory([info("gateway", "STARTING", 7)], 9.0)
    assert table["gateway"].since_s == 1.0


@pytest.mark.parametrize(
    ("events", "restarts", "last_exit"),
    [
        ([event("EXITED", expected="0", pid="7"), event("STARTING", "EXITED")], 1, "unexpected"),
        ([event("EXITED", expected="1", pid="7"), event("STARTING", "EXITED")], 1, "expected"),
        ([event("BACKOFF", "STARTING"), event("STARTING", "BACKOFF")] * 3, 3, "too_quickly"),
        ([event("STOPPING"), event("STOPPED", "STOPPING"), event("STARTING", "STOPPED")], 0, "stopped"),
        ([event("STARTING", "FATAL")], 0, ""),
    ],
)
def test_restarts_when_nobody_asked_for_them_then_they_are_counted(table, events, restarts, last_exit):
    for each in events:
        table.take_event(*each)
    assert (table["gateway"].restarts, table["gateway"].last_exit) == (restarts, last_exit)


def test_event_when_of_an_unknown_program_then_it_is_ignored(table):
    table.take_event("STARTING", {"processname": "worker-tone-9", "from_state": "STOPPED"}, 0.0)
    assert "worker-tone-9" not in table.as_json()


def test_inventory_when_a_program_is_removed_then_it_disappears(table):
    table.take_inventory([info("gateway", "RUNNING", 7)], 2.0)
    assert list(table.as_json()) == ["gateway"]


def test_table_when_the_watchdog_restarts_then_readiness_and_restarts_are_remembered(table):
    table.take_notification(7, {"READY": "1"})
    table.take_event(*event("STARTING", "EXITED"))
    again = ProgramTable(table.as_json() | {"broken": {"colour": "red"}}, EARLY_S)
    again.take_inventory([info("gateway", "RUNNING", 7)], 5.0)
    assert (again["gateway"].ready, again["gateway"].restarts) == (True, 1)


PAYLOAD = b"processname:gateway groupname:gateway from_state:STARTING pid:77"
EVENT = (
    b"ver:3.0 server:supervisor serial:21 pool:watchdog eventname:PROCESS_STATE_RUNNING len:%d\n"
    % len(PAYLOAD)
) + PAYLOAD


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_decoder_when_fed_in_pieces_then_it_gives_whole_events(size):
    stream = EVENT + b"eventname:TICK_5 len:0\n" + EVENT
    decoder = EventDecoder()
    events = [
        each for start in range(0, len(stream), size) for each in decoder.feed(stream[start : start + size])
    ]
    assert [each.name for each in events] == ["PROCESS_STATE_RUNNING", "TICK_5", "PROCESS_STATE_RUNNING"]
    assert events[0] == SupervisorEvent(
        "PROCESS_STATE_RUNNING",
        {"processname": "gateway", "groupname": "gateway", "from_state": "STARTING", "pid": "77"},
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"READY=1\nSTATUS=a=b", {"READY": "1", "STATUS": "a=b"}),
        (b"", {}),
        (b"nonsense\n=1\nREADY=1\n", {"READY": "1"}),
        (b"STATUS=\xff", {"STATUS": "�"}),
    ],
)
def test_assignments_when_parsed_then_only_pairs_count(data, expected):
    assert parse_assignments(data) == expected


WORKER = "worker-tone-1"


class Slot:
    """A worker's program as the watchdog sees it, and what the watchdog does about it."""

    def __init__(self, early_s=EARLY_S, name=WORKER):
        self.name = name
        self.table = ProgramTable({}, early_s)
        self.now_s = 0.0
        self.pid = 0
        self.starts_s: list[float] = []
        """Without those that the watchdog stopped at once."""
        self.spawns_s: list[float] = []
        """All."""
        self.look("STOPPED")
        self.start("STOPPED")

    @property
    def program(self):
        return self.table[self.name]

    def tell(self, state, from_state, *, is_late=False, **fields):
        fields |= {"processname": self.name, "from_state": from_state}
        self.table.take_event(state, fields, self.now_s, is_late=is_late)

    def look(self, state):
        others = [info(name, "RUNNING", 1000) for name in {"gateway", WORKER} - {self.name}]
        self.table.take_inventory([info(self.name, state, self.pid), *others], self.now_s)

    def start(self, from_state):
        self.pid += 1
        self.starts_s.append(self.now_s)
        self.spawns_s.append(self.now_s)
        self.tell("STARTING", from_state)
        self.look("STARTING")

    def die(self, life_s, *, expected="0"):
        """End, and be started again by supervisord as soon as it would do that."""
        self.now_s += life_s
        self.tell("EXITED", "RUNNING", expected=expected, pid=str(self.pid))
        self.start("EXITED")

    def act(self):
        """Do what the watchdog does: stop what is held, start what is due, and forgive what has stayed."""
        if intensity.is_to_be_stopped(self.program):
            self.starts_s.pop()
            self.table.change(self.name, intensity.stopped_for_hold)
            for state, from_state in (("STOPPING", "STARTING"), ("STOPPED", "STOPPING")):
                self.tell(state, from_state, pid=str(self.pid))
            self.look("STOPPED")
        if self.program.held_until_s is not None:
            self.now_s = self.program.held_until_s
            assert intensity.is_due(self.program, self.now_s)
            self.table.change(self.name, intensity.let_run)
            self.start("STOPPED")


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


def test_intensity_when_a_worker_is_recycled_then_it_does_not_count():
    slot = Slot()
    for _ in range(100):
        slot.die(4, expected="1")
    assert (slot.program.early_deaths, slot.program.degraded) == (0, False)


@pytest.mark.parametrize("is_late", [True, False])
def test_intensity_when_ends_are_read_long_after_then_none_of_them_is_early(is_late):
    slot = Slot()
    for _ in range(intensity.MAX_EARLY_DEATHS):
        slot.tell("EXITED", "RUNNING", expected="0", pid=str(slot.pid), is_late=is_late)
        slot.start("EXITED")
        slot.tell("BACKOFF", "STARTING", tries="1", is_late=is_late)
    assert slot.program.degraded is not is_late
    assert slot.program.restarts == intensity.MAX_EARLY_DEATHS or not is_late
    slot.tell("FATAL", "BACKOFF", is_late=is_late)
    assert slot.program.degraded


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


def test_gateway_when_supervisord_gave_it_up_then_it_is_not_held(table):
    table.take_event(*event("FATAL", "BACKOFF"))
    assert table["gateway"].held_until_s is None


def test_hang_when_it_is_killed_for_it_then_the_exit_says_so(table):
    table.change("gateway", lambda program: after_hang(program, 7))
    table.take_event(*event("EXITED", expected="0", pid="7"))
    assert (table["gateway"].hangs, table["gateway"].last_exit) == (1, "hung")
    table.take_event(*event("EXITED", expected="0", pid="8"))
    assert table["gateway"].last_exit == "unexpected"


def test_beating_when_ready_and_not_stopping_then_it_has_to(table):
    assert table.beating() == {}
    table.take_notification(7, {"READY": "1"})
    assert table.beating() == {7: "gateway"}
    table.take_notification(7, {"STOPPING": "1"})  # it drains, and its loop has to run for that
    assert table.beating() == {7: "gateway"}
    table.take_inventory([info("gateway", "STOPPING", 7)], 2.0)
    assert table.beating() == {}


@pytest.mark.parametrize(
    ("gateway", "worker", "is_wanted"),
    [
        ("RUNNING", "RUNNING", True),
        ("BACKOFF", "FATAL", True),
        ("STOPPED", "RUNNING", False),
        ("STOPPING", "RUNNING", False),
        ("RUNNING", "STOPPED", False),
    ],
)
def test_speech_when_somebody_stopped_it_then_it_is_not_wanted(gateway, worker, is_wanted):
    table = ProgramTable({}, EARLY_S)
    table.take_inventory([info("gateway", gateway, 7), info(WORKER, worker, 8)], 1.0)
    assert table.is_speech_wanted() is is_wanted


@pytest.mark.parametrize("name", [WORKER, "gateway"])
def test_speech_when_every_worker_or_the_gateway_is_held_then_it_is_wanted(name):
    slot = Slot(name=name)
    for _ in range(5):
        slot.die(1)
    slot.look("STOPPED")
    assert slot.table.is_speech_wanted()


@pytest.mark.parametrize(("said", "engines"), [("2", 2), ("0", 0), ("-1", 0), ("x", 0), ("", 0)])
def test_engines_when_the_gateway_says_how_many_then_they_are_known_to_its_end(table, said, engines):
    table.take_notification(7, {"X_ENGINES_READY": said})
    assert table["gateway"].engines_ready == engines
    assert table.has_engine(0, 2.0) is bool(engines)
    table.take_inventory([info("gateway", "STARTING", 8)], 2.0)
    assert not table.has_engine(0, 2.0)


@pytest.mark.parametrize("life_s", [4, 9])
def test_engines_when_the_gateway_gets_ready_and_ends_again_and_again_then_the_clock_runs_out(life_s):
    slot, clock, over_s = Slot(name="gateway"), EngineClock(60, 0), None
    while over_s is None and slot.now_s < 1800:
        begun_s, slot.now_s = slot.now_s, slot.now_s + 1
        slot.table.take_notification(slot.pid, {"READY": "1", "X_ENGINES_READY": "1"})
        slot.look("RUNNING")
        for age_s in range(life_s):
            now_s = begun_s + age_s
            is_fine = slot.table.has_engine(EARLY_S, now_s) or not slot.table.is_speech_wanted()
            if clock.is_over(now_s, is_fine=is_fine):
                over_s = now_s
        slot.die(life_s - 1)
        if slot.program.held_until_s is not None:
            slot.act()
    assert over_s is not None
    assert over_s < intensity.MAX_EARLY_DEATHS * life_s + 60 + intensity.MAX_HOLD_S


def test_engines_when_a_gateway_that_was_held_stays_then_they_count_again():
    slot = Slot(name="gateway")
    for _ in range(intensity.MAX_EARLY_DEATHS):
        slot.die(1)
    slot.act()
    slot.table.take_notification(slot.pid, {"X_ENGINES_READY": "1"})
    assert not slot.table.has_engine(EARLY_S, slot.now_s + 9)
    assert slot.table.has_engine(EARLY_S, slot.now_s + 10)


def test_heartbeats_when_one_is_missing_then_only_that_process_is_silent():
    clock = HeartbeatClock(5)
    assert clock.silent([7, 8], 100) == []  # new here
    clock.heard(8, 103)
    assert clock.silent([7, 8], 105) == []
    assert clock.silent([7, 8], 105.1) == [7]
    assert clock.silent([8], 106) == []
    assert clock.silent([7, 8], 106) == []  # new again


def test_heartbeats_when_the_watchdog_was_stopped_then_all_is_forgiven():
    clock = HeartbeatClock(5)
    clock.silent([7], 100)
    clock.restart(1000)
    assert clock.silent([7], 1005) == []
    assert clock.silent([7], 1005.1) == [7]


def test_heartbeats_when_switched_off_then_nobody_is_silent():
    clock = HeartbeatClock(0)
    clock.silent([7], 100)
    assert clock.silent([7], 1e6) == []


def test_engine_clock_when_none_is_ready_then_it_runs_out_once():
    clock = EngineClock(60, 100)
    assert not clock.is_over(160, is_fine=False)
    assert clock.is_over(160.1, is_fine=False)
    assert not clock.is_over(161, is_fine=True)
    assert not clock.is_over(220, is_fine=False)
    clock.restart(1000)
    assert not clock.is_over(1060, is_fine=False)
    assert not EngineClock(0, 0).is_over(1e6, is_fine=False)
