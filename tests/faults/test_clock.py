"""The wall clock steps by an hour, for every process of the appliance; nothing but dates may notice."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.lifecycle import EXIT_OK
from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, eventually
from tests.parts.inserted import STEPPED_CLOCK, inserted_code
from tests.parts.jobs import ended, job_of, submitted
from tests.parts.scrape import scrape
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(180)

HOUR_S = 3600.0
CLIENTS = 4
LONG_TEXT = "It takes its time. " * 18
"""A few chunks, each of which waits."""
LEAST_BYTES = 200_000
KILLS = {"program_hung", "worker_killed", "worker_lost", "watchdog_hung", "program_held", "clocks_restarted"}


class SteppedAppliance:
    """An appliance whose wall clock a test can step."""

    def __init__(self, appliance: Appliance, file: Path) -> None:
        self.appliance = appliance
        self.file = file
        self.offset_s = 0.0
        self.largest_s = 0.0
        """The largest step so far."""

    def step(self, offset_s: float) -> None:
        """Step the clock, and wait until the gateway's own dates show it, which takes 0.1 s."""
        self.largest_s = max(self.largest_s, abs(offset_s - self.offset_s))
        self.offset_s = offset_s
        self.file.write_text(str(offset_s))
        dated = "tts_worker_heartbeat_timestamp_seconds"
        eventually(lambda: abs(sample(self.appliance, dated) - time.time() - offset_s) < HOUR_S / 2)


def samples(appliance: Appliance) -> dict[str, float]:
    """The gateway's samples; of those with labels the last."""
    families = text_string_to_metric_families(appliance.get("/metrics").decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


def sample(appliance: Appliance, name: str) -> float:
    return samples(appliance)[name]


def start_stepped(
    appliance_factory: Callable[..., Appliance], place: Path, *, keeps: bool = False
) -> SteppedAppliance:
    with inserted_code(place, STEPPED_CLOCK.format(file=str(place / "offset"))):
        appliance = appliance_factory(
            WORKERS_TONE=2,
            VOICES_DEFAULT="tone-low",
            TONE_CHUNK_DELAY_S=0.5,
            CACHE_SPEECH=keeps,
        )
    appliance.wait_until_ready()
    appliance.wait_until_running()
    return SteppedAppliance(appliance, place / "offset")


@pytest.fixture(scope="module")
def stepped(
    appliance_factory: Callable[..., Appliance], tmp_path_factory: pytest.TempPathFactory
) -> SteppedAppliance:
    """An appliance for all tests that leave it running."""
    return start_stepped(appliance_factory, tmp_path_factory.mktemp("clock"))


def speak(appliance: Appliance, number: int) -> int:
    """Have a long text of one's own spoken and return the status; a transfer that is broken off raises."""
    request = urllib.request.Request(
        f"{appliance.base_url}/v1/audio/speech",
        json.dumps({"input": f"{LONG_TEXT}{number}", "voice": "tone-low", "response_format": "pcm"}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert len(answer.read()) > LEAST_BYTES
        return int(answer.status)


@contextmanager
def speaking_clients(appliance: Appliance) -> Iterator[list[int]]:
    """Clients whose requests are taken in before the block begins, and answered at its end."""
    answers: list[int] = []

    def ask(number: int) -> None:
        answers.append(speak(appliance, number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: sample(appliance, "tts_requests_in_flight") == CLIENTS)
        yield answers
    finally:
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("offset_s", [HOUR_S, -HOUR_S, 0.0])
def test_clock_when_it_steps_then_nothing_is_killed_and_no_duration_is_wrong(
    stepped: SteppedAppliance, offset_s: float
) -> None:
    appliance = stepped.appliance
    before, seen = appliance.programs(), len(appliance.lines)
    with speaking_clients(appliance) as answers:
        stepped.step(offset_s)
        assert sample(appliance, "tts_requests_in_flight") > 0
    assert answers == [200] * CLIENTS
    lines = [line for line in appliance.lines[seen:] if line["event"] == "request_finished"]
    durations = [line[name] for line in lines for name in line if name.endswith("_s")]
    assert all(0 <= each < HOUR_S / 2 for each in durations)
    assert all(value >= 0 for value in samples(appliance).values())
    after = appliance.programs()
    assert {name: program["pid"] for name, program in after.items()} == {
        name: program["pid"] for name, program in before.items()
    }
    assert not KILLS & {line["event"] for line in appliance.lines[seen:]}
    assert json.loads(appliance.get("/health"))["status"] == "ok"
    assert run_ttsctl(appliance, "live").returncode == ExitCode.OK
    told = scrape(appliance.exporter_url)["tts_clock_step_seconds",]
    assert abs(told) == pytest.approx(stepped.largest_s, abs=1)


def test_clock_when_it_jumps_ahead_by_weeks_then_ended_jobs_stay_also_with_the_next_gateway(
    appliance_factory: Callable[..., Appliance], tmp_path: Path
) -> None:
    stepped = start_stepped(appliance_factory, tmp_path)
    appliance = stepped.appliance
    job_id = submitted(appliance, "One sentence.")
    assert ended(appliance, job_id)["state"] == "completed"
    stepped.step(1_000 * HOUR_S)
    appliance.wait_for("retention_waits")
    seen = len(appliance.lines)
    appliance.program("gateway").send_signal(signal.SIGKILL)
    appliance.wait_for("retention_waits", after=seen)
    appliance.wait_for("gateway_ready", after=seen)
    for _ in range(2):  # the second begins with a look at the jobs after the one that clears up
        ended(appliance, submitted(appliance, "Another sentence."))
    assert job_of(appliance, job_id)["state"] == "completed"
    with urllib.request.urlopen(f"{appliance.base_url}/v1/jobs/{job_id}/audio", timeout=30) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("keeps", [False, True])
def test_stop_when_the_clock_steps_meanwhile_then_running_requests_finish(
    appliance_factory: Callable[..., Appliance], tmp_path: Path, keeps: bool
) -> None:
    stepped = start_stepped(appliance_factory, tmp_path, keeps=keeps)
    appliance = stepped.appliance
    with speaking_clients(appliance) as answers:
        seen = len(appliance.lines)
        appliance.send_signal(signal.SIGTERM)
        appliance.wait_for("gateway_draining", after=seen)
        stepped.file.write_text(str(3 * HOUR_S))  # no probe would show it now
    assert answers == [200] * CLIENTS
    assert appliance.wait() == EXIT_OK
    messages = [str(line.get("message")) for line in appliance.lines[seen:]]
    assert [message for message in messages if message.startswith("killing ")] == []
    appliance.assert_nothing_left()
