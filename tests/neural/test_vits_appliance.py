"""An appliance whose workers speak an imported voice: what clients get over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for package in ("numpy", "onnxruntime", "onnx"):
    pytest.importorskip(package, reason="the extras neural and coqui aren't installed")

from tests.parts.appliance import Appliance, running_appliance
from tests.parts.vits_voice import put_tiny_voice

pytestmark = [pytest.mark.neural, pytest.mark.timeout(120)]

TEXT = "Nobody in the village says anything about it. Seven wise owls watch from the old oak tree."
RATE_HZ = 16000


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    base: Path = tmp_path_factory.mktemp("a")
    put_tiny_voice(base / "data", has_speakers=True)
    with running_appliance(base, WORKERS_TONE=0, WORKERS_VITS=2, VOICES_DEFAULT="tiny") as appliance:
        yield appliance


def speak(appliance: Appliance, text: str = TEXT, voice: str = "tiny", **fields: Any) -> bytes:
    body = {"input": text, "voice": voice, "response_format": "wav", **fields}
    request = urllib.request.Request(
        f"{appliance.base_url}/v1/audio/speech",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        audio: bytes = answer.read()
        return audio


def test_speech_when_asked_for_twice_then_the_same_bytes_and_of_a_sensible_length(appliance) -> None:
    audio = speak(appliance)
    assert audio == speak(appliance)
    # Two tokens for a character, three model frames of 4 ms each.
    assert len(TEXT) * 0.015 < len(audio) / 2 / RATE_HZ < len(TEXT) * 0.04 + 0.5


def test_speech_when_another_speaker_is_asked_for_then_another_sound(appliance) -> None:
    assert len({speak(appliance, voice=voice) for voice in ("tiny", "tiny-s1", "tiny-s2")}) == 3


def test_speech_when_ssml_breaks_then_that_much_longer(appliance) -> None:
    text = "<speak>One {} two.</speak>"
    short, long = (speak(appliance, text.format(tag)) for tag in ("", '<break time="2s"/>'))
    assert len(long) - len(short) == pytest.approx(2 * 2 * RATE_HZ, rel=0.2)


@pytest.mark.parametrize("text", ["日本語", "лес"])
def test_speech_when_the_voice_knows_nothing_of_the_text_then_400_that_says_so(appliance, text) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        speak(appliance, text)
    with caught.value as answer:
        assert answer.code == 400
        assert json.loads(answer.read())["error"]["code"] == "unspeakable_text"


def test_speech_when_the_texts_are_odd_then_all_are_spoken(appliance) -> None:
    for text in ("a", "!a", "x" * 1000, "ab " * 400, "1.", "\U0001f600 a", "e\u0301 " * 8):
        assert len(speak(appliance, text)) > 200


def test_lists_when_read_then_every_speaker_is_a_voice(appliance) -> None:
    voices = json.loads(appliance.get("/v1/audio/voices"))["voices"]
    assert {voice["id"] for voice in voices} >= {"tiny", "tiny-s0", "tiny-s1", "tiny-s2"}
