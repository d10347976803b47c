"""Word times in server-sent events, and captions beside the audio of a GET."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest
from aiohttp import ClientSession

from appliance.speech import AudioFormat
from tests.parts.audio import RATE_HZ, decode
from tests.parts.onsets import distance_s, onsets_s

SPEECH = "/v1/audio/speech"
CAPTIONS = "/v1/audio/captions"
TEXT = "At 10:45 it was 21,5 °C 😀. See https://example.com/a – and **go** on!"
WORDS = TEXT.replace("**", "").split()
LONG = "The appliance speaks at once, on any machine, and without a download. " * 180


async def events_of(http: ClientSession, **fields: Any) -> list[dict[str, Any]]:
    body = {"input": TEXT, "voice": "en-us", "stream_format": "sse", **fields}
    async with http.post(SPEECH, json=body) as answer:
        assert answer.status == 200, await answer.text()
        raw = await answer.text()
    return [json.loads(line.removeprefix("data: ")) for line in raw.split("\n\n") if line]


def words_in(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [word for event in events if event["type"] == "speech.audio.words" for word in event["words"]]


def audio_in(events: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(event.get("audio", "")) for event in events)


async def captions(http: ClientSession, kind: str = "json", **params: Any) -> Any:
    params = {"text": TEXT, "voice": "en-us", **params}
    async with http.get(f"{CAPTIONS}.{kind}", params=params) as answer:
        assert answer.status == 200, await answer.text()
        body = await answer.text("utf-8")
        return json.loads(body) if kind == "json" else body


def caption_words(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [word for cue in found["cues"] for word in cue["words"]]


async def test_events_when_times_are_wanted_then_each_word_as_written_after_its_first_audio(
    http: ClientSession,
) -> None:
    events = await events_of(http, timestamps="word")
    assert (events[0]["type"], events[-1]["type"]) == ("speech.audio.delta", "speech.audio.done")
    words = words_in(events)
    assert [word["word"] for word in words] == WORDS
    for word, after in itertools.pairwise(words):
        assert word["start"] <= word["end"] <= after["start"]
    assert [TEXT[word["start_char"] : word["end_char"]] for word in words] == WORDS
    audio_s = len(decode(AudioFormat.MP3, audio_in(events))) / 2 / RATE_HZ
    assert audio_s - 0.5 < words[-1]["end"] <= audio_s


async def test_events_when_times_are_not_wanted_then_there_are_none(http: ClientSession) -> None:
    assert {event["type"] for event in await events_of(http)} == {"speech.audio.delta", "speech.audio.done"}


@pytest.mark.parametrize(
    "fields",
    [{"timestamps": "word"}, {"timestamps": "sentence", "stream_format": "sse"}, {"timestamps": True}],
)
async def test_speech_when_times_cannot_be_had_then_the_field_is_named(
    http: ClientSession, fields: dict[str, Any]
) -> None:
    async with http.post(SPEECH, json={"input": TEXT, **fields}) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["param"] == "timestamps"


@pytest.mark.parametrize("audio_format", list(AudioFormat))
@pytest.mark.parametrize("speed", [0.25, 0.4])
async def test_words_when_played_then_each_begins_with_its_sound(
    http: ClientSession, audio_format: AudioFormat, speed: float
) -> None:
    # Only a space of 40 ms and more is a pause for `onsets_s`.
    text = "Every word of it has a tone. It begins and ends, with a pause behind!\n\nAnd another one of it."
    events = await events_of(
        http, input=text, voice="tone-low", response_format=audio_format, speed=speed, timestamps="word"
    )
    onsets = onsets_s(decode(audio_format, audio_in(events)), RATE_HZ)
    words = words_in(events)
    assert [word["word"] for word in words] == text.split()
    distances_s = [distance_s(word["start"], onsets) for word in words]
    assert max(distances_s) < 0.03, distances_s


async def test_words_when_their_times_are_shifted_then_the_test_above_would_fail(http: ClientSession) -> None:
    events = await events_of(http, voice="tone-low", response_format="wav", speed=0.4, timestamps="word")
    onsets = onsets_s(decode(AudioFormat.WAV, audio_in(events)), RATE_HZ)
    assert max(distance_s(word["start"] + 0.1, onsets) for word in words_in(events)) > 0.03


async def test_captions_when_audio_is_kept_then_they_are_of_the_same_synthesis(http: ClientSession) -> None:
    for order, text in [("audio first", "Sound comes first."), ("captions first", "Words come first.")]:
        addresses = [SPEECH, f"{CAPTIONS}.vtt"]
        etags = []
        for address in addresses if order == "audio first" else addresses[::-1]:
            async with http.get(address, params={"text": text, "format": "wav"}) as answer:
                assert answer.status == 200
                etags.append(answer.headers["ETag" if address == SPEECH else "X-Audio-ETag"])
        assert len(set(etags)) == 1


@pytest.mark.parametrize("audio_format", ["mp3", "flac"])
async def test_captions_when_json_then_the_words_as_written(http: ClientSession, audio_format: str) -> None:
    words = caption_words(await captions(http, format=audio_format))
    assert [word["word"] for word in words] == WORDS
    expected_s = 1105 / 22050 if audio_format == "mp3" else 0.0
    assert words[0]["start"] == pytest.approx(expected_s, abs=0.001)


@pytest.mark.parametrize(
    ("kind", "media_type", "first"),
    [("srt", "application/x-subrip", "1\n00:00:00,0"), ("vtt", "text/vtt", "WEBVTT\n\n00:00:00.0")],
)
async def test_captions_when_asked_for_in_a_format_then_it_is_that(
    http: ClientSession, kind: str, media_type: str, first: str
) -> None:
    params = {"text": TEXT, "voice": "en-us"}
    async with http.get(f"{CAPTIONS}.{kind}", params=params) as answer:
        assert (answer.content_type, answer.charset) == (media_type, "utf-8")
        body = await answer.text()
    assert body.startswith(first)
    lines = [line for line in body.splitlines() if line and "-->" not in line and not line.isdigit()]
    assert " ".join(lines).removeprefix("WEBVTT ") == " ".join(WORDS)
    async with http.head(f"{CAPTIONS}.{kind}", params=params) as head:
        assert int(head.headers["Content-Length"]) == len(body.encode())


async def test_captions_when_the_text_is_ssml_or_chinese_then_its_words(http: ClientSession) -> None:
    ssml = '<speak>One &amp; <emphasis>two</emphasis> <break time="300ms"/>three.</speak>'
    words = caption_words(await captions(http, text=ssml))
    assert [word["word"] for word in words] == ["One", "&", "two", "three."]
    found = await captions(http, text="你好\uff0c世界。", voice="cmn")
    assert [word["word"] for word in caption_words(found)] == ["你", "好\uff0c", "世", "界。"]
    assert [cue["text"] for cue in found["cues"]] == ["你好\uff0c世界。"]


async def test_captions_when_the_audio_is_too_long_to_be_kept_then_they_come_all_the_same(
    http: ClientSession,
) -> None:
    params = {"text": LONG, "voice": "en-us", "format": "wav", "speed": "0.8"}
    async with http.get(f"{CAPTIONS}.json", params=params) as answer:
        assert answer.status == 200
        assert "X-Audio-ETag" not in answer.headers
        words = caption_words(await answer.json())
    assert [word["word"] for word in words] == LONG.split()


@pytest.mark.parametrize(
    ("kind", "params", "status", "param"),
    [
        ("srt", {"text": "..."}, 400, "input"),
        ("vtt", {}, 400, "text"),
        ("json", {"text": "x", "timestamps": "word"}, 400, "timestamps"),
        ("json", {"text": "x", "voice": "nobody"}, 404, "voice"),
        ("ass", {"text": "x"}, 404, None),
    ],
)
async def test_captions_when_they_cannot_be_had_then_an_error_says_why(
    http: ClientSession, kind: str, params: dict[str, str], status: int, param: str | None
) -> None:
    async with http.get(f"{CAPTIONS}.{kind}", params=params) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["param"] == param
