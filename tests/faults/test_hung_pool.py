"""Every worker of the default voice's engine stops answering, as a hang in native code would look."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loadtests.figures import Figure
from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.measured import say
from tests.parts.rounds import allowance_s

RED_WITHIN_S = 1.5
"""The bound of /health/tts: 1 s of silence and the time to look."""
RED_WHILE_BEATING_S = 2.0
"""The bound where heartbeats go on: 0.3 of the 5 s after which it is killed, and the time to look."""


@pytest.fixture(scope="module")
def appliance() -> Iterator[Appliance]:
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    with running_appliance(base, WORKERS_TONE=2, VOICES_DEFAULT="tone-low") as running:
        yield running
    shutil.rmtree(base)


def health(appliance: Appliance, path: str) -> int:
    try:
        appliance.get(path)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def speak(appliance: Appliance, text: str = "Are you there?") -> tuple[int, bytes]:
    request = urllib.request.Request(
        f"{appliance.base_url}/v1/audio/speech",
        json.dumps({"input": text, "voice": "tone-low"}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_pool_when_every_worker_is_stopped_then_health_is_red_and_it_comes_back(appliance: Appliance) -> None:
    eventually(lambda: health(appliance, "/health/tts") == 200)
    eventually(lambda: b'"ready":2' in appliance.get("/health"))
    seen = len(appliance.lines)
    for slot in (1, 2):
        appliance.program(f"worker-tone-{slot}").send_signal(signal.SIGSTOP)
    stopped_at_s = time.monotonic()

    eventually(lambda: health(appliance, "/health/tts") == 503, RED_WITHIN_S + allowance_s())
    red_after_s = time.monotonic() - stopped_at_s
    assert health(appliance, "/health/live") == 200

    for slot in (1, 2):
        worker = f"worker-tone-{slot}"
        appliance.wait_for("worker_killed", after=seen, worker=worker, cause="hung")
        appliance.wait_for("worker_joined", after=seen, worker=worker)
    assert b'tts_worker_exits_total{cause="hung"} 2.0' in appliance.get("/metrics")
    status, audio = speak(appliance)
    assert status == 200
    assert len(audio) > 1000
    eventually(lambda: health(appliance, "/health/tts") == 200)
    print(f"red after {red_after_s:.2f} s")


@pytest.mark.slow
@pytest.mark.parametrize("cores", [2, 1])
def test_pool_when_all_that_may_compute_hang_with_heartbeats_then_health_is_red_long_before_they_are_killed(
    appliance_factory: Callable[..., Appliance], cores: int
) -> None:
    appliance = appliance_factory(
        WORKERS_TONE=2,
        TONE_HOOKS="true",
        TEXT_MAKE_SPEAKABLE="false",
        VOICES_DEFAULT="tone-low",
        DISPATCH_CORES=cores,
    )
    appliance.wait_until_ready()
    eventually(lambda: b'"ready":2' in appliance.get("/health"))
    eventually(lambda: health(appliance, "/health/tts") == 200)
    seen = len(appliance.lines)
    with ThreadPoolExecutor(cores) as threads:
        begun_at_s = time.monotonic()
        texts = [f"It never ends, number {number}. __HANG__" for number in range(cores)]
        hearing = [threads.submit(speak, appliance, text) for text in texts]
        eventually(lambda: health(appliance, "/health/tts") == 503, RED_WHILE_BEATING_S + allowance_s())
        red_after_s = time.monotonic() - begun_at_s
        assert not [line for line in appliance.lines[seen:] if line["event"] == "worker_killed"]
        assert health(appliance, "/health") == 503
        assert health(appliance, "/health/ready") == 503
        assert health(appliance, "/health/live") == 200
        answers = [each.result() for each in hearing]
    name = f"all that may compute ({cores}) hung with heartbeats, health red after"
    say("W5", Figure(name, red_after_s, "s", most=RED_WHILE_BEATING_S))
    assert [status for status, _ in answers] == [504] * cores
    eventually(lambda: health(appliance, "/health/tts") == 200)
    eventually(lambda: b'"ready":2' in appliance.get("/health"))
    assert speak(appliance)[0] == 200
