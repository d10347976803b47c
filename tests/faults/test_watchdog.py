"""A program hangs, everybody is stopped for a while, the watchdog itself hangs, no engine gets ready."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.lifecycle import EXIT_FATAL, EXIT_OK, VERDICT_FILE, read_json
from appliance.unix_calls import supervisor_rpc
from appliance.watched import BEAT_FILE, read_beat
from processes.launcher import watchdog_care
from processes.ttsctl.outcome import ExitCode
from processes.watchdog.intensity import MAX_EARLY_DEATHS
from tests.parts.appliance import Appliance, eventually
from tests.parts.speaking import speak
from tests.parts.ttsctl import run_ttsctl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SILENCE_S = 2.0
START_S = 10.0
"""More than a start takes on a busy machine."""
PAUSE_S = 5.0
"""Longer than any silence that means hung."""
SEEN_WITHIN_S = 30.0
"""Bound of row S3 of the fault matrix."""
NO_ENGINE_S = 15
"""Longer than a start takes on a busy machine."""


@pytest.fixture(scope="module")
def pair(appliance_factory: Callable[..., Appliance]) -> tuple[Appliance, Appliance]:
    """An appliance whose watchdog is quick, and one whose watchdog ignores silence."""
    settings = {
        "WATCHDOG_HEARTBEAT_S": 0.2,
        "WORKERS_SILENCE_S": SILENCE_S,
        "VOICES_DEFAULT": "tone-low",
    }
    made = (
        appliance_factory(WATCHDOG_SILENCE_S=SILENCE_S, **settings),
        appliance_factory(WATCHDOG_SILENCE_S=0, **settings),
    )
    for each in made:
        each.wait_until_ready()
    for each in made:
        each.wait_until_running()
    return made


@pytest.fixture
def appliance(pair: tuple[Appliance, Appliance]) -> Appliance:
    """The one with the quick watchdog; each test leaves it running."""
    pair[0].wait_until_running()
    eventually(lambda: json.loads(pair[0].get("/health"))["status"] == "ok")
    return pair[0]


def metric(appliance: Appliance, name: str, **labels: str) -> float:
    with urllib.request.urlopen(appliance.exporter_url + "/metrics", timeout=30) as response:
        families = text_string_to_metric_families(response.read().decode())
    return next(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def pids(appliance: Appliance) -> dict[str, int]:
    return {name: program["pid"] for name, program in appliance.programs().items()}


def outputs(appliance: Appliance, seen: int) -> list[str]:
    """What its programs have said without a logger since then, as far as it has come."""
    return [str(line.get("message")) for line in appliance.lines[seen:] if line["event"] == "output"]


@contextmanager
def waiting_client(appliance: Appliance) -> Iterator[list[object]]:
    """Somebody who asks now, and whose answer is there at the end of the block.

    Whoever the gateway accepts in the moment of its death, between two signals, is cut off and asks again.
    """
    answers: list[object] = []

    def ask() -> None:
        for _ in range(2):
            try:
                answers.append(json.loads(appliance.get("/health/live"))["status"])
            except ConnectionResetError:
                continue
            except OSError as error:
                answers.append(error)
            return

    thread = threading.Thread(target=ask)
    thread.start()
    yield answers
    thread.join()


@pytest.mark.parametrize("name", ["gateway", "exporter"])
def test_program_when_it_hangs_then_its_stack_is_logged_and_it_is_replaced(
    pair: tuple[Appliance, Appliance], appliance: Appliance, name: str
) -> None:
    control = pair[1]
    victims = [each.program(name) for each in (control, appliance)]
    hangs = appliance.programs()[name]["hangs"]
    seen = len(appliance.lines)
    others = {other: pid for other, pid in pids(appliance).items() if other != name}
    for victim in victims:
        victim.suspend()
    hung_s = time.monotonic()
    try:
        with waiting_client(appliance) as answers:
            line = appliance.wait_for("program_hung", after=seen, name=name)
            seen_s = time.monotonic() - hung_s
            assert line["hung_pid"] == victims[1].pid
            eventually(lambda: pids(appliance)[name] not in {0, victims[1].pid})
            eventually(lambda: appliance.programs()[name]["ready"])
            back_s = time.monotonic() - hung_s
        assert answers == ["ok"]  # it waited in the launcher's socket
        eventually(lambda: any("most recent call first" in each for each in outputs(appliance, seen)))
        eventually(lambda: any(f"processes/{name}/__main__.py" in each for each in outputs(appliance, seen)))
        appliance.wait_until_running()
        assert appliance.programs()[name]["hangs"] == hangs + 1
        assert appliance.programs()[name]["last_exit"] == "hung"
        assert {other: pid for other, pid in pids(appliance).items() if other != name} == others
        assert metric(appliance, "tts_process_hangs_total", program=name) == hangs + 1
        # The control: without a limit nobody notices.
        assert victims[0].status() == psutil.STATUS_STOPPED
        assert pids(control)[name] == victims[0].pid
        assert not [line for line in control.lines if line["event"] == "program_hung"]
    finally:
        victims[0].resume()
    print(f"{name}: hang seen after {seen_s:.2f} s, ready again after {back_s:.2f} s")
    assert seen_s < SILENCE_S + 5


def test_exporter_when_it_hangs_before_it_is_ready_then_it_is_replaced(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(WATCHDOG_START_S=START_S)
    appliance.wait_until_running()
    first = appliance.program("exporter")
    first.kill()
    pid = eventually(lambda: next(iter({pids(appliance)["exporter"]} - {0, -1, first.pid}), None))
    psutil.Process(pid).suspend()
    assert not appliance.programs()["exporter"]["ready"], "it was ready before it could be stopped"
    seen_at_s = time.monotonic()

    line = appliance.wait_for("program_hung", name="exporter", cause="start")
    print(f"exporter that hangs in its start: seen after {time.monotonic() - seen_at_s:.2f} s")
    assert line["hung_pid"] == pid
    eventually(lambda: appliance.programs()["exporter"]["ready"])
    assert appliance.programs()["exporter"]["pid"] not in {pid, first.pid}
    appliance.wait_until_running()
    assert metric(appliance, "tts_process_hangs_total", program="exporter") == 1


def pause(processes: list[psutil.Process]) -> None:
    """Stop processes for `PAUSE_S`, as a suspended machine would."""
    for process in processes:
        process.suspend()
    until_s = time.monotonic() + PAUSE_S
    try:
        eventually(lambda: time.monotonic() > until_s)
    finally:
        for process in processes:
            process.resume()


def wait_for_beat(appliance: Appliance) -> None:
    """Wait for the watchdog's next heartbeat."""
    written = read_beat(appliance.run_dir)
    eventually(lambda: read_beat(appliance.run_dir) != written)


def assert_nobody_was_killed(appliance: Appliance, before: dict[str, int], seen: int) -> None:
    appliance.wait_for("clocks_restarted", after=seen, program="watchdog")
    for _ in range(3):  # so that the watchdog has looked at its clocks again
        wait_for_beat(appliance)
    assert pids(appliance) == before
    events = {line["event"] for line in appliance.lines[seen:]}
    assert not events & {"program_hung", "worker_killed", "worker_lost", "watchdog_hung", "program_held"}
    assert json.loads(appliance.get("/health"))["status"] == "ok"
    assert run_ttsctl(appliance, "live").returncode == ExitCode.OK


def test_machine_when_everything_is_stopped_and_goes_on_then_nobody_is_killed(appliance: Appliance) -> None:
    before, seen = pids(appliance), len(appliance.lines)
    pause([psutil.Process(appliance.process.pid), *appliance.left_processes()])
    resumed_s = time.monotonic()
    eventually(lambda: json.loads(appliance.get("/health"))["status"] == "ok")
    print(f"well again {time.monotonic() - resumed_s:.2f} s after the pause")
    assert_nobody_was_killed(appliance, before, seen)


def test_watchdog_when_it_alone_is_stopped_for_a_while_then_it_kills_nobody(appliance: Appliance) -> None:
    before, seen = pids(appliance), len(appliance.lines)
    pause([appliance.program("watchdog")])
    assert_nobody_was_killed(appliance, before, seen)


def test_watchdog_when_it_missed_ends_that_were_not_early_then_it_holds_nobody(
    appliance_factory: Callable[..., Appliance],
) -> None:
    """Perhaps the launcher replaces the watchdog meanwhile: supervisord tells the next one what it kept."""
    appliance = appliance_factory(WATCHDOG_EARLY_S=1)
    appliance.wait_until_ready()
    appliance.wait_until_running()
    watchdog, seen, name = appliance.program("watchdog"), len(appliance.lines), "worker-tone-1"
    victim = appliance.program(name).pid

    def running() -> int | None:
        """The worker's process once it is RUNNING, which it isn't in its first three seconds."""
        with supervisor_rpc(appliance.run_dir) as supervisor:
            found = supervisor.getProcessInfo(name)
        return found["pid"] if found["statename"] == "RUNNING" and found["pid"] != victim else None

    watchdog.suspend()
    try:
        for _ in range(MAX_EARLY_DEATHS):
            psutil.Process(victim).kill()
            victim = eventually(running)
    finally:
        with suppress(psutil.NoSuchProcess):
            watchdog.resume()
    eventually(lambda: appliance.programs()[name]["restarts"] == MAX_EARLY_DEATHS)
    assert appliance.programs()[name]["early_deaths"] == 0
    assert not [line for line in appliance.lines[seen:] if line["event"] == "program_held"]


def test_watchdog_when_it_hangs_then_live_names_it_and_it_is_replaced(appliance: Appliance) -> None:
    watchdog, seen = appliance.program("watchdog"), len(appliance.lines)
    hangs = metric(appliance, "tts_process_hangs_total", program="watchdog")
    watchdog.suspend()
    hung_s = time.monotonic()
    done = eventually(lambda: dead_parts(appliance), SEEN_WITHIN_S)
    seen_s = time.monotonic() - hung_s
    assert done["dead"] == ["watchdog"]
    assert done["reason"].startswith("watchdog: no heartbeat for ")
    # The control: who only asks the gateway sees nothing.
    assert json.loads(appliance.get("/health/live"))["status"] == "ok"
    assert speak(appliance, "Nobody watches.").status == 200
    appliance.wait_for("watchdog_hung", after=seen, program="launcher")
    eventually(lambda: run_ttsctl(appliance, "live").returncode == ExitCode.OK)
    healed_s = time.monotonic() - hung_s
    eventually(lambda: appliance.programs()["watchdog"]["pid"] not in {0, watchdog.pid})
    eventually(lambda: metric(appliance, "tts_process_hangs_total", program="watchdog") == hangs + 1)
    print(f"watchdog: hang seen after {seen_s:.1f} s, alive again after {healed_s:.1f} s")


def test_watchdog_when_it_cannot_beat_or_was_stopped_then_the_launcher_does_not_kill_it(
    pair: tuple[Appliance, Appliance], appliance: Appliance
) -> None:
    """The limit of a file's size stands for a disk that takes nothing (test_ttsctl has real ones)."""
    stopped = pair[1]
    watchdog, launcher = appliance.program("watchdog"), psutil.Process(appliance.process.pid)
    seen, seen_stopped = len(appliance.lines), len(stopped.lines)
    limits = {process: process.rlimit(psutil.RLIMIT_FSIZE) for process in (watchdog, launcher)}
    try:
        for process, (_soft, hard) in limits.items():
            process.rlimit(psutil.RLIMIT_FSIZE, (0, hard))
        assert "stopped" in stopped.supervisorctl("stop", "watchdog").stdout
        appliance.wait_for("state_not_written", after=seen, program="watchdog", file=BEAT_FILE)
        until_s = time.monotonic() + watchdog_care.SILENCE_S + 3
        eventually(lambda: time.monotonic() > until_s)
        assert json.loads(appliance.get("/health"))["status"] == "ok"
        done = dead_parts(stopped)
        assert done is not None
        assert done["dead"] == ["watchdog"]
    finally:
        for process, limit in limits.items():
            process.rlimit(psutil.RLIMIT_FSIZE, limit)
        assert "started" in stopped.supervisorctl("start", "watchdog").stdout
    eventually(lambda: run_ttsctl(appliance, "live").returncode == ExitCode.OK)
    eventually(lambda: run_ttsctl(stopped, "live").returncode == ExitCode.OK)
    assert pids(appliance)["watchdog"] == watchdog.pid
    said = {line["event"] for line in appliance.lines[seen:] + stopped.lines[seen_stopped:]}
    assert not said & {"watchdog_hung", "supervisord_refused"}


def test_supervisord_when_it_hangs_then_live_names_it_and_nobody_is_killed(appliance: Appliance) -> None:
    before, seen = pids(appliance), len(appliance.lines)
    supervisord = appliance.supervisord()
    supervisord.suspend()
    hung_s = time.monotonic()
    try:
        # A busy machine may make others late for a moment, too.
        eventually(lambda: (dead_parts(appliance) or {}).get("dead") == ["supervisord"], SEEN_WITHIN_S)
        seen_s = time.monotonic() - hung_s
        # The control: who only asks the gateway sees nothing.
        assert json.loads(appliance.get("/health/live"))["status"] == "ok"
    finally:
        supervisord.resume()
    eventually(lambda: run_ttsctl(appliance, "live").returncode == ExitCode.OK)
    print(f"supervisord: hang seen after {seen_s:.1f} s")
    appliance.wait_for("supervisord_silent", after=seen, program="watchdog")
    assert pids(appliance) == before
    assert not [line for line in appliance.lines[seen:] if line["event"] in {"watchdog_hung", "program_hung"}]


def dead_parts(appliance: Appliance) -> dict[str, object] | None:
    done = run_ttsctl(appliance, "live", "--json")
    return dict(json.loads(done.stdout)) if done.returncode == ExitCode.FAILED else None


def test_engines_when_none_gets_ready_then_the_appliance_ends_with_an_error(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory(
        TONE_FAIL_WARM_UP="true", WATCHDOG_NO_ENGINE_S=NO_ENGINE_S, VOICES_DEFAULT="tone-low"
    )
    appliance.wait_for("gateway_ready")
    refused = speak(appliance, "Is anybody there?")
    assert (refused.status, refused.code) == (503, "no_workers")
    with pytest.raises(urllib.error.HTTPError, match="503"):
        appliance.get("/health/tts")
    assert metric(appliance, "tts_process_ready", program="worker") == 0
    appliance.wait_for("verdict", program="watchdog", reason="no_engine_ready")
    assert appliance.wait() == EXIT_FATAL
    assert read_json(appliance.run_dir / VERDICT_FILE) == {"reason": "no_engine_ready"}
    assert any(line["event"] == "appliance_gave_up" for line in appliance.lines)
    appliance.assert_nothing_left()
    with closing(Appliance(appliance.base)) as next_one:  # its cause is gone
        next_one.wait_until_ready()
        eventually(lambda: speak(next_one, "Well again.").status == 200)
        assert next_one.stop() == EXIT_OK
