"""The APIs of other servers: what their clients send, and what they read."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import wave
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import ClientResponse, ClientSession

from tests.parts.appliance import Appliance
from tests.parts.audio import heard_s

TEXT = "Somebody is at the door."
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def read_wav(answer: ClientResponse) -> float:
    """Return the seconds of a whole wav, whose sizes must be exact."""
    assert answer.status == 200, await answer.text()
    assert answer.content_type == "audio/wav"
    data = await answer.read()
    assert int(answer.headers["Content-Length"]) == len(data)
    with wave.open(BytesIO(data)) as audio:
        assert audio.getnframes() * audio.getsampwidth() < len(data)
        return float(audio.getnframes() / audio.getframerate())


async def refused(answer: ClientResponse) -> tuple[int, str, str]:
    error = (await answer.json())["error"]
    return answer.status, error["code"], error["param"]


async def kept_as(http: ClientSession, answer: ClientResponse, voice: str, **fields: str) -> None:
    """Hold an answer against what our own API has kept for a voice: the same bytes, as the audio is."""
    params = {"text": TEXT, "voice": voice, "format": "wav", **fields}
    async with http.get("/v1/audio/speech", params=params) as own:
        assert own.headers["X-Cache"] == "hit"
        assert own.headers["ETag"] == answer.headers["ETag"]
        assert await own.read() == await answer.read()


SPEAK = """
import sys
from speak2mary import MaryTTS
effects = {"Rate": "durScale:2.0;", "Robot": "amount:100.0;"} if sys.argv[2] == "slow" else {}
sys.stdout.buffer.write(MaryTTS("127.0.0.1", int(sys.argv[1])).speak("Somebody is at the door.", effects))
"""
"""In a process of its own, as the library leaves its connections to the garbage collector."""


def test_marytts_when_home_assistants_library_asks_then_whole_wav(speaking: Appliance) -> None:
    def heard(pace: str) -> float:
        command = [sys.executable, "-c", SPEAK, str(speaking.port), pace]
        done = subprocess.run(command, capture_output=True, check=True)
        with wave.open(BytesIO(done.stdout)) as audio:
            return float(audio.getnframes() / audio.getframerate())

    plain_s = heard("plain")
    assert plain_s > 0.5
    assert heard("slow") > 1.5 * plain_s


@pytest.mark.parametrize(
    ("voice", "locale", "speaker"),
    [
        ("cmu-slt-hsmm", "de", "de"),
        ("cmu-slt-hsmm", "de_AT", "de"),
        ("", "en_GB", "en-gb"),
        ("nobody", "xx", "en-us"),
        ("pl", "de", "pl"),
    ],
)
async def test_marytts_when_it_knows_no_voice_of_ours_then_the_locales_speaks(
    http: ClientSession, voice: str, locale: str, speaker: str
) -> None:
    data = {
        "INPUT_TEXT": TEXT,
        "INPUT_TYPE": "TEXT",
        "OUTPUT_TYPE": "AUDIO",
        "LOCALE": locale,
        "VOICE": voice,
    }
    async with http.post("/process", data={**data, "AUDIO": "WAVE_FILE"}) as answer:
        assert await read_wav(answer) > 0.5
        await kept_as(http, answer, speaker)


async def test_marytts_when_asked_by_get_as_of_old_then_whole_wav(http: ClientSession) -> None:
    params = {"INPUT_TEXT": TEXT, "INPUT_TYPE": "TEXT", "AUDIO": "WAVE", "LOCALE": "en_US"}
    async with http.get("/process", params=params) as answer:
        assert await read_wav(answer) > 0.5


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"AUDIO": "AU_FILE"}, (400, "unsupported_format", "AUDIO")),
        ({"OUTPUT_TYPE": "PHONEMES"}, (400, "invalid_value", "OUTPUT_TYPE")),
        ({"INPUT_TYPE": "RAWMARYXML"}, (400, "invalid_value", "INPUT_TYPE")),
        ({"INPUT_TEXT": "  "}, (400, "nothing_to_speak", "INPUT_TEXT")),
        ({"INPUT_TEXT": "a" * 20_001}, (413, "text_too_long", "INPUT_TEXT")),
        (
            {"effect_Rate_selected": "on", "effect_Rate_parameters": "durScale:x"},
            (400, "invalid_value", "effect_Rate_parameters"),
        ),
    ],
)
async def test_marytts_when_a_parameter_is_wrong_then_it_is_named_as_the_client_does(
    http: ClientSession, changed: dict[str, str], expected: tuple[int, str, str]
) -> None:
    async with http.post("/process", data={"INPUT_TEXT": TEXT, **changed}) as answer:
        assert await refused(answer) == expected


async def test_marytts_when_lists_are_read_then_lines_of_words(http: ClientSession) -> None:
    async def lines(path: str) -> list[str]:
        async with http.get(path) as answer:
            assert (answer.status, answer.content_type) == (200, "text/plain")
            return (await answer.text()).splitlines()

    voices = await lines("/voices")
    assert all(len(line.split(" ")) == 4 for line in voices)
    assert any(line.startswith("en-gb en_GB ") for line in voices)
    locales = await lines("/locales")
    assert locales == sorted(set(locales))
    assert {"en_GB", "pl"} <= set(locales)
    assert await lines("/audioformats") == ["WAVE_FILE", "MP3_FILE"]
    assert "AUDIO OUTPUT" in await lines("/datatypes")
    assert (await lines("/version"))[0].startswith("Mary TTS server")


@pytest.mark.parametrize(
    ("headers", "params", "speaker"),
    [
        ({}, {"text": TEXT}, "en-us"),
        ({"text": TEXT, "speaker-id": "pl"}, {"text": "", "speaker_id": "de"}, "pl"),
        ({}, {"text": TEXT, "speaker_id": "", "language_id": "de"}, "de"),
        ({}, {"text": TEXT, "speaker_wav": "en-gb"}, "en-gb"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_coqui_when_asked_then_headers_count_before_parameters(
    http: ClientSession,
    method: str,
    headers: dict[str, str],
    params: dict[str, str],
    speaker: str,
) -> None:
    given: dict[str, Any] = {"params": params} if method == "GET" else {"data": params}
    async with http.request(method, "/api/tts", headers=headers, **given) as answer:
        assert await read_wav(answer) > 0.5
        await kept_as(http, answer, speaker)


@pytest.mark.parametrize("name", ["style_wav", "speaker_wav"])
async def test_coqui_when_a_path_is_given_then_an_absent_file_answers_as_one_that_is_there(
    http: ClientSession, name: str
) -> None:
    for path in ("/etc/passwd", "/nowhere/x.wav", "../../etc/passwd"):
        async with http.get("/api/tts", params={"text": TEXT, name: path}) as answer:
            assert await refused(answer) == (404, "voice_not_found", "speaker_id")
        async with http.get("/api/tts?text=x", headers={name.replace("_", "-"): path}) as answer:
            assert await refused(answer) == (404, "voice_not_found", "speaker_id")


@pytest.mark.parametrize("prefix", ["", "/compat/piper"])
async def test_piper_when_asked_then_whole_wav_as_slow_as_it_says(http: ClientSession, prefix: str) -> None:
    body: dict[str, Any] = {"text": TEXT, "voice": "en-gb", "speaker": "", "length_scale": 1.0}
    async with http.post(f"{prefix}/synthesize", json=body) as answer:
        plain_s = await read_wav(answer)
        await kept_as(http, answer, "en-gb")
    async with http.post(
        f"{prefix}/synthesize", json={**body, "length_scale": 2, "noise_scale": 0.3}
    ) as answer:
        assert await read_wav(answer) > 1.5 * plain_s


async def test_piper_when_asked_as_of_old_then_the_body_or_the_query_is_the_text(http: ClientSession) -> None:
    async with http.post("/compat/piper/", data=TEXT.encode(), headers=FORM) as answer:
        whole_s = await read_wav(answer)
    async with http.get("/compat/piper/", params={"text": TEXT}) as answer:
        assert await read_wav(answer) == whole_s
    async with http.post("/compat/piper/", json={"text": TEXT}) as answer:
        assert await read_wav(answer) == whole_s


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"length_scale": 0}, (400, "invalid_value", "length_scale")),
        ({"length_scale": "2"}, (400, "invalid_value", "length_scale")),
        ({"length_scale": 100}, (400, "invalid_value", "length_scale")),
        ({"noise_w_scale": 3}, (400, "invalid_value", "noise_w_scale")),
        ({"text": None}, (400, "invalid_value", "text")),
        ({"voice": "en_US-nobody"}, (404, "voice_not_found", "voice")),
        ({"voice": "en-gb", "speaker": "nobody"}, (404, "voice_not_found", "voice")),
    ],
)
async def test_piper_when_a_field_is_wrong_then_it_is_named_as_the_client_does(
    http: ClientSession, changed: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    async with http.post("/synthesize", json={"text": TEXT, **changed}) as answer:
        assert await refused(answer) == expected


async def test_piper_when_voices_are_listed_then_by_name_with_rate_and_language(http: ClientSession) -> None:
    async with http.get("/compat/piper/voices") as answer:
        voices = await answer.json()
    assert voices["en-gb"]["audio"] == {"sample_rate": 22_050}
    assert voices["en-gb"]["language"] == {"code": "en_GB", "family": "en", "region": "GB"}


async def test_xtts_when_sillytavern_asks_then_a_voice_of_its_list_speaks(http: ClientSession) -> None:
    async with http.get("/speakers") as answer:
        names = [each["name"] for each in await answer.json()]
    assert "pl" in names
    settings = {"stream_chunk_size": 100, "temperature": 0.75, "speed": 1}
    async with http.post("/set_tts_settings", json=settings) as answer:
        assert answer.status == 200
    body = {"text": TEXT, "speaker_wav": "pl", "language": "en"}
    async with http.post("/tts_to_audio/", json=body) as answer:
        assert await read_wav(answer) > 0.5
        await kept_as(http, answer, "pl")
    for path in ("/tts_stream", "/tts_stream/"):
        async with http.get(path, params=body) as answer:
            assert answer.content_type == "audio/wav"
            assert heard_s("wav", await answer.read()) > 0.5
    async with http.post("/tts_to_audio/", json={**body, "speaker_wav": "/etc/passwd"}) as answer:
        assert await refused(answer) == (404, "voice_not_found", "speaker_wav")


LISTEN = """
import sys
from elevenlabs.client import ElevenLabs
client = ElevenLabs(base_url=sys.argv[1], api_key="none")
assert "en-gb" in [voice.voice_id for voice in client.voices.get_all().voices]
for piece in client.text_to_speech.convert(voice_id="en-gb", text="Somebody is at the door."):
    sys.stdout.buffer.write(piece)
"""
"""In a process of its own, so that its models are neither imported nor warned of here."""


def test_elevenlabs_when_its_own_library_asks_then_a_voice_of_its_list_speaks(speaking: Appliance) -> None:
    command = [sys.executable, "-c", LISTEN, speaking.base_url]
    done = subprocess.run(command, capture_output=True, check=True)
    assert heard_s("mp3", done.stdout) > 0.5


@pytest.mark.parametrize(
    ("output_format", "audio_format"),
    [(None, "mp3"), ("mp3_44100_128", "mp3"), ("opus_48000_64", "opus"), ("pcm_24000", "pcm")],
)
async def test_elevenlabs_when_asked_then_audio_in_the_format_that_is_named(
    http: ClientSession, speaking: Appliance, output_format: str | None, audio_format: str
) -> None:
    body = {
        "text": TEXT,
        "model_id": "eleven_multilingual_v2",
        "voice_settings": {"stability": 0.5, "speed": 1.1},
        "seed": 4_294_967_295,
    }
    params = {} if output_format is None else {"output_format": output_format}
    for path in ("/v1/text-to-speech/en-gb", "/v1/text-to-speech/en-gb/stream"):
        async with http.post(path, json=body, params=params) as answer:
            assert answer.status == 200
            assert heard_s(audio_format, await answer.read()) > 0.5
            request_id = answer.headers["X-Request-ID"]
            line = await asyncio.to_thread(speaking.wait_for, "request_finished", request_id=request_id)
            assert (line["voice"], line["format"]) == ("en-gb", audio_format)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("nobody", {"text": TEXT}, (404, "voice_not_found", "voice_id")),
        ("en-gb?output_format=ulaw_8000", {"text": TEXT}, (400, "unsupported_format", "output_format")),
        ("en-gb?output_format=pcm_16000", {"text": TEXT}, (400, "unsupported_format", "output_format")),
        ("en-gb", {}, (400, "invalid_value", "text")),
        ("en-gb", {"text": TEXT, "voice_settings": 5}, (400, "invalid_value", "voice_settings")),
    ],
)
async def test_elevenlabs_when_something_is_wrong_then_it_is_named_as_the_client_does(
    http: ClientSession, path: str, body: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    async with http.post(f"/v1/text-to-speech/{path}", json=body) as answer:
        assert await refused(answer) == expected


async def test_elevenlabs_when_voices_are_listed_then_ids_and_names(http: ClientSession) -> None:
    for path in ("/v1/voices", "/v2/voices"):
        async with http.get(path) as answer:
            voices = (await answer.json())["voices"]
        assert {"voice_id", "name", "category", "labels"} == set(voices[0])


@pytest.mark.parametrize(
    ("method", "path", "data"),
    [
        ("GET", f"/process?{urlencode({'INPUT_TEXT': TEXT})}", None),
        ("GET", f"/api/tts?{urlencode({'text': TEXT})}", None),
        ("GET", f"/compat/piper/?{urlencode({'text': TEXT})}", None),
        ("GET", f"/tts_stream?{urlencode({'text': TEXT})}", None),
        ("POST", "/process", urlencode({"INPUT_TEXT": TEXT})),
        ("POST", "/compat/piper/", TEXT),
    ],
)
async def test_dialects_when_a_page_of_another_site_asks_then_refused(
    http: ClientSession, method: str, path: str, data: str | None
) -> None:
    page = {"Referer": "http://evil.example/page"} if method == "GET" else {"Origin": "http://evil.example"}
    async with http.request(method, path, data=data, headers={**FORM, **page}) as answer:
        assert answer.status == 403
        assert (await answer.json())["error"]["code"] == "origin_not_allowed"


async def test_form_when_it_is_broken_then_400_and_when_it_is_large_413(http: ClientSession) -> None:
    for form in ("INPUT_TEXT=%ff", "&".join(f"a{n}=b" for n in range(101))):
        async with http.post("/process", data=form, headers=FORM) as answer:
            assert answer.status == 400
    async with http.post("/process", data="a=" + "b" * 300_000, headers=FORM) as answer:
        assert answer.status == 413
    async with http.post("/process", json={"INPUT_TEXT": TEXT}) as answer:
        assert answer.status == 415
