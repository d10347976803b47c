"""The vits engine: chunks, marks, speakers, odd texts, broken voices."""

import itertools
import json
import shutil
from array import array
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

for package in ("numpy", "onnxruntime", "onnx"):
    pytest.importorskip(package, reason="the extras neural and coqui aren't installed")

import numpy as np
import numpy.typing as npt
import onnxruntime

from appliance.engine_settings import VitsSettings
from appliance.engines.vits.engine import VitsEngine
from appliance.engines.vits.noise import Noise
from appliance.errors import EngineFailedError, SynthesisError, UnspeakableTextError, UtteranceTooLongError
from appliance.speech import MAX_UTTERANCE_PCM_BYTES, PcmChunk, Randomness, WordMark
from appliance.voice_store import MANIFEST_FILE, VoiceStore
from tests.parts.utterances import audio_s, utterance, whole_pcm
from tests.parts.vits_voice import HOP, LETTERS, put_tiny_voice

pytestmark = pytest.mark.neural

TEXT = "The quick brown fox jumps over the lazy dog, and nobody in the village says anything about it."
RATE_HZ = 16000


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("data")
    put_tiny_voice(data_dir)
    put_tiny_voice(data_dir, "many", has_speakers=True, has_languages=True)
    return data_dir


@pytest.fixture(scope="module")
def engine(data_dir: Path) -> Iterator[VitsEngine]:
    engine = made(data_dir)
    engine.warm_up()
    yield engine
    engine.close()


def made(data_dir: Path, default_voice: str = "en-us", **fields: int) -> VitsEngine:
    return VitsEngine(VitsSettings(**fields), VoiceStore(data_dir), default_voice)


def speak(engine: VitsEngine, text: str = TEXT, voice: str = "tiny/0", **fields) -> list[PcmChunk]:
    chunks = list(engine.synthesize(utterance(text, voice, "vits", **fields)))
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert {chunk.sample_rate_hz for chunk in chunks} == {RATE_HZ}
    assert all(len(chunk.pcm) % 2 == 0 for chunk in chunks)
    assert all(chunk.pcm for chunk in chunks[:-1])
    return chunks


def peak(chunks: list[PcmChunk]) -> int:
    return max(abs(sample) for sample in array("h", whole_pcm(chunks)))


def test_warm_up_when_done_then_every_speaker_and_language_is_a_voice(engine) -> None:
    assert engine.version
    assert engine.variants() == ()
    names = [voice.id for voice in engine.voices()]
    assert names[:2] == ["many", "many-de"]
    assert len(names) == len(set(names)) == 2 * (1 + 3) + 1
    for voice in engine.voices():
        assert speak(engine, "a word", voice.engine_voice)


def test_warm_up_when_there_is_a_default_voice_then_that_one_is_loaded(data_dir) -> None:
    for default, loaded in (("tiny", "tiny"), ("many-s1-de", "many"), ("en-us", "many")):
        engine = made(data_dir, default)
        engine.warm_up()
        assert list(engine._loaded._loaded) == [loaded]


def test_warm_up_when_nothing_was_imported_then_there_is_no_voice(tmp_path) -> None:
    engine = made(tmp_path)
    engine.warm_up()
    assert engine.voices() == []


def test_synthesize_when_early_sound_is_wanted_then_a_small_window_first_and_each_needs_a_grant(
    engine,
) -> None:
    chunks = speak(engine)
    sizes = [len(chunk.pcm) // (2 * HOP) for chunk in chunks]
    assert sizes[:4] == [24, 38, 61, 98]
    assert [chunk.ends_window for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert len(speak(engine, wants_early_sound=False)[0].pcm) == 96 * 2 * HOP


@pytest.mark.parametrize(
    ("waited_s", "sizes"), [(0.02, [24, 38, 61, 98, 153]), (0.05, [48, 76, 96]), (0.61, [24, 38, 61, 96])]
)
def test_synthesize_when_others_compute_too_then_the_first_window_is_longer_and_the_largest_smaller(
    engine, waited_s, sizes
) -> None:
    chunks = speak(engine, TEXT * 3, waited_s=waited_s)
    assert [len(chunk.pcm) // (2 * HOP) for chunk in chunks[: len(sizes)]] == sizes
    assert whole_pcm(chunks) == whole_pcm(speak(engine, TEXT * 3))


def test_synthesize_when_repeated_then_the_same_audio_whatever_the_windows(data_dir, engine) -> None:
    once = whole_pcm(speak(engine))
    assert whole_pcm(speak(engine)) == once
    other = made(data_dir, first_window_frames=10, max_window_frames=20)
    differences = [
        abs(a - b) for a, b in zip(array("h", once), array("h", whole_pcm(speak(other))), strict=True)
    ]
    assert max(differences) <= 1


def test_synthesize_when_stopped_between_windows_then_the_next_is_as_ever(engine) -> None:
    chunks = engine.synthesize(utterance(TEXT, "tiny/0", "vits"))
    first = next(chunks)
    chunks.close()
    assert speak(engine)[0] == first


def test_synthesize_when_louder_or_silent_then_so_and_never_beyond_full_scale(engine) -> None:
    usual = peak(speak(engine))
    assert 1000 < usual <= 32767
    assert peak(speak(engine, volume=0.5)) == pytest.approx(usual / 2, abs=1)
    assert peak(speak(engine, volume=2.0)) == min(2 * usual, 32767) or peak(speak(engine, volume=2.0)) > usual
    assert peak(speak(engine, volume=0.0)) == 0


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.5, 2.0])
def test_synthesize_when_faster_then_as_much_shorter(engine, speed) -> None:
    assert audio_s(speak(engine, speed=speed)) == pytest.approx(audio_s(speak(engine)) / speed, rel=0.01)


@pytest.mark.parametrize("pitch", [0.5, 0.9, 1.3, 2.0])
def test_synthesize_when_at_another_pitch_then_as_long(engine, pitch) -> None:
    chunks = speak(engine, pitch=pitch, wants_word_marks=True)
    usual = speak(engine, wants_word_marks=True)
    assert audio_s(chunks) == pytest.approx(audio_s(usual), rel=0.01)
    assert marked(chunks)[-1].time_s == pytest.approx(marked(usual)[-1].time_s, rel=0.15)
    assert peak(chunks) > 500


def marked(chunks: list[PcmChunk]) -> list[WordMark]:
    return [mark for chunk in chunks for mark in chunk.word_marks]


def test_word_marks_when_wanted_then_every_word_with_the_chunk_it_begins_in(engine) -> None:
    chunks = speak(engine, wants_word_marks=True)
    marks = marked(chunks)
    assert [TEXT[mark.start_char : mark.end_char] for mark in marks] == TEXT.replace(",", "").rstrip(
        "."
    ).split()
    assert all(before.time_s < after.time_s for before, after in itertools.pairwise(marks))
    end_s = 0.0
    for chunk in chunks:
        end_s += chunk.audio_s
        assert all(mark.time_s < end_s for mark in chunk.word_marks)
    assert not marked(speak(engine))


def token_begins_s(data_dir: Path, text: str, seed: int) -> list[float]:
    """When each token of a text begins in the tiny voice, blanks among them, and when the last one ends.

    By the text graph alone: how long each token sounds, at normal speed, is e to the power of what it says.
    """
    ids: npt.NDArray[np.int64] = np.zeros((1, 2 * len(text) + 1), np.int64)  # 0 is the blank
    ids[0, 1::2] = [LETTERS.index(letter) for letter in text]
    graph = onnxruntime.InferenceSession(VoiceStore(data_dir).path("tiny") / "text.onnx")
    noise = Noise(seed).durations(ids.size)
    (logw,) = graph.run(["logw"], {"ids": ids, "noise": noise})
    ends = np.cumsum(np.ceil(np.exp(logw[0, 0])))
    return [0.0, *(float(end) * HOP / RATE_HZ for end in ends)]


def test_word_marks_when_compared_with_the_sound_then_each_word_begins_with_its_first_token(
    data_dir, engine
) -> None:
    text, seed = "nobody in the village says anything about it, and seven owls watch.", 5
    begins_s = token_begins_s(data_dir, text, seed)
    chunks = speak(engine, text, randomness=Randomness(seed), wants_word_marks=True)
    marks = marked(chunks)
    frame_s = HOP / RATE_HZ
    assert audio_s(chunks) == pytest.approx(begins_s[-1], abs=1 / RATE_HZ)
    assert [mark.time_s for mark in marks] == pytest.approx(
        [begins_s[2 * mark.start_char + 1] for mark in marks], abs=frame_s
    )
    assert all(before.time_s < after.time_s for before, after in itertools.pairwise(marks))
    rest_s = begins_s[-1] - begins_s[2 * marks[-1].start_char + 1]  # the last word and the stop behind it
    assert audio_s(chunks) - marks[-1].time_s == pytest.approx(rest_s, abs=frame_s)


def test_ssml_when_it_breaks_then_silence_and_marks_count_in_the_document(engine) -> None:
    text = '<speak>One <break time="250ms"/><sub alias="two">2</sub> three</speak>'
    chunks = speak(engine, text, is_ssml=True, wants_word_marks=True)
    silent = [chunk for chunk in chunks if not any(chunk.pcm)]
    assert [len(chunk.pcm) for chunk in silent] == [2 * RATE_HZ // 4]
    assert not silent[0].ends_window
    marks = marked(chunks)
    assert [text[mark.start_char : mark.end_char] for mark in marks] == ["One", "2", "three"]
    assert marks[1].time_s > marks[0].time_s + 0.25


def test_ssml_when_it_ends_with_a_break_then_the_silence_is_last(engine) -> None:
    text = '<speak><break time="100ms"/>One<break time="200ms"/></speak>'
    chunks = speak(engine, text, is_ssml=True)
    assert [any(chunk.pcm) for chunk in chunks] == [False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "!",
        "a!",
        "1",
        "a" * 300,
        "x" * 299 + ".",
        "ab " * 100,
        "?!?!",
        "\U0001f600a",
        "e\u0301",
        "日本 a",
    ],
)
def test_synthesize_when_the_text_is_odd_then_it_is_spoken(engine, text) -> None:
    assert audio_s(speak(engine, text)) > 0


@pytest.mark.parametrize("text", ["", " ", "日本語", "\0", "\ud800", "\U0001f600"])
def test_synthesize_when_the_voice_knows_nothing_of_it_then_says_so(engine, text) -> None:
    with pytest.raises(UnspeakableTextError):
        speak(engine, text)


def test_synthesize_when_it_is_more_than_the_voice_takes_at_once_then_says_so(engine) -> None:
    with pytest.raises(UtteranceTooLongError, match="tokens"):
        speak(engine, "9 " * 150 * 3)


def in_parts(count: int, text: str) -> str:
    """A document whose parts a voice speaks one by one."""
    pause = '<break time="10ms"/>'
    return f"<speak>{pause.join([text] * count)}</speak>"


def test_ssml_when_there_is_no_room_even_at_the_highest_speed_then_says_so_before_any_sound(engine) -> None:
    least = MAX_UTTERANCE_PCM_BYTES // (2 * HOP)
    text = in_parts(least // 900 + 1, "a" * 900)
    with pytest.raises(UtteranceTooLongError):
        next(engine.synthesize(utterance(text, "tiny/0", "vits", is_ssml=True)))


@pytest.mark.parametrize("pitch", [1.0, 1.3])
def test_ssml_when_its_first_parts_would_take_all_the_room_then_the_last_is_heard_too(engine, pitch) -> None:
    text = in_parts(4, "ab " * 290)
    chunks = speak(
        engine, text, is_ssml=True, wants_word_marks=True, speed=0.5, pitch=pitch, wants_early_sound=False
    )
    marks = marked(chunks)
    assert len(whole_pcm(chunks)) <= MAX_UTTERANCE_PCM_BYTES
    assert len(marks) == 4 * 290
    assert marks[-1].time_s < audio_s(chunks)
    assert marks[-1].time_s > marks[-290].time_s


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=40),
    st.booleans(),
    st.sampled_from([0.25, 1.0, 4.0]),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_synthesize_when_the_text_is_anything_then_audio_or_an_error_that_says_so(
    engine, text, is_ssml, speed, pitch
) -> None:
    try:
        chunks = speak(engine, text, is_ssml=is_ssml, speed=speed, pitch=pitch, wants_word_marks=True)
    except UnspeakableTextError:
        return
    assert 0 < len(whole_pcm(chunks)) <= MAX_UTTERANCE_PCM_BYTES


@pytest.mark.parametrize("voice", ["tiny/1", "tiny/0/de", "many/9", "many/0/fr", "nobody/0", "..", "tiny"])
def test_synthesize_when_voice_speaker_or_language_are_unknown_then_an_error_of_the_engine(
    engine, voice
) -> None:
    with pytest.raises(EngineFailedError):
        speak(engine, voice=voice)


def test_voices_when_they_take_more_than_may_be_then_the_one_unused_for_longest_goes(tmp_path) -> None:
    for name in ("a", "b", "c"):
        put_tiny_voice(tmp_path, name)
    manifest = VoiceStore(tmp_path).read("a")
    engine = made(tmp_path, memory_bytes=2 * manifest.size_bytes)
    for names, held in (("ab", "ab"), ("a", "ba"), ("c", "ac"), ("b", "cb")):
        for name in names:
            speak(engine, "word", f"{name}/0")
        assert list(engine._loaded._loaded) == list(held)
    tight = made(tmp_path, memory_bytes=0)
    assert whole_pcm(speak(tight, "word", "a/0")) == whole_pcm(speak(engine, "word", "a/0"))
    assert list(tight._loaded._loaded) == ["a"]


def test_voices_when_another_is_loaded_then_it_has_room_before_and_a_damaged_one_takes_none(tmp_path) -> None:
    store = VoiceStore(tmp_path)
    for name in ("a", "b", "damaged", "unfit"):
        put_tiny_voice(tmp_path, name)
    damaged = store.path("damaged") / "flow.weights"
    damaged.write_bytes(damaged.read_bytes()[:-3] + b"...")
    unfit = store.path("unfit") / MANIFEST_FILE  # whole, and its text can't be prepared once there is room
    values = json.loads(unfit.read_bytes())
    unfit.write_text(
        json.dumps({**values, "front_end": {**values["front_end"], "cleaner": "nobodys"}}), "utf-8"
    )
    engine = made(tmp_path, memory_bytes=2 * store.read("a").size_bytes)
    for name, held in (("a", "a"), ("b", "ab"), ("damaged", "ab"), ("unfit", "b")):
        with nullcontext() if name in {"a", "b"} else pytest.raises(EngineFailedError):
            speak(engine, "word", f"{name}/0")
        assert list(engine._loaded._loaded) == list(held)


def test_voice_when_it_is_imported_anew_or_removed_then_the_next_utterance_knows(tmp_path) -> None:
    put_tiny_voice(tmp_path)
    engine = made(tmp_path)
    one = whole_pcm(speak(engine, voice="tiny/0"))
    put_tiny_voice(tmp_path, has_speakers=True)
    assert whole_pcm(speak(engine, voice="tiny/0")) != one
    VoiceStore(tmp_path).remove("tiny")
    with pytest.raises(EngineFailedError):
        speak(engine, voice="tiny/0")
    assert not engine._loaded._loaded


@pytest.mark.parametrize("name", ["flow.weights", "decoder.onnx", MANIFEST_FILE])
def test_voice_when_broken_then_only_it_fails_and_the_engine_gets_warm_with_another(tmp_path, name) -> None:
    for voice in ("a", "b"):
        put_tiny_voice(tmp_path, voice)
    path = VoiceStore(tmp_path).path("a") / name
    path.write_bytes(path.read_bytes()[:-3] + b"...")
    engine = made(tmp_path, "a")
    engine.warm_up()
    with pytest.raises(SynthesisError):
        speak(engine, voice="a/0")
    assert speak(engine, voice="b/0")
    shutil.rmtree(VoiceStore(tmp_path).path("b"))
    if name == MANIFEST_FILE:  # then there is no voice at all
        made(tmp_path).warm_up()
        return
    with pytest.raises(EngineFailedError, match="no imported voice"):
        made(tmp_path).warm_up()


@pytest.mark.parametrize(
    "front_end",
    [
        {"cleaner": "nobodys_cleaners"},
        {"bos": "\u2042", "use_eos_bos": True},
        {"phonemizer": "espeak"},
        {"phonemizer": "espeak", "phoneme_language": "tlh"},
        {"phonemizer": "multi_phonemizer", "phonemizers": {"ja": "ja_jp_phonemizer"}},
    ],
)
def test_voice_when_its_texts_cannot_be_prepared_then_only_it_fails_and_the_engine_gets_warm_with_another(
    tmp_path, front_end
) -> None:
    for voice in ("a", "b"):
        put_tiny_voice(tmp_path, voice)
    path = VoiceStore(tmp_path).path("a") / MANIFEST_FILE
    values = json.loads(path.read_bytes())
    path.write_text(json.dumps({**values, "front_end": {**values["front_end"], **front_end}}), "utf-8")
    engine = made(tmp_path, "a")
    engine.warm_up()
    with pytest.raises(EngineFailedError, match="can't be spoken with"):
        speak(engine, voice="a/0")
    assert speak(engine, voice="b/0")
