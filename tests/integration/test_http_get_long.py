"""GET /v1/audio/speech where an answer proves too long to be kept, as the silence in it can't be foreseen."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientResponse, ClientSession

from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.audio import heard_s
from tests.parts.scrape import scrape

SPEECH = "/v1/audio/speech"
CACHE_BYTES = 400_000
PAUSE_S = 12.5
"""Behind a paragraph, with a pause of 5 s between sentences."""
PARAGRAPHS = 9
UNKNOWN_SIZE = b"\xff\xff\xff\xff"


@pytest.fixture(scope="module")
def appliance() -> Iterator[Appliance]:
    """An appliance with a small cache and long pauses."""
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    settings = {
        "WORKERS_ESPEAK": 1,
        "WORKERS_TONE": 2,
        "TONE_HOOKS": "true",
        "WORKERS_PROGRESS_S": 1.0,
        "WORKERS_CANCEL_S": 0.2,
        "VOICES_DEFAULT": "tone-low",
    }
    with running_appliance(base, **settings, CACHE_MEMORY_BYTES=CACHE_BYTES, TEXT_PAUSE_S=5) as appliance:
        yield appliance
    shutil.rmtree(base)


@pytest.fixture
async def http(appliance: Appliance) -> AsyncIterator[ClientSession]:
    async with ClientSession(appliance.base_url) as session:
        yield session


def long_text(name: str) -> str:
    """A text of its own that sounds for about 100 s and is expected to sound for 8."""
    return "\n\n".join([name, *("And on." for _ in range(PARAGRAPHS - 1))])


def hanging(name: str, audio_format: str) -> dict[str, str]:
    """Parameters of a text that nobody can speak to its end; with a name of its own, as it kills workers."""
    text = f"{long_text(name)}\n\nNever heard __HANG_0__ at all."
    return {"text": text, "format": audio_format, "normalize": "false"}


async def finished(appliance: Appliance, request_id: str) -> dict[str, Any]:
    """The canonical line of a request."""
    return await asyncio.to_thread(appliance.wait_for, "request_finished", request_id=request_id)


def count(appliance: Appliance, metric: str) -> float:
    """Return a metric's value now."""
    found = re.search(rf"^{metric} ([\d.e+]+)$", appliance.get("/metrics").decode(), re.MULTILINE)
    assert found, metric
    return float(found[1])


def assert_streamed(answer: ClientResponse) -> None:
    assert answer.status == 200
    assert answer.headers["Accept-Ranges"] == "none"
    assert "Content-Length" not in answer.headers
    assert "ETag" not in answer.headers


@pytest.mark.parametrize("audio_format", ["mp3", "wav", "pcm"])  # flac makes little of silence
@pytest.mark.parametrize(("voice", "speed"), [("tone-low", "1"), ("en-us", "0.3")])
async def test_get_when_it_outgrows_the_cache_then_what_there_is_and_the_rest_are_streamed(
    http: ClientSession, audio_format: str, voice: str, speed: str
) -> None:
    params = {"text": long_text("Once."), "format": audio_format, "voice": voice, "speed": speed}
    async with http.get(SPEECH, params=params) as answer:
        assert_streamed(answer)
        data = await answer.read()
    body = {"input": params["text"], "response_format": audio_format, "voice": voice, "speed": float(speed)}
    async with http.post(SPEECH, json=body) as posted:
        assert heard_s(audio_format, data) == pytest.approx(
            heard_s(audio_format, await posted.read()), abs=0.1
        )
    assert heard_s(audio_format, data) > PAUSE_S * (PARAGRAPHS - 1)
    if audio_format == "wav":
        assert data[4:8] == data[40:44] == UNKNOWN_SIZE


@pytest.mark.parametrize("audio_format", ["mp3", "wav"])
async def test_get_when_the_rest_is_yet_to_be_made_then_what_there_is_comes_already(
    http: ClientSession, appliance: Appliance, audio_format: str
) -> None:
    seen, name = len(appliance.lines), f"hangs-{audio_format}"
    params, headers = hanging(name, audio_format), {"X-Request-ID": name}
    async with http.get(SPEECH, params=params, headers=headers) as answer:
        assert_streamed(answer)
        assert len(await answer.content.readexactly(CACHE_BYTES)) == CACHE_BYTES
        with pytest.raises(ClientPayloadError):
            await answer.read()
    line = await finished(appliance, name)
    assert (line["outcome"], line["ended_by"], line["ended_in"]) == ("failed", "synthesis_timeout", "stream")
    await asyncio.to_thread(appliance.wait_for, "worker_joined", after=seen)


@pytest.mark.parametrize("audio_format", ["mp3", "wav"])
async def test_get_when_the_client_leaves_an_outgrown_answer_then_nothing_is_left_of_it(
    http: ClientSession, appliance: Appliance, audio_format: str
) -> None:
    name = f"left-{audio_format}"
    params, headers = hanging(name, audio_format), {"X-Request-ID": name}
    async with http.get(SPEECH, params=params, headers=headers) as answer:
        assert_streamed(answer)
        answer.close()
    line = await finished(appliance, name)
    assert (line["outcome"], line["ended_by"]) == ("cancelled", "client")
    await asyncio.to_thread(eventually, lambda: count(appliance, "tts_requests_in_flight") == 0)


async def test_get_when_equal_requests_outgrow_the_cache_together_then_each_is_whole(
    http: ClientSession, appliance: Appliance
) -> None:
    params = {"text": long_text("Five at once.")}

    async def get() -> float:
        async with http.get(SPEECH, params=params) as answer:
            assert_streamed(answer)
            return heard_s("mp3", await answer.read())

    before = await asyncio.to_thread(count, appliance, "tts_requests_accepted_total")
    heard = await asyncio.gather(*(get() for _ in range(5)))
    assert max(heard) - min(heard) < 0.1
    assert min(heard) > PAUSE_S * (PARAGRAPHS - 1)
    assert await asyncio.to_thread(count, appliance, "tts_requests_accepted_total") == before + 5
    await asyncio.to_thread(eventually, lambda: count(appliance, "tts_requests_in_flight") == 0)


async def test_captions_when_the_audio_outgrows_the_cache_then_they_are_of_all_of_it(
    http: ClientSession, appliance: Appliance
) -> None:
    params, headers = {"text": long_text("Words of all of it.")}, {"X-Request-ID": "captions"}
    async with http.get("/v1/audio/captions.json", params=params, headers=headers) as answer:
        assert answer.status == 200
        assert "X-Audio-ETag" not in answer.headers
        body = await answer.read()
    words = [word for cue in json.loads(body)["cues"] for word in cue["words"]]
    assert [word["word"] for word in words] == params["text"].split()
    assert words[-1]["end"] > PAUSE_S * (PARAGRAPHS - 1)
    line = await finished(appliance, "captions")
    assert (line["outcome"], line["cache"], line["bytes"]) == ("completed", "miss", len(body))


async def test_head_when_it_outgrows_the_cache_then_it_says_so_and_costs_one_synthesis(
    http: ClientSession, appliance: Appliance
) -> None:
    before = await asyncio.to_thread(count, appliance, "tts_requests_accepted_total")
    params, headers = {"text": long_text("Only asked.")}, {"X-Request-ID": "head"}
    for _ in range(3):
        async with http.head(SPEECH, params=params, headers=headers) as answer:
            assert_streamed(answer)
            assert answer.content_type == "audio/mpeg"
    line = await finished(appliance, "head")
    assert (line["outcome"], line["ended_by"]) == ("cancelled", "client")
    assert await asyncio.to_thread(count, appliance, "tts_requests_accepted_total") == before + 1


@pytest.mark.parametrize("audio_format", ["mp3", "wav", "flac"])
async def test_get_when_it_fits_the_cache_then_equal_requests_share_it_and_it_can_be_sought_in(
    http: ClientSession, appliance: Appliance, audio_format: str
) -> None:
    params = {"text": f"This {audio_format} is short.", "format": audio_format}

    async def get() -> bytes:
        async with http.get(SPEECH, params=params) as answer:
            assert answer.headers["Accept-Ranges"] == "bytes"
            return await answer.read()

    before = await asyncio.to_thread(scrape, appliance.base_url)
    (data,) = set(await asyncio.gather(*(get() for _ in range(10))))
    async with http.get(SPEECH, params=params, headers={"Range": "bytes=4-7"}) as part:
        assert part.status == 206
        assert await part.read() == data[4:8]
    after = await asyncio.to_thread(scrape, appliance.base_url)
    key = "tts_cache_requests_total", "miss"
    assert after[key] == before[key] + 1
    if audio_format == "wav":
        assert int.from_bytes(data[4:8], "little") == len(data) - 8
