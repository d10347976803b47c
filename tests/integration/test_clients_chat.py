"""Chat programs: what Open WebUI, LibreChat and SillyTavern send, and what they read of the answer.

Sources: Open WebUI's `routers/audio.py`, LibreChat's `TTSService.js`, SillyTavern's `openai-compatible.js`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession

from tests.parts.appliance import Appliance
from tests.parts.audio import heard_s

SPEECH = "/v1/audio/speech"
SENTENCES = [f"This is part {number} of the answer." for number in range(24)]
OPEN_WEBUI = {
    "Authorization": "Bearer ",
    "X-OpenWebUI-User-Name": "A%20User",
    "X-OpenWebUI-User-Id": "3f1c",
    "X-OpenWebUI-User-Email": "user@example.org",
    "X-OpenWebUI-User-Role": "user",
}
LIBRECHAT = {"Authorization": "Bearer none", "Accept": "application/json, text/plain, */*"}


async def mp3_of(answer: ClientResponse) -> bytes:
    """Return what a client keeps as .mp3 without a look at it."""
    assert answer.status == 200, await answer.text()
    assert answer.content_type == "audio/mpeg"
    data = await answer.read()
    assert data[0] == 0xFF
    assert data[1] & 0xE0 == 0xE0
    return data


async def error_of(answer: ClientResponse) -> tuple[int, dict[str, Any]]:
    assert answer.content_type == "application/json"
    error = (await answer.json())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status, error


async def test_open_webui_when_an_answer_is_read_in_parts_then_all_at_once_give_mp3_each(
    http: ClientSession,
) -> None:
    async def spoken(text: str) -> bytes:
        body = {"input": text, "voice": "alloy", "model": "tts-1"}
        async with http.post(SPEECH, json=body, headers=OPEN_WEBUI) as answer:
            return await mp3_of(answer)

    parts = await asyncio.gather(*map(spoken, SENTENCES))
    assert all(heard_s("mp3", part) > 0.5 for part in parts)


async def test_open_webui_when_it_lists_then_models_and_voices_have_ids_and_names(
    http: ClientSession,
) -> None:
    async with http.get("/v1/audio/models") as answer:
        models = [model["id"] for model in (await answer.json())["models"]]
    async with http.get("/v1/audio/voices") as answer:
        voices = {voice["id"]: voice["name"] for voice in (await answer.json())["voices"]}
    assert "tts-1" in models
    assert all(isinstance(name, str) and name for name in voices.values())
    listed = {"input": SENTENCES[0], "voice": "en-gb", "model": models[0]}
    assert listed["voice"] in voices
    async with http.post(SPEECH, json=listed, headers=OPEN_WEBUI) as answer:
        assert heard_s("mp3", await mp3_of(answer)) > 0.5


async def test_open_webui_when_the_operator_adds_parameters_then_known_ones_count_and_others_dont(
    http: ClientSession,
) -> None:
    async def heard(**added: Any) -> float:
        body = {"input": SENTENCES[0], "voice": "alloy", "model": "tts-1", **added}
        async with http.post(SPEECH, json=body, headers=OPEN_WEBUI) as answer:
            return heard_s("mp3", await mp3_of(answer))

    assert await heard(speed=0.5, lang_code="a", volume_multiplier=2) > 1.5 * await heard()


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"voice": "nobody"}, 404, "voice_not_found"),
        ({"model": "nothing"}, 404, "model_not_found"),
        ({"input": "  "}, 400, "nothing_to_speak"),
    ],
)
async def test_open_webui_when_refused_then_it_has_a_message_to_show(
    http: ClientSession, changed: dict[str, str], status: int, code: str
) -> None:
    body = {"input": SENTENCES[0], "voice": "alloy", "model": "tts-1", **changed}
    async with http.post(SPEECH, json=body, headers=OPEN_WEBUI) as answer:
        answered, error = await error_of(answer)
    assert (answered, error["code"]) == (status, code)
    assert isinstance(error["message"], str)
    assert error["message"]


async def test_librechat_when_a_long_text_comes_in_parts_then_the_joined_files_play_as_one(
    http: ClientSession,
) -> None:
    parts = []
    for text in (" ".join(SENTENCES), SENTENCES[0], " ".join(SENTENCES[::-1])):
        body = {"input": text, "model": "tts-1", "voice": "nova", "backend": "vits"}
        async with http.post(SPEECH, json=body, headers=LIBRECHAT) as answer:
            parts.append(await mp3_of(answer))
    joined = b"".join(parts)
    assert heard_s("mp3", joined) == pytest.approx(sum(heard_s("mp3", part) for part in parts), abs=0.2)
    assert not any(part.startswith(b"ID3") or b"Xing" in part or b"Info" in part for part in parts)


async def test_librechat_when_no_voice_is_set_up_then_the_default_voice_speaks(
    http: ClientSession, speaking: Appliance
) -> None:
    body = {"input": SENTENCES[0], "model": "tts-1"}
    async with http.post(SPEECH, json=body, headers=LIBRECHAT) as answer:
        assert heard_s("mp3", await mp3_of(answer)) > 0.5
        request_id = answer.headers["X-Request-ID"]
    line = await asyncio.to_thread(speaking.wait_for, "request_finished", request_id=request_id)
    assert line["voice"] == "en-us"


async def test_librechat_when_it_is_set_up_for_elevenlabs_then_its_settings_are_taken(
    http: ClientSession,
) -> None:
    body = {
        "model_id": "eleven_multilingual_v2",
        "text": SENTENCES[0],
        "voice_settings": {"similarity_boost": 0.5, "stability": 0.5, "style": 0, "use_speaker_boost": True},
        "pronunciation_dictionary_locators": [{"pronunciation_dictionary_id": "a", "version_id": "b"}],
    }
    headers = {"xi-api-key": "none", "Accept": "audio/mpeg"}
    async with http.post("/v1/text-to-speech/en-gb/stream", json=body, headers=headers) as answer:
        assert heard_s("mp3", await mp3_of(answer)) > 0.5


@pytest.mark.parametrize("key", ["Bearer ", "Bearer undefined"])
async def test_sillytavern_when_its_own_key_is_empty_then_mp3_all_the_same(
    http: ClientSession, key: str
) -> None:
    body = {"input": SENTENCES[0], "response_format": "mp3", "voice": "shimmer", "speed": 1, "model": "tts-1"}
    async with http.post(SPEECH, json=body, headers={"Authorization": key}) as answer:
        assert heard_s("mp3", await mp3_of(answer)) > 0.5
