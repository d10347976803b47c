import pytest

from appliance.watched import ONE_SHOT_PROGRAM
from processes.watchdog import intensity
from processes.watchdog.clocks import EngineClock, HeartbeatClock
from processes.watchdog.events import EventDecoder, SupervisorEvent
from processes.watchdog.notifications import parse_assignments
from processes.watchdog.programs import MAX_STATUS_CHARS, ProgramTable, after_hang
from tests.parts.watched_slot import EARLY_S, WORKER, Slot, info


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
        ([event("BACKOFF", "STARTING", wait_status=str(70 << 8))], 0, "exit code 70"),
        ([event("EXITED", expected="0", pid="7", wait_status="11")], 0, "SIGSEGV"),
        ([event("EXITED", expected="0", pid="7", wait_status="40")], 0, "signal 40"),
        ([event("EXITED", expected="1", pid="7", wait_status="0")], 0, "expected"),
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


def test_importer_when_it_fails_again_and_again_then_no_end_of_it_counts():
    slot = Slot(name=ONE_SHOT_PROGRAM)
    for _ in range(9):
        slot.tell("EXITED", "RUNNING", expected="0", pid=str(slot.pid))
        slot.tell("STARTING", "EXITED", tries="0")
    assert (slot.program.early_deaths, slot.program.held_until_s) == (0, None)
