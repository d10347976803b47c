"""Numbers and signs in words, with the traps of num2words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engines.vits.front_end import EspeakPhonemizer, Tokenizer
from appliance.engines.vits.front_end.spelling import spell_out
from appliance.engines.vits.front_end.traced import TracedText
from tests.parts.front_ends import letters_voice

pytest.importorskip("num2words", reason="needs the extra neural")
pytestmark = pytest.mark.neural
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz ,.:-")


def spelled(text: str, language: str | None, vocabulary: frozenset[str] = LETTERS) -> str:
    return spell_out(TracedText(text), language, vocabulary).text


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "1,234 and 3.14", "one thousand two hundred and thirty-four and three point one four"),
        ("en-us", "-7 is not 5-7", "minus seven is not five-seven"),
        ("pl", "3,5 i -2", "trzy przecinek pięć i minus dwa"),
        ("pl", "12:30, 007", "dwanaście:trzydzieści, zero zero siedem"),
        (
            "de",
            "1.200,5 am 3.5.2024",
            "eintausendzweihundert Komma fünf am drei.fünf.zweitausendvierundzwanzig",
        ),
        ("fr", "71 %", "soixante et onze  pour cent "),
        ("es", "21 & 2", "veintiuno  y  dos"),
        ("en", "1111111111111111", " ".join(["one"] * 16)),
        ("xx", "12 %", "12 %"),
        (None, "12", "12"),
    ],
)
def test_spell_out_when_digits_are_unknown_then_they_become_words(language, text, expected) -> None:
    assert spelled(text, language) == expected


def test_spell_out_when_the_voice_knows_digits_then_leaves_them() -> None:
    assert spelled("12 %", "en", LETTERS | frozenset("0123456789%")) == "12 %"
    assert spelled("42", "en", LETTERS - {"-"}) == "forty two"


@pytest.mark.parametrize(("language", "text"), [("ce", "3,55"), ("te", "100000000000001")])
def test_spell_out_when_a_number_has_no_name_then_is_said_digit_by_digit(language, text) -> None:
    """Chechen has no decimals in num2words, Telugu no large numbers."""
    assert not any(character in "0123456789" for character in spelled(text, language))


def test_spell_out_when_a_language_is_missing_then_leaves_the_number() -> None:
    assert spelled("3,5", "ka") == "3,5"


@given(
    text=st.text("0123456789.,-% a−", max_size=60),
    language=st.sampled_from(("en", "pl", "de", "fr", "es", "zh", "hi", "cs", "ar")),
)
@settings(deadline=None)
def test_spell_out_when_given_any_number_then_nothing_but_numbers_and_signs_is_lost(text, language) -> None:
    said = spelled(text, language)
    assert said.count("a") >= text.count("a")


def test_spell_out_when_a_number_is_longer_than_any_name_then_ends() -> None:
    assert spelled("9" * 400, "en").count("nine") == 400


def test_encode_when_a_model_does_not_name_its_language_then_numbers_are_said_in_the_voices() -> None:
    """Coqui cleans the texts of such a model as English ones, whatever it speaks."""
    front_end = letters_voice(language="en")
    tokens = Tokenizer(front_end, EspeakPhonemizer(), "pl").encode("21 & 7")
    assert "".join(front_end.vocabulary[token] for token in tokens.ids) == "dwadzieścia jeden i siedem"
