"""Which time a written word gets from an engine's marks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.speech import SpeechRequest, TimedWord, Utterance, WordMark
from appliance.text.utterances import split_into_utterances
from appliance.voices import Voice
from appliance.word_times import WordTimes, pack_words, unpack_words


def utterance_of(text: str, language: str = "en") -> Utterance:
    voice = Voice(language, language, "espeak", language, (language,))
    (utterance,) = split_into_utterances(SpeechRequest(text, language, wants_word_times=True), voice)
    return utterance


def marks_of(utterance: Utterance, **times_s: float) -> list[WordMark]:
    """Marks for words of the spoken text."""
    text = utterance.spoken.text
    return [WordMark(text.index(word), text.index(word) + len(word), at) for word, at in times_s.items()]


def times(words: list[TimedWord]) -> list[tuple[str, float, float]]:
    return [(word.text, round(word.start_s, 3), round(word.end_s, 3)) for word in words]


def test_take_when_a_word_is_spoken_in_several_then_the_first_mark_counts() -> None:
    utterance = utterance_of("It is 😀 **now**.")
    timer = WordTimes(utterance, 10.0)
    assert times(timer.take(marks_of(utterance, It=0.0, grinning=0.4, face=0.7))) == [
        ("It", 10.0, 10.2),
        ("is", 10.2, 10.4),
    ]
    assert times(timer.take(marks_of(utterance, now=1.0))) == [("😀", 10.4, 11.0)]
    assert times(timer.finish(1.5)) == [("now.", 11.0, 11.5)]


def test_take_when_a_mark_lies_within_a_word_then_it_is_the_words() -> None:
    utterance = utterance_of("21,5 °C «so»")
    timer = WordTimes(utterance, 0.0)
    found = timer.take(marks_of(utterance, **{"21,5": 0.1, "C": 0.9, "so": 1.4})) + timer.finish(2.0)
    assert times(found) == [("21,5", 0.1, 0.9), ("°C", 0.9, 1.4), ("«so»", 1.4, 2.0)]


def test_finish_when_no_marks_came_then_words_lie_over_the_whole_audio() -> None:
    timer = WordTimes(utterance_of("one – two"), 1.0)
    assert timer.take([]) == []
    assert times(timer.finish(0.9)) == [("one", 1.0, 1.4), ("–", 1.4, 1.6), ("two", 1.6, 1.9)]


@given(
    st.text(st.sampled_from("ab. 你😀-3\n"), max_size=40),
    st.lists(st.tuples(st.integers(0, 60), st.floats(-1, 5)), max_size=12),
    st.floats(0, 5),
)
def test_words_when_any_marks_then_each_once_in_order_of_text_and_time(text, marks, audio_s) -> None:
    voice = Voice("en", "en", "espeak", "en", ("en",))
    for utterance in split_into_utterances(SpeechRequest(f"x{text}", "en", wants_word_times=True), voice):
        timer = WordTimes(utterance, 2.0)
        found: list[TimedWord] = []
        for at, time_s in marks:
            found += timer.take([WordMark(at, at + 1, time_s)])
        found += timer.finish(audio_s)
        assert [word.text for word in found] == [word.text for word in utterance.words]
        for word, after in itertools.pairwise(found):
            assert 2.0 <= word.start_s <= word.end_s == after.start_s
        assert not found or found[-1].start_s <= found[-1].end_s


def test_unpack_when_words_were_packed_then_they_are_the_same() -> None:
    words = [TimedWord('你"&', 3, 6, False, 0.123456, 7.5), TimedWord("x\ud800", 9, 11, True, 7.5, 8.0)]
    assert unpack_words(pack_words(words)) == words
    assert unpack_words(pack_words([])) == []


def test_pack_when_words_are_usual_then_some_40_bytes_each() -> None:
    words = [TimedWord("usual", 1000, 1005, True, 100.123, 100.5)] * 100
    assert len(pack_words(words)) / 100 == pytest.approx(40, abs=15)
