"""Row O1: something is broken, and the first that `ttsctl doctor` says is what, with a command for it.

Each test breaks a real appliance, or what one is to be started from, as the rows of the fault matrix do.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.lifecycle import LAUNCHER_FILE, read_json
from appliance.logs import MAX_LINES
from appliance.store.check import connect as open_database
from processes.gateway.store_keeper import MAX_LOG_BYTES
from tests.parts.appliance import Appliance, eventually
from tests.parts.asked import asked, database_state, spoken
from tests.parts.doctor import DISK_OF_TESTS, Score, diagnose, named
from tests.parts.inserted import STEPPED_CLOCK, inserted_code
from tests.parts.jobs import ended, submitted
from tests.parts.rogue import running_rogue
from tests.parts.slow_clients import HALF_A_HEAD, connect, sample
from tests.parts.speaking import HOOKED, Clients, connected_workers, speak
from tests.parts.ttsctl import run_ttsctl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SILENCE_S = 600
"""The watchdog's patience, so that what a test has stopped is left to it."""
DESCRIPTORS = 144
"""As in row L8."""


@pytest.fixture(scope="module")
def appliance(appliance_factory: Callable[..., Appliance]) -> Appliance:
    """An appliance for all faults that pass."""
    settings = {**HOOKED, "WATCHDOG_SILENCE_S": SILENCE_S, "WORKERS_PROGRESS_S": 1.0, "WATCHDOG_EARLY_S": 0}
    made = appliance_factory(WORKERS_TONE=2, DISPATCH_FIRST_AUDIO_LIMIT_S=30, **settings)
    made.wait_until_ready()
    made.wait_until_running()
    eventually(lambda: database_state(made) == "ok")
    return made


@pytest.fixture
def well(appliance: Appliance) -> Appliance:
    """The same, with nothing left of what another test broke, but of what nobody can take back."""
    appliance.wait_until_running()
    eventually(lambda: len(connected_workers(appliance, "ready")) == 2)
    eventually(lambda: asked(appliance, "/health")["status"] == "ok")
    return appliance


PAST = ("deaths", "poison", "jobs", "protocol", "requests", "denials")
"""Checks that go on naming what has passed."""


def test_appliance_when_nothing_is_broken_then_the_doctor_finds_nothing(
    appliance_factory: Callable[..., Appliance],
) -> None:
    fresh = appliance_factory(VOICES_DEFAULT="tone-low")
    fresh.wait_until_ready()
    fresh.wait_until_running()
    eventually(lambda: asked(fresh, "/health/tts")["status"] == "ok")
    assert spoken(fresh, "well")
    found = diagnose(fresh.environment, *DISK_OF_TESTS)
    assert found.faults == {}
    assert found.first == {}


def test_drained_when_somebody_has_left_it_so_then_named(score: Score, well: Appliance) -> None:
    run_ttsctl(well, "drain", "on")
    try:
        named(score, well, "draining", "ttsctl drain off", *PAST)
    finally:
        run_ttsctl(well, "drain", "off")


def test_worker_when_it_was_stopped_and_another_speaks_then_named(score: Score, well: Appliance) -> None:
    run_ttsctl(well, "supervisorctl", "stop", "worker-tone-1")
    try:
        named(score, well, "program_stopped", "ttsctl supervisorctl start worker-tone-1", *PAST)
        run_ttsctl(well, "supervisorctl", "stop", "worker-tone-2")
        named(score, well, "no_worker", "ttsctl supervisorctl start worker-tone-1", *PAST)
    finally:
        run_ttsctl(well, "supervisorctl", "start", "worker-tone-1", "worker-tone-2")


def test_exporter_when_it_was_stopped_then_named(score: Score, well: Appliance) -> None:
    run_ttsctl(well, "supervisorctl", "stop", "exporter")
    try:
        named(score, well, "program_stopped", "ttsctl supervisorctl start exporter", *PAST)
    finally:
        run_ttsctl(well, "supervisorctl", "start", "exporter")


def test_worker_when_killed_then_named_though_it_is_back(
    score: Score, appliance_factory: Callable[..., Appliance]
) -> None:
    bereft = appliance_factory(WORKERS_TONE=2, VOICES_DEFAULT="tone-low")
    bereft.wait_until_ready()
    bereft.wait_until_running()
    bereft.program("worker-tone-1").send_signal(signal.SIGKILL)
    eventually(lambda: len(connected_workers(bereft, "ready")) == 2)
    named(score, bereft, "died_killed", "ttsctl supervisorctl tail worker-tone-1")


@pytest.mark.parametrize(
    ("hook", "fault"), [("__SEGV__", "died_crashed"), ("__HANG__", "died_hung"), ("__EXIT__", "died")]
)
def test_worker_when_a_text_breaks_it_then_named(
    score: Score, appliance_factory: Callable[..., Appliance], hook: str, fault: str
) -> None:
    broken = appliance_factory(
        WORKERS_TONE=2, WORKERS_PROGRESS_S=1.0, WATCHDOG_EARLY_S=0, DISPATCH_FIRST_AUDIO_LIMIT_S=30, **HOOKED
    )
    broken.wait_until_ready()
    broken.wait_until_running()
    speak(broken, f"This one breaks it. {hook}")
    eventually(lambda: len(connected_workers(broken, "ready")) == 2)
    named(score, broken, fault, "ttsctl supervisorctl tail worker-tone-", "requests")
    if hook == "__SEGV__":
        assert speak(broken, f"This one breaks it. {hook}").code == "poison_request"
        found = diagnose(broken.environment, *DISK_OF_TESTS, "requests", "deaths")
        score.take("poison_request", found, "ttsctl supervisorctl tail gateway")


@pytest.mark.parametrize("name", ["gateway", "watchdog", "supervisord", "exporter"])
def test_program_when_it_is_stopped_by_a_signal_then_named(score: Score, well: Appliance, name: str) -> None:
    process = well.supervisord() if name == "supervisord" else well.program(name)
    process.suspend()
    try:
        # The launcher replaces a watchdog that stands still within 20 s.
        named(score, well, "process_suspended", f"kill -CONT {process.pid}", *PAST)
    finally:
        process.resume()


def test_run_directory_when_others_may_enter_then_named(score: Score, well: Appliance) -> None:
    well.run_dir.chmod(0o755)
    try:
        named(score, well, "run_directory_open", f"chmod 700 {well.run_dir}", *PAST)
    finally:
        well.run_dir.chmod(0o700)


def test_descriptors_when_half_open_connections_take_them_then_named(score: Score, well: Appliance) -> None:
    gateway = well.program("gateway")
    soft, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    try:
        with contextlib.ExitStack() as stack:
            for number in range(300):
                stack.enter_context(connect(well, HALF_A_HEAD, source=f"127.0.1.{1 + number % 10}"))
            eventually(lambda: sample(well, "tts_http_accept_paused") == 1)
            found = diagnose(well.environment, *DISK_OF_TESTS, *PAST)
        score.take("files_short", found, "ss -tnp")
    finally:
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (soft, hard))


def test_database_when_another_process_holds_it_then_named_with_its_pid(
    score: Score, well: Appliance
) -> None:
    with contextlib.closing(open_database(well.base / "data" / "appliance.sqlite")) as holder:
        holder.execute("BEGIN IMMEDIATE")
        spoken(well, "meanwhile")
        eventually(lambda: database_state(well) == "busy")
        named(score, well, "store_busy", f"kill {os.getpid()}", *PAST)
        holder.execute("ROLLBACK")
    eventually(lambda: database_state(well) == "ok")


def test_log_of_the_database_when_a_reader_stays_then_named_with_its_pid(
    score: Score, well: Appliance
) -> None:
    path = well.base / "data" / "appliance.sqlite"
    log = path.with_name(f"{path.name}-wal")
    with contextlib.closing(open_database(path, mode="ro")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        with log.open("r+b") as file:
            file.truncate(MAX_LOG_BYTES + 4096)
        eventually(lambda: database_state(well) == "log_large")
        named(score, well, "store_log_large", f"kill {os.getpid()}", *PAST)
    run_ttsctl(well, "supervisorctl", "restart", "gateway")  # which writes it into the database
    eventually(lambda: database_state(well) == "ok")


def test_job_when_it_has_failed_then_named(score: Score, well: Appliance) -> None:
    job_id = submitted(well, "__FAIL__", normalize=False)
    assert ended(well, job_id)["state"] == "failed"
    others = [each for each in PAST if each != "jobs"]
    named(score, well, "job_failed", f"ttsctl jobs retry {job_id}", *others)


def test_worker_when_it_breaks_the_protocol_then_named(score: Score, well: Appliance) -> None:
    with running_rogue(well.run_dir, "bad_magic_at_once") as rogue:
        rogue.wait(30)
    eventually(lambda: sample(well, "tts_protocol_errors_total") > 0)
    others = [each for each in PAST if each != "protocol"]
    named(score, well, "protocol_broken", "ttsctl restart --rolling", *others)


def test_load_when_it_is_more_than_can_be_done_then_named(
    score: Score, appliance_factory: Callable[..., Appliance]
) -> None:
    busy = appliance_factory(TONE_DELAY_S=3.0, DISPATCH_CORES=1, VOICES_DEFAULT="tone-low")
    busy.wait_until_ready()
    busy.wait_until_running()
    eventually(lambda: asked(busy, "/health/tts")["status"] in ("ok", "busy"))
    with contextlib.closing(Clients(busy, 32)) as clients:
        asking = [clients.ask(f"Number {each}.", address=f"127.0.1.{each + 1}") for each in range(32)]
        eventually(lambda: asked(busy, "/admin/status")["status"] == "overloaded")
        found = diagnose(busy.environment, *DISK_OF_TESTS)
        assert asking
    score.take("overloaded", found, "ttsctl status")


def test_worker_when_it_never_gets_ready_then_named_with_how_it_ends(
    score: Score, appliance_factory: Callable[..., Appliance]
) -> None:
    failing = appliance_factory(WORKERS_ESPEAK=1, TONE_FAIL_WARM_UP="true")
    failing.wait_until_ready()
    failing.wait_for("program_held", name="worker-tone-1")
    found = diagnose(failing.environment, *DISK_OF_TESTS)
    score.take("program_held", found, "ttsctl supervisorctl tail worker-tone-1")
    assert "exit code 70" in found.first["seen"]


def test_log_when_its_lines_are_lost_then_named(
    score: Score, appliance_factory: Callable[..., Appliance]
) -> None:
    unread = appliance_factory(pipe_bytes=4096, VOICES_DEFAULT="tone-low")
    unread.wait_until_ready()
    unread.wait_until_running()
    unread.pause_reading()
    with Path(f"/proc/{unread.program('worker-tone-1').pid}/fd/2").open("w") as stderr:
        stderr.write("".join(f'{{"number":{number}}}\n' for number in range(2 * MAX_LINES)))
    eventually(lambda: read_json(unread.run_dir / LAUNCHER_FILE)["log_lines_dropped"] > 0)
    found = diagnose(unread.environment, *DISK_OF_TESTS)
    unread.resume_reading()
    score.take("log_lines_lost", found, f"ls -l /proc/{unread.process.pid}/fd/1")


def test_voice_when_the_default_one_is_nobodys_then_named(
    score: Score, appliance_factory: Callable[..., Appliance]
) -> None:
    lacking = appliance_factory(VOICES_DEFAULT="nobody")
    lacking.wait_until_ready()
    named(score, lacking, "default_voice_missing", "ttsctl voices")


def test_clock_when_it_steps_then_named(
    score: Score, appliance_factory: Callable[..., Appliance], tmp_path: Path
) -> None:
    with inserted_code(tmp_path, STEPPED_CLOCK.format(file=str(tmp_path / "offset"))):
        stepped = appliance_factory(VOICES_DEFAULT="tone-low")
    stepped.wait_until_ready()
    stepped.wait_until_running()
    (tmp_path / "offset").write_text("3600")
    found = diagnose(stepped.environment, *DISK_OF_TESTS)
    score.take("clock_moved", found, "timedatectl status")
