"""When words begin, from the times of tokens."""

from typing import NamedTuple

from appliance.engines.vits.word_marks import mark_words
from appliance.speech import WordMark


class Word(NamedTuple):
    start_char: int
    end_char: int
    start_token: int


PLAIN = [(at, at + 1) for at in range(10)]


def test_mark_words_when_each_has_tokens_then_each_begins_with_its_first() -> None:
    words = [Word(0, 2, 1), Word(4, 6, 5)]
    starts_s = [index / 8 for index in range(9)]
    assert list(mark_words(words, PLAIN, starts_s)) == [WordMark(0, 2, 0.125), WordMark(4, 6, 0.625)]


def test_mark_words_when_the_last_makes_no_sound_then_it_begins_at_the_end() -> None:
    assert list(mark_words([Word(0, 1, 7)], PLAIN, [0.0, 0.5])) == [WordMark(0, 1, 0.5)]


def test_mark_words_when_the_text_stood_elsewhere_then_places_there() -> None:
    places = [(7, 8), (8, 13), (20, 23), (20, 23), (20, 23)]
    words = [Word(0, 2, 0), Word(2, 3, 1), Word(4, 5, 2)]
    assert list(mark_words(words, places, [0.0, 1.0, 2.0, 3.0])) == [
        WordMark(7, 13, 0.0),
        WordMark(20, 23, 1.0),
    ]
