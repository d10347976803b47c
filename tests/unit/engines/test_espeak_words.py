"""Word marks out of espeak-ng's word events, which aren't one per word."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engines.espeak_library import WordEvent
from appliance.engines.espeak_words import WordTimer, find_words

TEXT = "one of the four"
EVENTS = [WordEvent(0, 0.0), WordEvent(4, 0.5), WordEvent(11, 1.2)]


def words_of(text: str, *, is_ssml: bool = False) -> list[str]:
    return [text[start:end] for start, end in find_words(text, is_ssml=is_ssml)]


def test_find_words_when_punctuation_surrounds_them_then_is_left_out() -> None:
    assert words_of(" «Yes», it’s (well-known): 1,234 - o.k.") == [
        "Yes",
        "it’s",
        "well-known",
        "1,234",
        "o.k",
    ]


def test_find_words_when_vowel_signs_end_a_word_then_they_belong_to_it() -> None:
    assert words_of("हिन्दी की।") == ["हिन्दी", "की"]


def test_find_words_when_written_without_spaces_then_each_character_is_one() -> None:
    assert words_of("今天。go") == ["今", "天", "go"]


def test_find_words_when_ssml_then_tags_are_no_words_and_offsets_stay() -> None:
    text = "<speak>Hi <break time='1s'/>you</speak>"
    assert words_of(text, is_ssml=True) == ["Hi", "you"]
    assert words_of("a <b and c> d") == ["a", "b", "and", "c", "d"]


def test_take_when_a_word_has_no_event_then_it_lies_between_its_neighbours() -> None:
    timer = WordTimer(TEXT, is_ssml=False)
    marks = timer.take(EVENTS)
    assert [TEXT[mark.start_char : mark.end_char] for mark in marks] == ["one", "of", "the", "four"]
    assert [round(mark.time_s, 6) for mark in marks] == [0.0, 0.5, 0.8, 1.2]
    assert timer.finish(2.0) == []


def test_take_when_events_come_one_by_one_then_marks_are_the_same() -> None:
    timer = WordTimer(TEXT, is_ssml=False)
    one_by_one = [mark for event in EVENTS for mark in timer.take([event])]
    assert one_by_one == WordTimer(TEXT, is_ssml=False).take(EVENTS)


def test_take_when_a_word_has_several_events_then_the_first_counts() -> None:
    timer = WordTimer("in 1234 ways", is_ssml=False)
    marks = timer.take([WordEvent(0, 0.0), WordEvent(3, 0.2), WordEvent(5, 0.9), WordEvent(8, 1.5)])
    assert [mark.time_s for mark in marks] == [0.0, 0.2, 1.5]


def test_finish_when_words_are_left_then_they_lie_before_the_end() -> None:
    timer = WordTimer("one two", is_ssml=False)
    assert [mark.time_s for mark in timer.take([WordEvent(0, 0.0)])] == [0.0]
    (last,) = timer.finish(0.7)
    assert (last.start_char, last.end_char) == (4, 7)
    assert last.time_s == pytest.approx(0.4)


@given(
    st.text(alphabet="ab .,<>今é1", max_size=40),
    st.lists(st.tuples(st.integers(-3, 50), st.floats(0, 1)), max_size=12),
    st.booleans(),
)
def test_marks_when_any_events_then_every_word_once_in_order_of_text_and_time(text, steps, is_ssml) -> None:
    timer = WordTimer(text, is_ssml=is_ssml)
    time_s = 0.0
    marks = []
    for offset_chars, step_s in steps:
        time_s += step_s
        marks += timer.take([WordEvent(offset_chars, time_s)])
    marks += timer.finish(time_s)
    assert [(mark.start_char, mark.end_char) for mark in marks] == find_words(text, is_ssml=is_ssml)
    assert all(0 <= mark.time_s <= time_s for mark in marks)
    assert all(a.time_s <= b.time_s + 1e-9 for a, b in itertools.pairwise(marks))
