"""Words that the pronunciation dictionary respells."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.speech import InputType, Pronunciations, SpeechRequest, SpokenText
from appliance.text.respelling import respell
from appliance.text.utterances import split_into_utterances
from tests.unit.text.test_written import voice

WORDS = {
    "nguyen": "win",
    "SQL": "sequel",
    "new york": "noo york",
    "new york times": "the times",
    "C++": "see plus plus",
    ".net": "dot net",
    "naïve": "nah eve",
    "O'Brien": "oh bryan",
    "d\u2019accord": "dackor",
    "cafe\u0301": "kaffay",
}


def said(text: str, words: dict[str, str] = WORDS) -> str:
    return respell(SpokenText(text, ((0, 0),)), Pronunciations("1", words)).text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Nguyen and NGUYEN's", "win and win's"),
        ("SQL but not sql or SQLite", "sequel but not sql or SQLite"),
        ("The New York Times of New York", "The the times of noo york"),
        ("C++, C and .NET", "see plus plus, C and dot net"),
        ("a naïve nguyen.", "a nah eve win."),
        ("nguyens", "nguyens"),
        ("O'Brien and O\u2019Brien, d'accord", "oh bryan and oh bryan, dackor"),
        ("a caf\u00e9", "a kaffay"),
        ("", ""),
    ],
)
def test_text_when_respelled_then_whole_words_and_the_longest(text, spoken) -> None:
    assert said(text) == spoken


def test_text_when_an_entry_puts_another_word_there_then_that_stays() -> None:
    assert said("one two", {"one": "two", "two": "three"}) == "two three"


@pytest.mark.parametrize("input_type", list(InputType))
def test_words_when_respelled_then_as_written_and_behind_the_spoken_form(input_type) -> None:
    text = "Dr. **Nguyen** paid 5 km."
    words = {"doctor": "doc", "nguyen": "win", "kilometers": "clicks"}
    request = SpeechRequest(text, "en", wants_word_times=True, pronunciations=Pronunciations("1", words))
    if input_type is InputType.SSML:
        text = "<speak>Dr. Nguyen paid 5 km. <sub alias='doctor'>Dr.</sub></speak>"
        request = replace(request, text=text, input_type=input_type)
    (utterance,) = split_into_utterances(request, voice())
    written = [word.text for word in utterance.words]
    if input_type is InputType.TEXT:
        assert utterance.spoken.text == "doc win paid 5 clicks."
        assert written == ["Dr.", "Nguyen", "paid", "5", "km."]
    else:
        assert "doc win paid 5 clicks." in utterance.spoken.text
        assert 'alias="doctor"' in utterance.spoken.text
        assert written == ["Dr.", "Nguyen", "paid", "5", "km.", "Dr."]


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab .'-A"), max_size=40))
def test_any_text_when_respelled_then_its_map_leads_back_in_order(text) -> None:
    words = {"a": "one two", "ab": "x", "a b": "y", "A": "z", "b-a": "w"}
    spoken = respell(SpokenText(text, ((0, 0),)), Pronunciations("1", words))
    origins = [spoken.original_offset(at) for at in range(len(spoken.text) + 1)]
    assert origins == sorted(origins)
    assert origins[-1] == len(text)


def test_full_dictionary_when_a_long_text_is_respelled_then_it_costs_little() -> None:
    pronunciations = Pronunciations("1", {f"word{number} next": "x" for number in range(2_000)})
    text = SpokenText("Nobody says word7 next or word8 before it. " * 2_500, ((0, 0),))
    respell(SpokenText("first", ((0, 0),)), pronunciations)
    begun_s = time.process_time()
    assert respell(text, pronunciations).text.count(" x ") == 2_500
    assert time.process_time() - begun_s < 0.5
