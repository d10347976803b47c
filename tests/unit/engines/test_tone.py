"""The tone engine: the same text the same bytes, and faults exactly where they were asked for."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine_settings import ToneSettings
from appliance.engines import create_engine
from appliance.engines.base import NEXT_CHUNK_BYTES
from appliance.engines.tone import LEAK_BYTES, SAMPLE_RATE_HZ, ToneEngine, expected_pcm
from appliance.errors import ConfigurationError, EngineFailedError
from appliance.settings import Settings
from appliance.speech import FIRST_CHUNK_BYTES, MAX_UTTERANCE_CHARS, MAX_UTTERANCE_PCM_BYTES, PcmChunk
from tests.parts.utterances import SENTENCE, utterance, whole_pcm


def speak(text: str = SENTENCE, settings: ToneSettings | None = None, **fields) -> list[PcmChunk]:
    return list(ToneEngine(settings or ToneSettings()).synthesize(utterance(text, **fields)))


@given(st.text(max_size=MAX_UTTERANCE_CHARS))
def test_synthesize_when_any_text_then_expected_pcm_in_chunks(text: str) -> None:
    chunks = speak(text)
    assert whole_pcm(chunks) == expected_pcm(utterance(text))
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert len(chunks[0].pcm) <= FIRST_CHUNK_BYTES
    assert all(len(chunk.pcm) <= NEXT_CHUNK_BYTES for chunk in chunks)
    assert all(len(chunk.pcm) % 2 == 0 for chunk in chunks)


def test_expected_pcm_when_anything_differs_then_other_bytes() -> None:
    spoken = {
        expected_pcm(utterance("one two")),
        expected_pcm(utterance("one twp")),
        expected_pcm(utterance("one two", "high")),
        expected_pcm(utterance("one two", "middle")),
        expected_pcm(utterance("one two", speed=1.5)),
        expected_pcm(utterance("one two", pitch=1.5)),
        expected_pcm(utterance("one two", volume=0.5)),
    }
    assert len(spoken) == 7


@pytest.mark.parametrize("speed", [0.25, 0.5, 1.0, 2.0, 4.0])
def test_expected_pcm_when_speed_is_given_then_length_is_divided_by_it(speed: float) -> None:
    normal = len(expected_pcm(utterance(SENTENCE)))
    spoken = len(expected_pcm(utterance(SENTENCE, speed=speed)))
    assert spoken * speed == pytest.approx(normal, rel=0.01)


def test_expected_pcm_when_longest_text_at_lowest_speed_then_within_the_limit() -> None:
    slowest = utterance(
        "x" * MAX_UTTERANCE_CHARS, speed=min(voice.min_speed for voice in ToneEngine(ToneSettings()).voices())
    )
    assert len(expected_pcm(slowest)) <= MAX_UTTERANCE_PCM_BYTES


def test_synthesize_when_words_are_spoken_then_each_has_a_mark_at_its_characters() -> None:
    chunks = speak("one  two three", wants_word_marks=True)
    marks = [mark for chunk in chunks for mark in chunk.word_marks]
    assert [(mark.start_char, mark.end_char) for mark in marks] == [(0, 3), (5, 8), (9, 14)]
    character_s = len(whole_pcm(chunks)) / 2 / SAMPLE_RATE_HZ / 14
    assert [mark.time_s for mark in marks] == pytest.approx([0, 5 * character_s, 9 * character_s])


def test_synthesize_when_words_begin_in_a_chunk_then_their_marks_come_with_it() -> None:
    position_bytes = 0
    for chunk in speak(wants_word_marks=True):
        for mark in chunk.word_marks:
            assert position_bytes <= 2 * round(mark.time_s * SAMPLE_RATE_HZ) < position_bytes + len(chunk.pcm)
        position_bytes += len(chunk.pcm)


def test_synthesize_when_no_early_sound_is_wanted_then_the_same_pcm_in_large_chunks() -> None:
    chunks = speak(wants_early_sound=False)
    assert whole_pcm(chunks) == whole_pcm(speak())
    assert {len(chunk.pcm) for chunk in chunks[:-1]} == {NEXT_CHUNK_BYTES}


def test_synthesize_when_no_marks_are_wanted_then_none_come() -> None:
    assert not any(chunk.word_marks for chunk in speak())


def test_synthesize_when_ssml_then_tags_are_silent_and_offsets_stay() -> None:
    chunks = speak("<s>hi</s>", is_ssml=True, wants_word_marks=True)
    assert whole_pcm(chunks) == expected_pcm(utterance("   hi    "))
    assert [(m.start_char, m.end_char) for chunk in chunks for m in chunk.word_marks] == [(3, 5)]


def test_synthesize_when_voice_is_unknown_then_engine_failed() -> None:
    with pytest.raises(EngineFailedError, match="no such voice"):
        speak(voice="sideways")


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_synthesize_when_told_to_fail_after_chunks_then_fails_there(chunks: int) -> None:
    spoken = ToneEngine(ToneSettings(fail_after_chunks=chunks)).synthesize(utterance(SENTENCE))
    assert len(list(itertools.islice(spoken, chunks))) == chunks
    with pytest.raises(EngineFailedError, match="asked to fail"):
        next(spoken)


@pytest.mark.parametrize(("hook", "chunks"), [("__FAIL__", 0), ("__FAIL_2__", 2)])
def test_synthesize_when_the_text_asks_and_hooks_are_on_then_fails(hook: str, chunks: int) -> None:
    spoken = ToneEngine(ToneSettings(hooks=True)).synthesize(utterance(SENTENCE + hook))
    assert len(list(itertools.islice(spoken, chunks))) == chunks
    with pytest.raises(EngineFailedError):
        next(spoken)


def test_synthesize_when_the_text_asks_and_hooks_are_off_then_speaks_it() -> None:
    assert whole_pcm(speak("__FAIL__")) == expected_pcm(utterance("__FAIL__"))


def test_synthesize_when_windows_have_a_size_then_all_but_the_last_chunk_end_them() -> None:
    chunks = speak(SENTENCE, ToneSettings(window_chunks=2))
    assert [chunk.ends_window for chunk in chunks] == [False, True, False, False]
    assert chunks[-1].is_last


def test_synthesize_when_told_to_leak_then_holds_it_until_closed() -> None:
    engine = ToneEngine(ToneSettings(leak_bytes=1000))
    for _ in range(3):
        list(engine.synthesize(utterance("x")))
    assert sum(map(len, engine._leaked)) == 3000
    engine.close()
    assert engine._leaked == []


@pytest.mark.parametrize(("hooks", "leaked_bytes"), [(True, LEAK_BYTES), (False, 0)])
def test_synthesize_when_the_text_asks_for_a_leak_then_only_with_hooks(
    hooks: bool, leaked_bytes: int
) -> None:
    engine = ToneEngine(ToneSettings(hooks=hooks))
    list(engine.synthesize(utterance("Please __LEAK__ now.")))
    assert sum(map(len, engine._leaked)) == leaked_bytes


def test_create_engine_when_name_is_unknown_then_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match=r"'loud'.*espeak, tone"):
        create_engine("loud", Settings())


def test_create_engine_when_tone_then_takes_its_settings() -> None:
    engine = create_engine("tone", Settings(tone=ToneSettings(fail_after_chunks=0)))
    with pytest.raises(EngineFailedError):
        list(engine.synthesize(utterance("x")))
