"""An appliance whose workers speak an imported voice: what clients get over HTTP."""

from __future__ import annotations

import base64
import http.client
import io
import json
import urllib.error
import urllib.request
import wave
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

for package in ("numpy", "onnxruntime", "onnx"):
    pytest.importorskip(package, reason="the extras neural and coqui aren't installed")

from appliance.voice_store import VoiceStore
from processes.ttsctl.gateway_socket import ask_json
from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.vits_voice import put_tiny_voice
from tests.parts.voices_file import write_voices_file

pytestmark = [pytest.mark.neural, pytest.mark.timeout(120)]

TEXT = "Nobody in the village says anything about it. Seven wise owls watch from the old oak tree."
RATE_HZ = 16000


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    base: Path = tmp_path_factory.mktemp("a")
    put_tiny_voice(base / "data", has_speakers=True)
    with running_appliance(base, WORKERS_TONE=0, WORKERS_VITS=2, VOICES_DEFAULT="tiny") as appliance:
        yield appliance


def ask(appliance: Appliance, text: str, voice: str = "tiny", **fields: Any) -> http.client.HTTPResponse:
    body = {"input": text, "voice": voice, "response_format": "wav", **fields}
    request = urllib.request.Request(
        f"{appliance.base_url}/v1/audio/speech",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=60)
    return answer


def speak(appliance: Appliance, text: str = TEXT, voice: str = "tiny", **fields: Any) -> bytes:
    with ask(appliance, text, voice, **fields) as answer:
        return answer.read()


def test_workers_when_they_run_then_glibc_has_the_thresholds_by_which_windows_give_memory_back(
    appliance,
) -> None:
    # glibc takes the value apart where it lies, so the process's own view of it is no longer one string.
    environment = Path(f"/proc/{appliance.program('worker-vits-1').pid}/environ").read_text()
    for tunable in ("hugetlb=1", "mmap_threshold=1048576", "trim_threshold=1048576"):
        assert f"glibc.malloc.{tunable}" in environment


def test_speech_when_asked_for_twice_then_the_same_bytes_and_of_a_sensible_length(appliance) -> None:
    speak(
        appliance
    )  # by what a text costs it is finished first or streamed, and that is learned from this one
    audio = speak(appliance)
    assert audio == speak(appliance)
    # Two tokens for a character, three model frames of 4 ms each.
    assert len(TEXT) * 0.015 < len(audio) / 2 / RATE_HZ < len(TEXT) * 0.04 + 0.5


def spoken_events(appliance: Appliance, **fields: Any) -> bytes:
    """Audio that came as server-sent events: never kept."""
    lines = speak(appliance, stream_format="sse", **fields).splitlines()
    events = [json.loads(line.removeprefix(b"data: ")) for line in lines if line]
    assert events[-1]["type"] == "speech.audio.done"
    return b"".join(base64.b64decode(event["audio"]) for event in events[:-1])


def is_same_sound(one: bytes, other: bytes) -> bool:
    """Whether samples differ by their rounding at most, which depends on the windows."""
    pairs = zip(array("h", one[44:]), array("h", other[44:]), strict=False)
    return len(one) == len(other) and all(abs(a - b) <= 1 for a, b in pairs)


def test_speech_when_a_seed_is_given_then_the_same_sound_whoever_speaks_and_others_for_another(
    appliance,
) -> None:
    seeds = (0, 1, 2**53 - 1)
    heard = [spoken_events(appliance, seed=seed) for seed in seeds]
    with ThreadPoolExecutor(len(seeds)) as threads:  # so that both workers speak
        again = list(threads.map(lambda seed: spoken_events(appliance, seed=seed), seeds))
    equal = [[is_same_sound(one, other) for other in again] for one in heard]
    assert equal == [[place == other for other in range(len(seeds))] for place in range(len(seeds))]
    assert not any(is_same_sound(speak(appliance), audio) for audio in heard)


def test_speech_when_there_is_no_noise_then_the_seed_is_not_heard(appliance) -> None:
    one, other = (speak(appliance, noise_scale=0, noise_scale_w=0.0, seed=seed) for seed in (1, 2))
    assert is_same_sound(one, other)
    assert not is_same_sound(one, speak(appliance, noise_scale=0.3, noise_scale_w=0.0, seed=1))


def test_get_when_seeds_or_noise_scales_differ_then_each_answer_is_kept_as_its_own(appliance) -> None:
    def got(query: str) -> tuple[str, bytes]:
        url = f"{appliance.base_url}/v1/audio/speech?text=Each+by+itself.&format=wav{query}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.headers["X-Cache"], answer.read()

    asked = ("", "&seed=5", "&seed=6", "&seed=5&noise_scale=0.1")
    spoken = [got(query) for query in asked]
    assert [result for result, _ in spoken] == ["miss"] * len(asked)
    assert len({audio for _, audio in spoken}) == len(asked)
    assert [got(query) for query in asked] == [("hit", audio) for _, audio in spoken]


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


def test_speech_when_the_voice_knows_nothing_of_a_sentence_then_the_others_are_heard_whole(appliance) -> None:
    sentence = "Nobody in the village says anything about the old oak tree that stands behind the mill. " * 2
    strange = "日本語" * 20 + "。 "
    alone = len(speak(appliance, sentence))
    for text in (sentence + strange + sentence, strange + sentence * 2, sentence * 2 + strange):
        assert len(speak(appliance, text)) == pytest.approx(2 * alone, rel=0.2)


def test_speech_when_its_voice_was_just_removed_then_404_at_once(tmp_path: Path) -> None:
    put_tiny_voice(tmp_path / "data", "gone")
    with running_appliance(tmp_path, WORKERS_TONE=1, WORKERS_VITS=2) as appliance:
        assert speak(appliance, voice="gone")
        ask_json(appliance.run_dir, "DELETE", "/admin/voices/gone")
        seen = len(appliance.lines)
        for _ in range(2):
            with pytest.raises(urllib.error.HTTPError, match="404") as caught:
                speak(appliance, voice="gone")
            caught.value.close()
            appliance.wait_for("worker_joined", after=seen, engine="vits")


def test_speech_when_the_voice_cannot_and_has_a_fallback_then_that_speaks_at_its_own_rate(
    tmp_path: Path,
) -> None:
    put_tiny_voice(tmp_path / "data")
    voices_file = write_voices_file(tmp_path, {"*": "auto"})
    with running_appliance(
        tmp_path, WORKERS_TONE=0, WORKERS_ESPEAK=1, WORKERS_VITS=1, VOICES_FILE=voices_file
    ) as appliance:
        for text, fallback, rate_hz in (("日本語", "en-us", 22050), (TEXT, None, RATE_HZ)):
            with ask(appliance, text) as answer:
                assert answer.headers["X-Voice-Fallback"] == fallback
                with wave.open(io.BytesIO(answer.read())) as audio:
                    assert audio.getframerate() == rate_hz


def test_speech_when_the_texts_are_odd_then_all_are_spoken(appliance) -> None:
    for text in ("a", "!a", "x" * 1000, "ab " * 400, "1.", "\U0001f600 a", "e\u0301 " * 8):
        assert len(speak(appliance, text)) > 200


def test_lists_when_read_then_every_speaker_is_a_voice(appliance) -> None:
    voices = json.loads(appliance.get("/v1/audio/voices"))["voices"]
    assert {voice["id"] for voice in voices} >= {"tiny", "tiny-s0", "tiny-s1", "tiny-s2"}


def test_voice_when_it_comes_while_the_gateway_is_away_then_spoken_without_anybody_s_doing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Workers outlive the gateway: they come back to the next one with the voices that they know."""
    base: Path = tmp_path_factory.mktemp("b")
    put_tiny_voice(base / "data", "early")
    with running_appliance(base, WORKERS_TONE=0, WORKERS_VITS=1, VOICES_DEFAULT="early") as appliance:
        appliance.supervisorctl("stop", "gateway")
        put_tiny_voice(base / "data", "late")
        appliance.supervisorctl("start", "gateway")
        appliance.wait_for("worker_recycling", reason="voices")

        def is_listed() -> bool:
            voices = json.loads(appliance.get("/v1/audio/voices"))["voices"]
            return "late" in {voice["id"] for voice in voices}

        eventually(is_listed)
        assert len(speak(appliance, voice="late")) > 200


def test_get_when_the_voice_was_imported_anew_then_the_new_one_is_heard(tmp_path: Path) -> None:
    put_tiny_voice(tmp_path / "data")
    with running_appliance(tmp_path, WORKERS_TONE=0, WORKERS_VITS=1, VOICES_DEFAULT="tiny") as appliance:

        def get() -> tuple[str, bytes]:
            url = f"{appliance.base_url}/v1/audio/speech?text=Once%20more.&format=wav"
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.headers["X-Cache"], answer.read()

        result, old = get()
        assert (result, get()) == ("miss", ("hit", old))
        VoiceStore(tmp_path / "data").remove("tiny")
        put_tiny_voice(tmp_path / "data", has_speakers=True)
        eventually(lambda: "tiny-s1" in appliance.get("/v1/audio/voices?engine=vits").decode())
        result, new = get()
        assert result == "miss"
        assert new != old
