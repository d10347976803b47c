"""What health says when something is wrong that no worker is to blame for."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from aiohttp import ClientSession, TCPConnector

from appliance.lifecycle import EXIT_CONFIG
from loadtests.open_loop import client_address
from processes.gateway.openapi import description
from tests.parts.appliance import Appliance, eventually, run_launcher, running_appliance

HEALTH = "/health"
READY = "/health/ready"
TTS = "/health/tts"
SLOW_S = 30


@contextmanager
def short_lived(**settings: Any) -> Iterator[Appliance]:
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    with running_appliance(base, **settings) as appliance:
        yield appliance
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Appliance]:
    """An appliance whose default voice and aliases are misspelt."""
    voices = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp")) / "voices.toml"
    voices.write_text(
        "[aliases]\nnova = 'tone-hihg'\nalloy = 'tone-low'\nonyx = 'tone-low+f9'\n[models]\n'tts-1' = ''\n"
    )
    with short_lived(VOICES_DEFAULT="tone-lwo", VOICES_FILE=voices) as appliance:
        appliance.wait_for("probe_changed", engine="tone")
        yield appliance
    shutil.rmtree(voices.parent)


@pytest.fixture(scope="module")
def appliance() -> Iterator[Appliance]:
    """An appliance whose one worker takes long, and whose newcomers hardly wait."""
    settings = {"TONE_DELAY_S": SLOW_S, "VOICES_DEFAULT": "tone-low", "DISPATCH_FIRST_AUDIO_LIMIT_S": 0.001}
    with short_lived(**settings, WORKERS_PROGRESS_S=2 * SLOW_S) as appliance:
        yield appliance


async def asked(appliance: Appliance, path: str) -> tuple[int, dict[str, Any]]:
    async with ClientSession(appliance.base_url) as http, http.get(path) as answer:
        return answer.status, await answer.json()


async def test_default_voice_when_misspelt_then_health_is_degraded_and_nothing_is_ready(
    guarded: Appliance,
) -> None:
    status, body = await asked(guarded, HEALTH)
    assert (status, body["status"], body["worker"]) == (200, "degraded", {"ready": 1, "total": 1})
    assert await asked(guarded, READY) == (503, {"status": "degraded"})
    async with (
        ClientSession(guarded.base_url) as http,
        http.post("/v1/audio/speech", json={"input": "Hello."}) as answer,
    ):
        assert answer.status == 404


async def test_default_voice_when_misspelt_then_tts_health_is_red_with_a_cause_as_described(
    guarded: Appliance,
) -> None:
    status, body = await asked(guarded, TTS)
    assert (status, body["status"], body["audio_ok"], body["cause"]) == (
        503,
        "down",
        False,
        "voice_not_found",
    )
    assert body["engines"]["tone"]["audio_ok"]
    operation = schemathesis.openapi.from_dict(description())[TTS]["GET"]
    answer = await asyncio.to_thread(operation.Case().call, base_url=guarded.base_url)
    assert operation.is_valid_response(answer)
    assert answer.status_code == 503


def test_names_when_they_point_nowhere_then_each_has_one_line_in_the_log(guarded: Appliance) -> None:
    line = guarded.wait_for("default_voice_missing")
    assert (line["level"], line["setting"], line["voice"]) == ("ERROR", "voices.default", "tone-lwo")
    guarded.wait_for("alias_points_nowhere", alias="onyx")
    probed = len(guarded.lines)
    guarded.program("worker-tone-1").kill()
    guarded.wait_for("worker_joined", after=probed)
    eventually(lambda: b'"ready":1' in guarded.get(HEALTH))
    told = [line for line in guarded.lines if line["event"] == "alias_points_nowhere"]
    assert [(line["level"], line["alias"], line["voice"]) for line in told] == [
        ("WARNING", "nova", "tone-hihg"),
        ("WARNING", "onyx", "tone-low+f9"),
    ]
    assert sum(line["event"] == "default_voice_missing" for line in guarded.lines) == 1


@pytest.mark.timeout(120)
async def test_ready_when_newcomers_would_wait_too_long_then_red_while_health_stays_green(
    appliance: Appliance,
) -> None:
    async def ask_again_and_again(number: int) -> None:
        connector = TCPConnector(local_addr=(client_address(number), 0))
        async with ClientSession(appliance.base_url, connector=connector) as http:
            while True:
                async with http.post("/v1/audio/speech", json={"input": "Newcomers wait. " * 10}) as answer:
                    await answer.read()

    waiting = [asyncio.create_task(ask_again_and_again(number)) for number in range(12)]
    # Who waits too long is refused and comes back: in between nobody waits, for a moment.
    await asyncio.to_thread(eventually, lambda: b'"overloaded"' in appliance.get(HEALTH))
    async with asyncio.timeout(60):
        while await asked(appliance, READY) != (503, {"status": "overloaded"}):
            assert (await asked(appliance, HEALTH))[0] == 200
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.to_thread(eventually, lambda: b'"overloaded"' not in appliance.get(HEALTH))


def test_start_when_silence_is_shorter_than_two_heartbeats_then_exit_78_in_one_line(run_dir: Path) -> None:
    result = run_launcher(run_dir, "--check-config", WORKERS_HEARTBEAT_S=0.5, WORKERS_SILENCE_S=0.75)
    assert result.returncode == EXIT_CONFIG
    assert result.stderr.count("\n") == 1
    for part in ("workers.silence_s", "0.75", "at least 1", "two heartbeats"):
        assert part in result.stderr
