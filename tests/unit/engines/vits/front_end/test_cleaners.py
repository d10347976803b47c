"""What the cleaners make of a text; literal results are those of coqui-tts 0.28.0."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engines.vits.front_end.cleaners import CLEANERS, clean, find_cleaner
from appliance.engines.vits.front_end.traced import TracedText
from appliance.errors import ModelUnsupportedError


def cleaned(name: str, text: str, language: str | None = None) -> str:
    return clean(TracedText(text), find_cleaner(name), language).text


@pytest.mark.parametrize(
    ("name", "language", "text", "expected"),
    [
        (
            "english_cleaners",
            "en",
            "Mrs. Li's 11,234 & 2.5",
            "misess li's eleven thousand, two hundred thirty four and two point five",
        ),
        (
            "english_cleaners",
            "en-us",
            "0:15AM $1.01 £2.02 ¥3",
            "twelve fifteen a m one dollar one cent two pounds sterling two pence three yen",
        ),
        (
            "english_cleaners",
            None,
            "Dr. 1905 2000 2007 2100 1100",
            "dr. nineteen oh five two thousand two thousand seven twenty one hundred eleven hundred",
        ),
        ("phoneme_cleaners", "en", "St. 21st [x] 1001st", "saint twenty first x one thousand and first"),
        (
            "french_cleaners",
            "fr",
            "M. et Mme Roy; c.-à-d. N.B.",
            "monsieur et madame roy, c’est à dire nota bene",
        ),
        (
            "italian_cleaners",
            "it",
            "Sig.ra Rossi, 14:30 e 1.234,5 € al 3 %",
            "signor.ra rossi, 14 e trenta e 1234 virgola 5 euro al 3 percento",
        ),
        ("portuguese_cleaners", "pt", "Pão & água: (sim)", "pão e água, sim"),
        ("multilingual_cleaners", "ca", "l'avi cau; diguem-ho", "lavi cau, diguemho"),
        ("multilingual_cleaners", "el", "Τι; ΣΑΣ", "τι; σας"),
        ("basic_turkish_cleaners", "tr", "IŞIK  İyi", "ışık i̇yi"),
        ("basic_cleaners", "de", " e\u0301A\n\tß ", "éa ß"),
        ("no_cleaners", "en", "A\nb ", "Ab "),
        ("chinese_mandarin_cleaners", "zh", "10014块 2", "一万零十四块 二"),
    ],
)
def test_cleaner_when_compared_with_coqui_then_gives_its_text(name, language, text, expected) -> None:
    assert cleaned(name, text, language) == expected


def test_cleaner_when_there_is_none_of_the_name_then_it_is_named() -> None:
    with pytest.raises(ModelUnsupportedError, match="'__import__'"):
        find_cleaner("__import__")
    assert find_cleaner(None) == ()


@given(
    name=st.sampled_from(sorted(CLEANERS)), text=st.text(max_size=60), language=st.sampled_from(["en", "it"])
)
def test_cleaner_when_given_anything_then_every_letter_knows_where_it_stems_from(
    name, text, language
) -> None:
    result = clean(TracedText(text), find_cleaner(name), language)
    origins = list(result.origins)
    assert len(origins) == len(result.text)
    assert origins == sorted(origins)
    assert all(0 <= origin < len(text) for origin in origins)


@given(text=st.text(st.sampled_from("aΣσİ e\u0301\u1100\u1161\u11a8\u0344\u0958\n\u2000ß"), max_size=30))
def test_apply_when_words_change_their_length_then_the_text_is_the_functions(text) -> None:
    for function in (str.lower, str.upper, lambda part: unicodedata.normalize("NFC", part)):
        assert TracedText(text).apply(function).text == function(text)


def test_substitute_when_a_match_grows_then_what_follows_keeps_its_origin() -> None:
    traced = TracedText("a & b").replace("&", "and")
    assert traced.text == "a and b"
    assert list(traced.origins) == [0, 1, 2, 2, 2, 3, 4]
