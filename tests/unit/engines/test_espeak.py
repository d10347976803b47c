"""espeak-ng in this process: audio, marks, cancelling, what it refuses."""

import math
from array import array
from collections.abc import Iterator

import pytest

from appliance.engines.espeak import MAX_SPEED, MIN_SPEED, NEXT_CHUNK_BYTES, EspeakEngine, name_voices
from appliance.engines.espeak_library import LibraryVoice
from appliance.errors import EngineFailedError
from appliance.speech import FIRST_CHUNK_BYTES, PcmChunk
from appliance.voices import Gender
from tests.parts.utterances import SENTENCE, audio_s, english, whole_pcm


@pytest.fixture(scope="module")
def engine() -> Iterator[EspeakEngine]:
    engine = EspeakEngine()
    engine.warm_up()
    yield engine
    engine.close()


def loudness(chunks: list[PcmChunk]) -> float:
    samples = array("h", whole_pcm(chunks))
    return math.sqrt(sum(sample * sample for sample in samples) / max(1, len(samples)))


def speak(engine: EspeakEngine, text: str = SENTENCE, **fields) -> list[PcmChunk]:
    return list(engine.synthesize(english(text, **{"wants_word_marks": True} | fields)))


def test_warm_up_when_done_then_version_and_voices_are_known(engine) -> None:
    assert engine.version == "1.52.0"
    assert len(engine.voices()) == 138


def test_synthesize_when_a_sentence_then_chunks_grow_and_only_the_last_is_last(engine) -> None:
    chunks = speak(engine)
    assert len(chunks[0].pcm) == FIRST_CHUNK_BYTES
    assert all(len(chunk.pcm) >= NEXT_CHUNK_BYTES for chunk in chunks[1:-1])
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert not any(chunk.ends_window for chunk in chunks)
    assert {chunk.sample_rate_hz for chunk in chunks} == {22050}
    assert 7 < audio_s(chunks) < 10


def test_synthesize_when_no_early_sound_is_wanted_then_only_large_chunks(engine) -> None:
    chunks = speak(engine, wants_early_sound=False)
    assert len(chunks) > 1
    assert all(len(chunk.pcm) >= NEXT_CHUNK_BYTES for chunk in chunks[:-1])


def test_synthesize_when_no_marks_are_wanted_then_none_come(engine) -> None:
    assert not any(chunk.word_marks for chunk in speak(engine, wants_word_marks=False))


def test_synthesize_when_words_begin_in_a_chunk_then_their_marks_come_with_it(engine) -> None:
    position_s = 0.0
    for chunk in speak(engine):
        for mark in chunk.word_marks:
            assert position_s <= mark.time_s < position_s + chunk.audio_s
        position_s += chunk.audio_s


@pytest.mark.parametrize("text", ["", "...", "   "])
def test_synthesize_when_nothing_is_spoken_then_one_short_last_chunk(engine, text: str) -> None:
    (chunk,) = speak(engine, text)
    assert chunk.is_last
    assert chunk.audio_s < 0.05


def test_synthesize_when_text_is_not_ascii_then_marks_are_at_its_characters(engine) -> None:
    text = "Zażółć gęślą jaźń, 🎉 proszę państwa."
    marks = [mark for chunk in speak(engine, text, voice="zlw/pl") for mark in chunk.word_marks]
    words = ["Zażółć", "gęślą", "jaźń", "proszę", "państwa"]
    assert [text[mark.start_char : mark.end_char] for mark in marks] == words
    assert 1.5 < marks[3].time_s < 3.5


def test_synthesize_when_marks_are_given_then_times_rise_within_the_audio(engine) -> None:
    chunks = speak(engine)
    times_s = [mark.time_s for chunk in chunks for mark in chunk.word_marks]
    assert len(times_s) == len(SENTENCE.split())
    assert times_s == sorted(times_s)
    assert 0 <= times_s[0] < 0.05
    assert times_s[-1] < audio_s(chunks)


@pytest.mark.parametrize("speed", [MIN_SPEED, 0.7, 1.5, 2.0, MAX_SPEED])
def test_synthesize_when_speed_is_given_then_duration_is_divided_by_it(engine, speed: float) -> None:
    normal_s = audio_s(speak(engine))
    assert audio_s(speak(engine, speed=speed)) * speed == pytest.approx(normal_s, rel=0.08)


def test_synthesize_when_speed_is_below_the_floor_then_as_slow_as_it_goes(engine) -> None:
    slowest_s = audio_s(speak(engine, speed=MIN_SPEED))
    assert audio_s(speak(engine, speed=0.25)) == pytest.approx(slowest_s, rel=0.01)


def test_synthesize_when_volume_is_given_then_loudness_follows(engine) -> None:
    normal = loudness(speak(engine))
    assert loudness(speak(engine, volume=0.5)) == pytest.approx(normal / 2, rel=0.1)
    assert loudness(speak(engine, volume=0.0)) == 0


def test_synthesize_when_pitch_is_given_then_it_is_heard_and_not_kept(engine) -> None:
    text = "Oh no, oh no, oh no."
    normal = loudest_period(speak(engine, text))
    assert loudest_period(speak(engine, text, pitch=2.0)) < 0.8 * normal
    assert loudest_period(speak(engine, text)) == pytest.approx(normal, rel=0.1)


def loudest_period(chunks: list[PcmChunk]) -> int:
    """The pitch period in PCM frames: the lag at which the audio is most like itself."""
    samples = array("h", whole_pcm(chunks))[:8000]

    def likeness(lag: int) -> int:
        return sum(samples[index] * samples[index + lag] for index in range(0, len(samples) - 400, 3))

    return max(range(90, 400), key=likeness)


def test_synthesize_when_fields_differed_before_then_nothing_of_it_is_left(engine) -> None:
    reference_s = audio_s(speak(engine))
    speak(engine, speed=3.0, pitch=2.0, volume=0.1, voice="zlw/pl+f3")
    speak(
        engine,
        "<speak><prosody rate='x-fast'><lang xml:lang='pl'>cześć</lang></prosody></speak>",
        is_ssml=True,
    )
    again = speak(engine)
    assert audio_s(again) == pytest.approx(reference_s, rel=0.01)


def test_synthesize_when_ssml_then_markup_acts_and_is_not_spoken(engine) -> None:
    plain_s = audio_s(speak(engine, "one two"))
    paused = speak(engine, "<speak>one <break time='1s'/> two</speak>", is_ssml=True)
    assert audio_s(paused) == pytest.approx(plain_s + 1, abs=0.4)
    marks = [mark for chunk in paused for mark in chunk.word_marks]
    assert [mark.start_char for mark in marks] == [7, 30]


def test_synthesize_when_markup_is_plain_text_then_it_has_no_effect(engine) -> None:
    spoken_s = audio_s(speak(engine, "one <break time='5s'/> two"))
    assert spoken_s < 5 + audio_s(speak(engine, "one two"))


def test_synthesize_when_text_ends_then_no_pause_is_appended(engine) -> None:
    samples = array("h", whole_pcm(speak(engine, "Hello world.")))
    silent_frames = next(index for index, sample in enumerate(reversed(samples)) if abs(sample) > 40)
    assert silent_frames / 22050 < 0.02


@pytest.mark.parametrize(
    "voice", ["", "en-gb", "gmw/xx", "gmw/en-US+none", "gmw/en-US\0", "x" * 300, "../../x"]
)
def test_synthesize_when_voice_is_refused_then_fails_and_never_speaks_with_the_previous(
    engine, voice
) -> None:
    reference_s = audio_s(speak(engine))
    with pytest.raises(EngineFailedError, match="refused the voice"):
        speak(engine, voice=voice)
    assert audio_s(speak(engine)) == pytest.approx(reference_s, rel=0.01)


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_synthesize_when_text_cannot_be_handed_over_then_engine_failed(engine, text: str) -> None:
    with pytest.raises(EngineFailedError, match=r"NUL|surrogate"):
        speak(engine, text)


def test_synthesize_when_text_holds_a_command_of_the_library_then_it_has_no_effect(engine) -> None:
    plain = speak(engine, "say  300S hello there")
    commanded = speak(engine, "say \x01300S hello there")
    assert audio_s(commanded) == pytest.approx(audio_s(plain), rel=0.01)


def test_synthesize_when_audio_passes_the_limit_then_engine_failed_and_the_next_is_whole(engine) -> None:
    reference_s = audio_s(speak(engine))
    with pytest.raises(EngineFailedError, match="more audio"):
        speak(engine, "1234567 " * 60)
    assert audio_s(speak(engine)) == pytest.approx(reference_s, rel=0.01)


def test_synthesize_when_closed_in_the_middle_then_the_next_is_whole_and_its_own(engine) -> None:
    reference_s = audio_s(speak(engine))
    for _ in range(30):
        spoken = engine.synthesize(english(voice="zlw/pl"))
        next(spoken)
        spoken.close()
        whole = speak(engine)
        assert audio_s(whole) == pytest.approx(reference_s, rel=0.01)
        assert len([mark for chunk in whole for mark in chunk.word_marks]) == len(SENTENCE.split())


def test_voices_when_listed_then_ids_are_unique_tags_and_mute_ones_are_hidden(engine) -> None:
    voices = {voice.id: voice for voice in engine.voices()}
    assert len(voices) == len(engine.voices())
    assert len({voice.engine_voice for voice in voices.values()}) == len(voices)
    assert {"en-us", "en-gb", "pl", "fr-fr", "chr-us-qaaa-x-west", "yue-latn-jyutping"} <= voices.keys()
    assert not {"fo", "kaa", "xex"} & voices.keys()  # codespell:ignore fo
    assert voices["en-us"].engine_voice == "gmw/en-US"
    assert voices["en-us"].languages == ("en-us", "en")
    assert voices["en-gb-scotland"].languages[0] == "en-gb-scotland"


def test_variants_when_listed_then_with_gender_and_unique(engine) -> None:
    variants = {variant.id: variant for variant in engine.variants()}
    assert len(variants) == len(engine.variants())
    assert variants["f3"].gender is Gender.FEMALE
    assert variants["m3"].gender is Gender.MALE


def test_name_voices_when_two_have_one_language_then_the_later_is_called_by_its_file() -> None:
    listed = [
        LibraryVoice("sit/yue-Latn", "B", ("yue",), 1),
        LibraryVoice("sit/yue", "A", ("yue", "zh-YUE"), 2),
    ]
    assert [(voice.id, voice.engine_voice, voice.gender) for voice in name_voices(listed, 22050)] == [
        ("yue", "sit/yue", Gender.FEMALE),
        ("yue-latn", "sit/yue-Latn", Gender.MALE),
    ]


@pytest.mark.parametrize(
    "text", ["(-a)", "?-\u1e60", ",-z", "_-a", "Xin ch\u00e0o. (-a-b)", "\u1f49\u0323-\u0195", "?-\u0301"]
)
def test_synthesize_when_a_hyphen_would_crash_vietnamese_then_spoken(engine, text) -> None:
    assert list(engine.synthesize(english(text, "aav/vi")))[-1].is_last


@pytest.mark.parametrize("voice", ["aav/vi", "aav/vi-VN-x-central", "aav/vi-VN-x-south"])
@pytest.mark.parametrize("text", ["\u0960", "xin \u0ae0 ch\u00e0o"])
def test_synthesize_when_a_sign_would_crash_vietnamese_then_its_like_is_spoken(engine, voice, text) -> None:
    assert any(chunk.pcm for chunk in engine.synthesize(english(text, voice)))


@pytest.mark.parametrize("text", ["`", "a. `", "(`)", "'`'", "` `", "`.", "_`"])
def test_synthesize_when_a_clause_is_backticks_alone_then_silence_and_no_crash(engine, text) -> None:
    voices = {voice.id: voice.engine_voice for voice in engine.voices()}
    for language in ("vi", "en-us"):
        chunks = list(engine.synthesize(english(text, voices[language])))
        assert chunks[-1].is_last
