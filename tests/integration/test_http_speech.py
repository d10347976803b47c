"""POST /v1/audio/speech: what clients get, and what they are told."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import openai
import pytest
from aiohttp import ClientPayloadError, ClientSession

from tests.parts.appliance import Appliance
from tests.parts.audio import heard_s
from tests.parts.dispatch_rig import wanted_pcm

SPEECH = "/v1/audio/speech"
SENTENCE = "The appliance speaks at once, on any machine, and without a download."
MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
FADED_BYTES = 2 * 22050 // 100
"""The first and last 10 ms of an utterance are faded, so they differ from what the engine made."""


async def speak(http: ClientSession, status: int = 200, **fields: Any) -> bytes:
    async with http.post(
        SPEECH, json={"model": "tts-1", "input": SENTENCE, "voice": "alloy", **fields}
    ) as answer:
        assert answer.status == status, await answer.text()
        return await answer.read()


async def refused(http: ClientSession, **fields: Any) -> dict[str, Any]:
    """Ask for what can't be had; return the error, whose shape is checked."""
    async with http.post(SPEECH, json={"model": "tts-1", "voice": "alloy", **fields}) as answer:
        body = await answer.json()
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert answer.headers["X-Request-ID"]
        return {"status": answer.status, **body["error"]}


@pytest.mark.parametrize("audio_format", MEDIA_TYPES)
@pytest.mark.parametrize("text", [SENTENCE, f"{SENTENCE} " * 12])
async def test_speech_when_asked_in_any_format_then_it_decodes_to_the_same_duration(
    http: ClientSession, audio_format: str, text: str
) -> None:
    reference_s = heard_s("wav", await speak(http, input=text, response_format="wav"))
    async with http.post(
        SPEECH, json={"input": text, "voice": "alloy", "response_format": audio_format}
    ) as answer:
        assert answer.content_type == MEDIA_TYPES[audio_format]
        audio_s = heard_s(audio_format, await answer.read())
    assert audio_s == pytest.approx(reference_s, rel=0.01, abs=0.15)
    assert reference_s > 3


async def test_speech_when_no_format_is_named_then_it_is_mp3_without_tags(http: ClientSession) -> None:
    one = await speak(http)
    assert not one.startswith(b"ID3")
    assert b"Xing" not in one
    assert b"Info" not in one
    two = await speak(http)
    both = heard_s("mp3", one + two)
    assert both == pytest.approx(heard_s("mp3", one) + heard_s("mp3", two), abs=0.1)


async def test_speech_when_one_short_wav_then_its_sizes_are_exact(http: ClientSession) -> None:
    async with http.post(
        SPEECH, json={"input": "Short.", "voice": "alloy", "response_format": "wav"}
    ) as answer:
        data = await answer.read()
        assert int(answer.headers["Content-Length"]) == len(data)
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    assert int.from_bytes(data[40:44], "little") == len(data) - 44


async def test_speech_when_a_long_wav_then_it_is_streamed_without_sizes(http: ClientSession) -> None:
    data = await speak(http, input=f"{SENTENCE} " * 10, response_format="wav")
    assert data[4:8] == data[40:44] == b"\xff\xff\xff\xff"


async def test_speech_when_sent_as_events_then_deltas_make_the_audio_and_usage_comes_last(
    http: ClientSession,
) -> None:
    raw = await speak(http, stream_format="sse")
    events = [json.loads(line.removeprefix("data: ")) for line in raw.decode().split("\n\n") if line]
    *deltas, done = events
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    audio = b"".join(base64.b64decode(event["audio"]) for event in deltas)
    assert heard_s("mp3", audio) > 3
    usage = done["usage"]
    assert done["type"] == "speech.audio.done"
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


async def test_speech_when_the_openai_package_asks_then_it_streams_audio_and_events(
    speaking: Appliance,
) -> None:
    client = openai.AsyncOpenAI(base_url=f"{speaking.base_url}/v1", api_key="none", max_retries=0)
    async with (
        client,
        client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="nova", input=SENTENCE
        ) as answer,
    ):
        audio = b"".join([chunk async for chunk in answer.iter_bytes()])
    assert heard_s("mp3", audio) > 3
    client = openai.AsyncOpenAI(base_url=f"{speaking.base_url}/v1", api_key="none", max_retries=0)
    async with (
        client,
        client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="coral", input=SENTENCE, stream_format="sse"
        ) as answer,
    ):
        lines = [line async for line in answer.iter_lines() if line]
    assert json.loads(lines[-1].removeprefix("data: "))["type"] == "speech.audio.done"


async def test_speech_when_64_ask_and_half_hang_up_then_every_other_answer_is_whole_and_its_own(
    http: ClientSession,
) -> None:
    async def ask(number: int) -> bytes | None:
        text = f"Caller number {number} gets exactly this sentence back."
        fields: dict[str, Any] = {"input": text, "voice": "tone-low", "response_format": "wav"}
        if number % 2:
            return await speak(http, **fields)
        async with http.post(SPEECH, json={**fields, "response_format": "mp3"}) as answer:
            await answer.content.read(1)
            answer.close()
        return None

    answers = await asyncio.gather(*(ask(number) for number in range(64)))
    for number, data in enumerate(answers):
        if data is not None:
            pcm = wanted_pcm(f"Caller number {number} gets exactly this sentence back.")
            inner = slice(FADED_BYTES, len(pcm) - FADED_BYTES)
            assert data[44:][inner] == pcm[inner]
            assert len(data) - 44 == len(pcm)


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
async def test_speech_when_speed_is_asked_then_the_duration_follows_even_past_the_engines_limits(
    http: ClientSession, speed: float
) -> None:
    text = "A sentence of some length that is spoken faster or slower. " * 3
    normal = heard_s("wav", await speak(http, input=text, response_format="wav"))
    asked = heard_s("wav", await speak(http, input=text, response_format="wav", speed=speed))
    assert asked == pytest.approx(normal / speed, rel=0.2)


async def test_speech_when_the_engine_draws_no_lots_then_a_seed_and_noise_scales_change_nothing(
    http: ClientSession,
) -> None:
    asked: dict[str, Any] = {"seed": 2**53 - 1, "noise_scale": 0.3, "noise_scale_w": 1}
    plain, tones = [
        await speak(http, input="Nothing is random.", voice="tone-low", response_format="pcm", **fields)
        for fields in ({}, asked)
    ]
    assert tones == plain
    assert heard_s("mp3", await speak(http, input="Nothing is random.", voice="en-us", **asked)) > 0.5


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({}, 400, "invalid_value", "input"),
        ({"input": ""}, 400, "nothing_to_speak", "input"),
        ({"input": 5}, 400, "invalid_value", "input"),
        ({"input": ["a"]}, 400, "invalid_value", "input"),
        ({"input": "x", "speed": 0.1}, 400, "invalid_value", "speed"),
        ({"input": "x", "speed": "fast"}, 400, "invalid_value", "speed"),
        ({"input": "x", "seed": -1}, 400, "invalid_value", "seed"),
        ({"input": "x", "seed": 2**53}, 400, "invalid_value", "seed"),
        ({"input": "x", "seed": "5", "stream_format": "sse"}, 400, "invalid_value", "seed"),
        ({"input": "x", "noise_scale": 1.01}, 400, "invalid_value", "noise_scale"),
        ({"input": "x", "noise_scale_w": True}, 400, "invalid_value", "noise_scale_w"),
        ({"input": "x", "response_format": "ogg"}, 400, "unsupported_format", "response_format"),
        ({"input": "x", "stream_format": "ws"}, 400, "invalid_value", "stream_format"),
        ({"input": "x", "voice": "nobody"}, 404, "voice_not_found", "voice"),
        ({"input": "x", "voice": "en-us+nobody"}, 404, "voice_not_found", "voice"),
        ({"input": "x", "voice": {"name": "y"}}, 400, "invalid_value", "voice"),
        ({"input": "x", "model": "gpt-9"}, 404, "model_not_found", "model"),
        ({"input": "x" * 20_001}, 413, "text_too_long", "input"),
        ({"input": "<speak>open"}, 400, "invalid_value", "input"),
        (
            {"input": '<!DOCTYPE a [<!ENTITY b "c">]><speak>&b;</speak>', "input_type": "ssml"},
            400,
            None,
            "input",
        ),
    ],
)
async def test_speech_when_a_field_is_wrong_then_the_error_names_it(
    http: ClientSession, fields: dict[str, Any], status: int, code: str | None, param: str
) -> None:
    error = await refused(http, **fields)
    assert (error["status"], error["param"]) == (status, param)
    assert code is None or error["code"] == code
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "I",
        "7",
        "%",
        "🎉",
        "hello\x00world",
        "a\ud800b",
        "a" + "\u0301" * 10_000,
        "שלום",
        "你好。",
        "سلام",
        "ไทย",
        "A.B.C.D." * 300,
    ],
)
async def test_speech_when_the_text_is_odd_but_speakable_then_it_is_spoken(
    http: ClientSession, text: str
) -> None:
    assert heard_s("mp3", await speak(http, input=text)) > 0.05


@pytest.mark.parametrize(
    "text", ["", " \n\t", "...", "***", "\x00", "\ud800", "\u0301" * 50, "---\n***", "\u200d"]
)
async def test_speech_when_there_is_nothing_to_speak_then_it_says_so(http: ClientSession, text: str) -> None:
    error = await refused(http, input=text)
    assert (error["status"], error["code"]) == (400, "nothing_to_speak")


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b'{"input":"a","input":"b"}', "application/json", 400),
        (b'{"input":"a","speed":NaN}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"input":"a"}', "text/plain", 415),
        (b"input=a", "application/x-www-form-urlencoded", 415),
        (b'{"input":"' + b"a" * 1_000_000 + b'"}', "application/json", 413),
    ],
)
async def test_speech_when_the_body_is_not_right_then_it_is_refused(
    http: ClientSession, body: bytes, media_type: str, status: int
) -> None:
    async with http.post(SPEECH, data=body, headers={"Content-Type": media_type}) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["message"]


async def test_speech_when_the_worker_dies_in_mid_stream_then_the_transfer_is_broken_off(
    http: ClientSession, speaking: Appliance
) -> None:
    text = "This one is heard at first and then its worker dies, __EXIT_2__ and nobody can finish it."
    seen = len(speaking.lines)
    fields = {"input": text, "voice": "tone-low", "response_format": "pcm", "normalize": False}
    async with http.post(SPEECH, json=fields) as answer:
        assert answer.status == 200
        with pytest.raises(ClientPayloadError):
            await answer.read()
    own = answer.headers["X-Request-ID"]
    line = await asyncio.to_thread(speaking.wait_for, "request_finished", after=seen, request_id=own)
    assert (line["outcome"], line["ended_by"]) == ("failed", "worker_lost")
    assert "heard at first" not in json.dumps(speaking.lines)
    await asyncio.to_thread(speaking.wait_for, "worker_joined", after=seen, engine="tone")


async def test_speech_when_the_engine_fails_then_the_status_is_honest(http: ClientSession) -> None:
    error = await refused(http, input="Please __FAIL_0__ now.", voice="tone-low", normalize=False)
    assert (error["status"], error["code"], error["type"]) == (500, "engine_failed", "server_error")


async def test_speech_when_ssml_is_sent_then_mark_up_is_not_read_out(http: ClientSession) -> None:
    plain = heard_s("wav", await speak(http, input="One two three.", response_format="wav"))
    ssml = '<speak>One <break time="1s"/> two <emphasis>three</emphasis>.</speak>'
    with_break = heard_s("wav", await speak(http, input=ssml, response_format="wav"))
    assert plain + 0.5 < with_break < plain + 2.5
