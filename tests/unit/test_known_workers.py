"""Which workers the watchdog takes for hung because the gateway doesn't know them."""

import pytest

from appliance.settings import Settings, WatchdogSettings
from appliance.worker_settings import WorkersSettings
from processes.gateway.pool import MAX_CONNECTIONS
from processes.watchdog.known_workers import KnownWorkers
from processes.watchdog.notifications import MAX_DATAGRAM_BYTES
from processes.watchdog.programs import ProgramTable
from tests.parts.watched_slot import EARLY_S, WORKER, info

GATEWAY = 7
NEXT_GATEWAY = 8
LIMIT_S = 2 + 5 + 5
COQUI_PROGRESS_S = 50
WARM_UP_S = 100
WORKERS = {21: "worker-tone-1", 22: "worker-tone-2"}
MAX_PID = 4_194_304
"""Source: proc(5), /proc/sys/kernel/pid_max on 64-bit machines."""


@pytest.fixture
def known():
    """What the watchdog knows when it starts."""
    return made(silence_s=5)


def made(silence_s):
    workers = WorkersSettings(
        cancel_s=2, progress_s=5, coqui_progress_s=COQUI_PROGRESS_S, warm_up_s=WARM_UP_S
    )
    return KnownWorkers(Settings(workers=workers, watchdog=WatchdogSettings(silence_s=silence_s)))


def overdue(known, told, now_s, workers=WORKERS, gateway=GATEWAY):
    """Who hangs by a heartbeat of the gateway with this list."""
    known.heard(gateway, {"WATCHDOG": "1"} | ({} if told is None else {"X_WORKERS": told}), now_s)
    return known.overdue(workers, now_s)


def test_worker_when_the_next_gateway_does_not_know_it_then_it_hangs_after_the_limit(known):
    assert overdue(known, "21,22", 100) is None
    assert overdue(known, "22", 200, gateway=NEXT_GATEWAY) is None
    assert overdue(known, "22", 200 + LIMIT_S, gateway=NEXT_GATEWAY) is None
    assert overdue(known, "22", 200.1 + LIMIT_S, gateway=NEXT_GATEWAY) == 21


def test_worker_when_it_was_never_known_then_it_may_be_getting_warm_first(known):
    assert overdue(known, "", 100) is None
    assert overdue(known, "", 100 + WARM_UP_S + LIMIT_S) is None
    assert overdue(known, "", 100.1 + WARM_UP_S + LIMIT_S) == 21


def test_worker_when_it_is_known_again_then_its_clock_starts_anew(known):
    overdue(known, "21,22", 100)
    assert overdue(known, "22", 100 + LIMIT_S) is None
    assert overdue(known, "21,22", 101 + LIMIT_S) is None
    assert overdue(known, "22", 101 + 2 * LIMIT_S) is None


def test_workers_when_their_engines_differ_then_each_has_the_time_of_its_own(known):
    workers = {21: "worker-tone-1", 22: "worker-coqui-1"}
    overdue(known, "21,22", 100, workers)
    assert overdue(known, "", 100.1 + LIMIT_S, workers) == 21
    assert overdue(known, "21", 100 + LIMIT_S + COQUI_PROGRESS_S - 5, workers) is None
    assert overdue(known, "21", 100.1 + LIMIT_S + COQUI_PROGRESS_S - 5, workers) == 22


def test_workers_when_several_hang_then_one_after_the_other_is_named(known):
    overdue(known, "21,22", 100)
    assert overdue(known, "", 101 + LIMIT_S) == 21
    assert overdue(known, "", 102 + LIMIT_S) == 22
    assert overdue(known, "", 103 + LIMIT_S) is None
    assert overdue(known, "", 102 + 2 * LIMIT_S) == 21  # it can't be killed


def test_worker_when_another_process_has_taken_its_place_then_that_one_may_get_warm(known):
    overdue(known, "21,22", 100)
    assert overdue(known, "22", 200, workers={22: WORKER, 23: WORKER}) is None
    assert overdue(known, "22", 201 + LIMIT_S, workers={22: WORKER, 23: WORKER}) is None


def test_workers_when_no_gateway_beats_then_nobody_hangs(known):
    overdue(known, "21,22", 100)
    assert known.overdue(WORKERS, 1000) is None


def test_workers_when_the_watchdog_was_stopped_then_all_is_forgiven(known):
    overdue(known, "21,22", 100)
    known.heard(GATEWAY, {"X_WORKERS": ""}, 1000)  # it lay in the socket meanwhile
    known.restart(1000)
    assert known.overdue(WORKERS, 1000) is None
    assert overdue(known, "", 1000 + LIMIT_S) is None
    assert overdue(known, "", 1000.1 + LIMIT_S) == 21


@pytest.mark.parametrize("told", [None, "21;22", "-1", "21,", "x"])
def test_workers_when_a_heartbeat_has_no_list_then_nobody_hangs(known, told):
    overdue(known, "21,22", 100)
    assert overdue(known, told, 1000) is None


def test_workers_when_silence_never_means_hung_then_nobody_does():
    known = made(silence_s=0)
    overdue(known, "21,22", 100)
    assert overdue(known, "", 1e6) is None


def test_list_when_the_pool_is_as_large_as_can_be_then_a_datagram_holds_it():
    pids = ",".join([str(MAX_PID)] * MAX_CONNECTIONS)
    assert len(f"WATCHDOG=1\nX_ENGINES_READY=99\nX_WORKERS={pids}") < MAX_DATAGRAM_BYTES


def test_table_when_asked_for_running_workers_then_no_other_is_named():
    table = ProgramTable({}, EARLY_S)
    states = {"RUNNING": 21, "STARTING": 22, "STOPPING": 23, "STOPPED": 0}
    workers = [info(f"worker-tone-{pid}", state, pid) for state, pid in states.items()]
    table.take_inventory([info("gateway", "RUNNING", GATEWAY), *workers], 1.0)
    assert table.running_workers() == {21: "worker-tone-21"}


def test_table_when_the_gateway_is_not_ready_then_its_list_does_not_count():
    table = ProgramTable({}, EARLY_S)
    table.take_inventory([info("gateway", "RUNNING", GATEWAY), info(WORKER, "RUNNING", 21)], 1.0)
    assert not table.is_ready_gateway(GATEWAY)
    table.take_notification(GATEWAY, {"READY": "1"})
    assert table.is_ready_gateway(GATEWAY)
    assert not table.is_ready_gateway(21)
    table.take_notification(GATEWAY, {"STOPPING": "1"})
    assert not table.is_ready_gateway(GATEWAY)
