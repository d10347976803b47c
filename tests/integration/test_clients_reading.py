"""Readers and automations: what OpenReader and n8n send, and what they read of the answer.

Sources: OpenReader's `voice-resolution.ts` and `generate.ts`; `generate.operation.ts` of n8n's OpenAI node.
What n8n's HTTP Request node needs is a URL that answers with the whole audio.
"""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from aiohttp import ClientSession

from tests.parts.appliance import Appliance
from tests.parts.audio import heard_s

TEXT = "Chapter one. It was a bright cold day in spring."
STRINGS = "/compat/strings/v1"
KEY = {"Authorization": "Bearer none", "Content-Type": "application/json"}
N8N: dict[str, Any] = {
    "model": "tts-1",
    "input": TEXT,
    "voice": "alloy",
    "response_format": "mp3",
    "speed": 1,
}


def openreader(speaking: Appliance) -> openai.AsyncOpenAI:
    """The library that OpenReader speaks with; it counts its attempts itself."""
    base_url = f"{speaking.base_url}{STRINGS}"
    return openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)


async def test_openreader_when_it_lists_then_every_voice_is_a_string_that_speaks(
    http: ClientSession, speaking: Appliance
) -> None:
    async with http.get(f"{STRINGS}/audio/voices", headers=KEY) as answer:
        assert answer.ok
        voices = (await answer.json())["voices"]
    assert voices
    assert all(isinstance(voice, str) for voice in voices)
    extra = {"language": "en"}
    async with openreader(speaking) as client:
        heard = await client.audio.speech.create(
            model="tts-1", voice="en-gb", input=TEXT, speed=1, response_format="mp3", extra_body=extra
        )
    assert "en-gb" in voices
    assert heard_s("mp3", heard.content) > 1


async def test_openreader_when_a_voice_is_unknown_then_a_status_that_it_doesnt_repeat(
    speaking: Appliance,
) -> None:
    async with openreader(speaking) as client:
        with pytest.raises(openai.NotFoundError) as refused:
            await client.audio.speech.create(model="tts-1", voice="af_heart", input=TEXT)
    assert refused.value.status_code == 404
    assert refused.value.code == "voice_not_found"


async def test_openreader_when_it_stops_while_it_reads_then_the_request_ends_as_cancelled(
    http: ClientSession, speaking: Appliance
) -> None:
    request_id = "openreader-stops"
    body = {"model": "tts-1", "voice": "tone-low", "input": f"{TEXT} " * 200}
    reading = await http.post(
        f"{STRINGS}/audio/speech", json=body, headers={**KEY, "X-Request-ID": request_id}
    )
    await reading.content.readany()
    reading.close()
    line = await asyncio.to_thread(speaking.wait_for, "request_finished", request_id=request_id)
    assert line["outcome"] == "cancelled"


@pytest.mark.parametrize(
    ("audio_format", "media_type"),
    [("mp3", "audio/mpeg"), ("opus", "audio/ogg"), ("aac", "audio/aac"), ("flac", "audio/flac")],
)
async def test_n8n_when_its_openai_node_asks_in_a_format_then_that_is_what_its_file_holds(
    http: ClientSession, audio_format: str, media_type: str
) -> None:
    body = {**N8N, "response_format": audio_format}
    async with http.post("/v1/audio/speech", json=body, headers=KEY) as answer:
        assert (answer.status, answer.content_type) == (200, media_type)
        assert heard_s(audio_format, await answer.read()) > 1


async def test_n8n_when_its_credentials_are_tested_then_the_models_are_listed(http: ClientSession) -> None:
    async with http.get("/v1/models", headers=KEY) as answer:
        assert answer.status == 200
        assert "tts-1" in [model["id"] for model in (await answer.json())["data"]]


async def test_n8n_when_its_node_is_refused_then_the_error_has_the_message_that_it_shows(
    http: ClientSession,
) -> None:
    async with http.post("/v1/audio/speech", json={**N8N, "speed": 9}, headers=KEY) as answer:
        error = (await answer.json())["error"]
        assert (answer.status, error["param"]) == (400, "speed")
        assert error["message"].startswith("speed: ")


async def test_n8n_when_its_http_node_gets_a_url_then_whole_audio_with_type_and_length(
    http: ClientSession,
) -> None:
    params = {"text": TEXT, "voice": "en-gb", "format": "mp3"}
    async with http.get("/v1/audio/speech", params=params) as answer:
        assert (answer.status, answer.content_type) == (200, "audio/mpeg")
        data = await answer.read()
        assert int(answer.headers["Content-Length"]) == len(data)
    assert heard_s("mp3", data) > 1
    async with http.head("/v1/audio/speech", params=params) as answer:
        assert int(answer.headers["Content-Length"]) == len(data)
