"""One synthesis that several requests hear, and what is spoken ahead: who counts for what, what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector

from processes.ttsctl.gateway_socket import ask_json
from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.scrape import scrape
from tests.parts.speaking import HOOKED, busy_worker, exits, wait_until_whole

pytestmark = pytest.mark.timeout(120)
SPEECH = "/v1/audio/speech"
KEEPING: dict[str, Any] = {**HOOKED, "CACHE_SPEECH": "true"}
LONG = "This sentence is spoken slowly, so that others come while it is being made. " * 12


def fields(text: str) -> dict[str, Any]:
    return {"input": text, "voice": "tone-low", "response_format": "mp3"}


def other_client(appliance: Appliance) -> ClientSession:
    """A client of another address."""
    return ClientSession(appliance.base_url, connector=TCPConnector(local_addr=("127.0.0.2", 0)))


def audio_s(appliance: Appliance) -> float:
    """Seconds of audio that were made for requests so far."""
    return scrape(appliance.base_url)[("tts_audio_seconds_total",)]


def heard_with_another(appliance: Appliance) -> float:
    """How many requests hear, or have heard, what is spoken for another one."""
    return scrape(appliance.base_url)["tts_cache_requests_total", "shared"]


async def begun(base: Path, **settings: Any) -> Appliance:
    """An appliance that is ready; to be closed."""
    appliance = await asyncio.to_thread(lambda: Appliance(base, **KEEPING, **settings))
    await asyncio.to_thread(appliance.wait_until_ready)
    return appliance


async def test_synthesis_when_the_one_who_had_it_begun_leaves_then_its_work_is_the_others_and_counted_once(
    run_dir: Path,
) -> None:
    starting = begun(run_dir, TONE_CHUNK_DELAY_S=0.05, LOG_LEDGER_FILE="ledger.jsonl")
    with contextlib.closing(await starting) as appliance:
        spoken_s = await asyncio.to_thread(audio_s, appliance)
        async with ClientSession(appliance.base_url) as session:
            leaver = await session.post(SPEECH, json=fields(LONG))
            await leaver.content.readany()
            stayer = await session.post(SPEECH, json=fields(LONG))
            await stayer.content.readany()
            leaver.close()
            await stayer.read()
        made, heard = [
            await asyncio.to_thread(appliance.wait_for, "request_finished", cache=cache)
            for cache in ("miss", "shared")
        ]
        assert (made["outcome"], made["utterances"], made["audio_s"]) == ("cancelled", 0, 0)
        assert (heard["outcome"], heard["utterances"]) == ("completed", LONG.count("."))
        assert heard["worker"]
        assert heard["synthesis_s"] > 0
        assert await asyncio.to_thread(audio_s, appliance) - spoken_s == pytest.approx(heard["audio_s"])
        ledger = (appliance.base / "data" / "ledger.jsonl").read_text("utf-8").splitlines()
        rows = {row["request_id"]: row["orders"] for row in map(json.loads, ledger)}
        assert (rows[made["request_id"]], rows[heard["request_id"]]) == (0, LONG.count("."))


@pytest.mark.parametrize(("sound", "text"), [("mp3", LONG), ("wav", "In one part.")])
async def test_synthesis_when_it_is_heard_whole_then_the_seconds_of_its_encoding_are_counted(
    run_dir: Path, sound: str, text: str
) -> None:
    stage = "tts_request_duration_seconds_sum", "encode"
    with contextlib.closing(await begun(run_dir)) as appliance:
        before_s = (await asyncio.to_thread(scrape, appliance.base_url)).get(stage, 0.0)
        asked = fields(text) | {"response_format": sound}
        async with (
            ClientSession(appliance.base_url) as session,
            session.post(SPEECH, json=asked) as answer,
        ):
            assert answer.headers["X-Cache"] == "miss"
            await answer.read()
        assert (await asyncio.to_thread(scrape, appliance.base_url))[stage] > before_s


async def test_synthesis_when_others_hear_it_then_each_counts_for_its_own_client(run_dir: Path) -> None:
    """Nobody hears anything of it, so all wait for their first sound."""
    text = fields("Nobody hears it. __HANG__")
    starting = begun(run_dir, WORKERS_PROGRESS_S=60, DISPATCH_CLIENT_BACKLOG=1)
    with contextlib.closing(await starting) as appliance:
        async with ClientSession(appliance.base_url) as one, other_client(appliance) as other:
            making = asyncio.create_task(one.post(SPEECH, json=text))
            await asyncio.to_thread(busy_worker, appliance)
            hearing = asyncio.create_task(other.post(SPEECH, json=text))
            await asyncio.to_thread(eventually, lambda: heard_with_another(appliance) == 1)
            for session in (one, other):
                async with session.post(SPEECH, json=text) as refused:
                    assert (refused.status, (await refused.json())["error"]["code"]) == (429, "queue_full")
            for task in (making, hearing):
                task.cancel()
            await asyncio.gather(making, hearing, return_exceptions=True)


def test_warming_when_a_text_kills_its_workers_then_it_costs_two_however_often_it_is_wanted(
    run_dir: Path,
) -> None:
    wanted = {"requests": [fields("Poison. __EXIT__")]}
    with running_appliance(run_dir, **KEEPING, WORKERS_TONE=2) as appliance:
        wait_until_whole(appliance, 2)
        reasons = []
        for _ in range(3):
            seen = len(appliance.lines)
            ask_json(appliance.run_dir, "POST", "/admin/cache/warm", wanted, statuses=(202,))
            reasons.append(appliance.wait_for("cache_warming_failed", after=seen)["reason"])
        assert reasons == ["worker_lost", "poison_request", "poison_request"]
        assert exits(appliance, "lost") == 2
