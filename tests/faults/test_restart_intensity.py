"""A program ends again and again: below supervisord's `startsecs`, just above it, until its cause is gone."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.lifecycle import VERDICT_FILE
from processes.watchdog import intensity
from processes.watchdog.intensity import MAX_EARLY_DEATHS
from tests.parts.appliance import Appliance, eventually, free_port
from tests.parts.ttsctl import run_ttsctl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

HOLDS = 3
"""Back-offs to wait for; with 8 the test takes three minutes and sees the longest one."""
CLOCK_S = 0.1
"""Between the end of a back-off's clock and its line's time. That `hold_s` keeps to rows W11 and W12
of the fault matrix, five starts a minute, is for tests/unit/test_watchdog.py, which has ten minutes."""
NO_ENGINE_S = 15
"""Longer than a start takes on a busy machine."""
WORKER = "worker-tone-1"
EXITS = {"never ready": "exit code 70", "just above startsecs": "exit code 3"}
"""How the worker of each appliance that fails ends."""


def speak(appliance: Appliance, voice: str) -> int:
    """Have something spoken; return the status."""
    request = urllib.request.Request(
        f"{appliance.base_url}/v1/audio/speech",
        json.dumps({"input": "Still here.", "voice": voice, "response_format": "wav"}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert len(answer.read()) > 1000
        return int(answer.status)


def metrics(appliance: Appliance) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(appliance.exporter_url + "/metrics", timeout=30) as response:
        families = text_string_to_metric_families(response.read().decode())
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def problems(appliance: Appliance) -> list[str]:
    return list(json.loads(run_ttsctl(appliance, "status", "--json").stdout)["problems"])


def times(appliance: Appliance, *, after: datetime, **wanted: str) -> list[float]:
    """Seconds from a moment at which lines like this were written."""
    found = [line for line in appliance.lines if wanted.items() <= line.items()]
    seconds = [(datetime.fromisoformat(line["ts"]) - after).total_seconds() for line in found]
    return [each for each in seconds if each > 0]


@pytest.fixture(scope="module")
def failing(appliance_factory: Callable[..., Appliance]) -> dict[str, Appliance]:
    """Appliances that start at the same time, since each takes its time to fail."""
    return {
        "never ready": appliance_factory(
            WORKERS_ESPEAK=1, TONE_FAIL_WARM_UP="true", WATCHDOG_NO_ENGINE_S=NO_ENGINE_S
        ),
        "just above startsecs": appliance_factory(WORKERS_ESPEAK=1, TONE_LIFE_S=3.5),
    }


def undisturbed_yet(appliance: Appliance) -> Appliance:
    """Wait until what an operator does can't reach the back-offs that another test counts."""
    appliance.wait_until_ready()
    appliance.wait_for("program_held", name=WORKER, hold_s=intensity.hold_s(HOLDS))
    return appliance


@pytest.mark.parametrize("fault", EXITS)
def test_worker_when_it_ends_again_and_again_then_it_is_held_and_the_others_speak(
    failing: dict[str, Appliance], fault: str
) -> None:
    appliance = failing[fault]
    appliance.wait_until_ready()
    ready_s = time.monotonic()
    held: list[dict[str, Any]] = []
    for holds in range(1, HOLDS + 1):
        held.append(appliance.wait_for("program_held", name=WORKER, hold_s=intensity.hold_s(holds)))
        assert speak(appliance, "en-us") == 200
    assert appliance.wait_for("program_degraded", name=WORKER)["level"] == "ERROR"
    assert held[0]["early_deaths"] in {MAX_EARLY_DEATHS - 1, MAX_EARLY_DEATHS}  # FATAL comes after four
    # It is well for the moments in which the failing one lives.
    eventually(lambda: json.loads(appliance.get("/health"))["status"] == "degraded")
    ended = f"{WORKER} ends again and again ({EXITS[fault]})"
    assert any(each.startswith(ended) for each in problems(appliance))
    assert appliance.programs()[WORKER]["last_exit"] == EXITS[fault]
    seen = metrics(appliance)
    assert seen["tts_process_degraded", "worker"] == 1
    assert seen["tts_process_degraded", "gateway"] == 0
    begun = datetime.fromisoformat(held[0]["ts"])
    tries = times(appliance, after=begun, event="program_tried_again", name=WORKER)
    waits = [0, *times(appliance, after=begun, event="program_held", name=WORKER)]
    for line, held_s, tried_s in zip(held, waits, tries, strict=False):
        assert line["left_s"] <= line["hold_s"]  # on a busy machine it is told late
        assert tried_s - held_s >= line["left_s"] - CLOCK_S
    assert len(tries) >= HOLDS - 1
    print(f"{fault}: tried again {tries} s after the first back-off began")
    assert appliance.programs()["worker-espeak-1"]["restarts"] == 0
    # One engine of two is enough: that the other has never been ready ends nothing.
    eventually(lambda: time.monotonic() - ready_s > NO_ENGINE_S)
    assert (
        appliance.programs()["gateway"]["engines_ready"] >= 1
    )  # the failing one may have a moment of its own
    assert appliance.process.poll() is None
    assert not (appliance.run_dir / VERDICT_FILE).exists()


def test_rolling_restart_when_a_worker_cannot_start_then_it_says_why_as_soon_as_that_is_known(
    failing: dict[str, Appliance],
) -> None:
    appliance = undisturbed_yet(failing["never ready"])
    ended = run_ttsctl(appliance, "restart", "--rolling", "tone", "--wait-s", "250")
    assert ended.returncode == 1
    # Perhaps it gave up before its state was told for the first time.
    assert all(line.startswith(f"{WORKER} isn't back yet: it is ") for line in ended.stdout.splitlines())
    assert f"{WORKER} can't start: it is " in ended.stderr
    assert "its last exit was exit code 70; no other was touched" in ended.stderr
    assert f"ttsctl logs --worker {WORKER}" in ended.stderr


def test_worker_when_an_operator_removes_a_held_one_then_nothing_starts_it(
    failing: dict[str, Appliance],
) -> None:
    appliance = undisturbed_yet(failing["never ready"])
    # The next back-off is long enough to be met.
    appliance.wait_for("program_held", after=len(appliance.lines), name=WORKER)
    # The control: supervisord has stopped it already, and tells nobody that it was asked to again.
    assert "not running" in appliance.supervisorctl("stop", WORKER).stdout
    assert appliance.programs()[WORKER]["held_until_s"] is not None
    assert "removed process group" in appliance.supervisorctl("remove", WORKER).stdout
    eventually(lambda: WORKER not in appliance.programs())
    assert not any(WORKER in each for each in problems(appliance))
    assert speak(appliance, "en-us") == 200
    seen = len(appliance.lines)
    assert "added process group" in appliance.supervisorctl("add", WORKER).stdout
    appliance.wait_for("program_held", after=seen, name=WORKER)  # its cause isn't gone


def test_program_when_the_cause_of_its_failing_is_gone_then_it_recovers(
    appliance_factory: Callable[..., Appliance],
) -> None:
    port = free_port()
    appliance = appliance_factory(WATCHDOG_EARLY_S=4, EXPORTER_PORT=port)
    appliance.wait_for("launcher_started")
    with socket.create_server(("127.0.0.1", port)):  # in the way of the exporter's own
        appliance.wait_until_ready()
        appliance.wait_for("program_held", name="exporter")
        assert appliance.programs()["exporter"]["degraded"]
        assert appliance.process.poll() is None
        assert speak(appliance, "tone-low") == 200
    appliance.wait_for("program_recovered", name="exporter")
    eventually(lambda: not appliance.programs()["exporter"]["degraded"])
    assert metrics(appliance)["tts_process_degraded", "exporter"] == 0
    assert problems(appliance) == []


def test_worker_when_an_operator_restarts_it_often_then_it_is_not_held(
    appliance_factory: Callable[..., Appliance],
) -> None:
    appliance = appliance_factory()
    appliance.wait_until_ready()
    for _ in range(MAX_EARLY_DEATHS + 1):
        assert f"{WORKER}: started" in appliance.supervisorctl("restart", WORKER).stdout
    eventually(lambda: appliance.programs()[WORKER]["state"] == "RUNNING")
    assert not appliance.programs()[WORKER]["degraded"]
    assert appliance.programs()[WORKER]["early_deaths"] == 0
    assert speak(appliance, "tone-low") == 200
