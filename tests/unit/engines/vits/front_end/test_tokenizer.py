"""Texts become the ids that Coqui gives, literal here; words find their tokens; no other error is raised."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engines.vits.front_end import EspeakPhonemizer, Tokenizer, Tokens
from appliance.engines.vits.front_end.tokenizer import MAX_TEXT_CHARS, MAX_TOKENS
from appliance.errors import (
    EngineFailedError,
    ModelUnsupportedError,
    NothingToSpeakError,
    TextTooLongError,
    VoiceConfigError,
)
from tests.parts.front_ends import CORPUS, HARD, IPA, letters_voice, phoneme_voice

EVERY_LETTER = (*"_#", *map(chr, range(32, 0x250)), *IPA)
"""A vocabulary with digits, so that nothing is spelled out."""


@pytest.fixture(scope="session")
def phonemizer() -> EspeakPhonemizer:
    return EspeakPhonemizer()


# The ids are what coqui-tts 0.28.0 gives with espeak-ng 1.52.0 for these front ends.
LETTERS = [
    (
        letters_voice(),
        "Hello, world & (all)!",
        [11, 8, 15, 15, 18, 57, 63, 26, 18, 21, 15, 7, 63, 4, 17, 7, 63, 4, 15, 15, 53],
    ),
    (
        letters_voice(cleaner="english_cleaners"),
        "Dr. No: 42.",
        [7, 18, 6, 23, 18, 21, 63, 17, 18, 57, 63, 9, 18, 21, 23, 28, 63, 23, 26, 18, 59],
    ),
    (
        letters_voice(language="pl", use_eos_bos=True, add_blank=True),
        "Zażółć; jaźń",
        [1, 3, 29, 3, 4, 3, 50, 3, 47, 3, 45, 3, 43, 3, 57, 3, 63, 3, 13, 3, 4, 3, 49, 3, 46, 3, 2],
    ),
]
PHONEMES = [
    (
        phoneme_voice(add_blank=False),
        "Hello, world!",
        [17, 44, 21, 64, 24, 58, 5, 11, 31, 64, 47, 66, 21, 14, 1],
    ),
    (
        phoneme_voice("de", cleaner="multilingual_phoneme_cleaners", add_blank=False),
        "Grüße aus Köln.",
        [48, 54, 64, 66, 27, 44, 11, 65, 12, 58, 27, 11, 20, 64, 38, 21, 23, 7],
    ),
    (
        phoneme_voice("fr-fr", cleaner="french_cleaners"),
        "« Ça va »",
        [75, 11, 75, 27, 75, 12, 75, 11, 75, 30, 75, 64, 75, 12, 75, 11, 75],
    ),
    (
        phoneme_voice("es", add_blank=False, cleaner=None),
        "¿Qué tal?",
        [20, 64, 15, 11, 28, 64, 12, 21, 10],
    ),
]


@pytest.mark.parametrize(("front_end", "text", "ids"), LETTERS + PHONEMES)
def test_encode_when_compared_with_coqui_then_gives_its_ids(phonemizer, front_end, text, ids) -> None:
    assert list(Tokenizer(front_end, phonemizer).encode(text).ids) == ids


def test_encode_when_only_a_mark_stands_before_the_words_then_they_are_spoken(phonemizer) -> None:
    """Coqui speaks the mark alone."""
    voice = Tokenizer(phoneme_voice(add_blank=False), phonemizer)
    assert voice.encode('"Hello').ids == voice.encode("Hello").ids
    assert voice.encode("¡Hello").ids[-8:] == voice.encode("Hello").ids[-8:]


def test_encode_when_a_phonemizer_serves_two_languages_then_each_keeps_its_voice(phonemizer) -> None:
    english = Tokenizer(phoneme_voice(), phonemizer)
    german = Tokenizer(phoneme_voice("de"), phonemizer)
    first = english.encode("Hand"), german.encode("Hand")
    assert (english.encode("Hand"), german.encode("Hand")) == first
    assert first[0] != first[1]


def test_encode_when_a_voice_has_several_languages_then_takes_the_one_asked_for(phonemizer) -> None:
    voice = phoneme_voice(phonemizer="multi_phonemizer", phonemizers={"en": "espeak", "de": "espeak"})
    tokenizer = Tokenizer(voice, phonemizer)
    german = Tokenizer(phoneme_voice("de"), phonemizer)
    assert tokenizer.encode("Das Haus", "de") == german.encode("Das Haus")
    with pytest.raises(EngineFailedError, match="'pl'"):
        tokenizer.encode("Dom", "pl")


@pytest.mark.parametrize("text", ["", "  ", "\0", "\ud800", "\u4f60\u597d", "\U0001f600"])
def test_encode_when_nothing_remains_then_says_so(phonemizer, text) -> None:
    with pytest.raises(NothingToSpeakError):
        Tokenizer(letters_voice(), phonemizer).encode(text)


def test_encode_when_letters_are_unknown_then_they_are_left_out(phonemizer) -> None:
    assert Tokenizer(letters_voice(), phonemizer).encode("a\u4f60b\u597dc").ids == (4, 5, 6)


def test_encode_when_a_letter_is_unknown_then_parts_speak_if_all_are_known_or_nothing_else_is(
    phonemizer,
) -> None:
    known = letters_voice().vocabulary

    def ids(text: str, *more: str) -> tuple[int, ...]:
        return Tokenizer(letters_voice(vocabulary=(*known, *more)), phonemizer).encode(text).ids

    assert ids("\u1e8f \u1ec7") == ids("y e")
    assert ids("\u1e8fa\u1ec7") == ids("a")  # as Coqui does
    assert ids("\u1e83", "\u0301") == (*ids("w"), len(known))
    assert ids("\u1e83", "\u1e83") == (len(known),)


def test_encode_when_there_is_too_much_then_refuses(phonemizer) -> None:
    voice = Tokenizer(letters_voice(add_blank=True), phonemizer)
    assert len(voice.encode("a" * 1022).ids) == 2045
    with pytest.raises(TextTooLongError):
        voice.encode("a" * (MAX_TOKENS // 2))
    with pytest.raises(TextTooLongError):
        voice.encode("a" * (MAX_TEXT_CHARS + 1))


def test_encode_when_emoji_have_long_names_then_refuses_before_it_aligns(phonemizer) -> None:
    with pytest.raises(TextTooLongError):
        Tokenizer(phoneme_voice(), phonemizer).encode("\U0001f468 " * 300, wants_words=True)


@pytest.mark.parametrize(
    ("front_end", "error", "message"),
    [
        (letters_voice(cleaner="uroman_cleaners"), ModelUnsupportedError, "uroman_cleaners"),
        (phoneme_voice("tlh-xx"), ModelUnsupportedError, "tlh-xx"),
        (phoneme_voice("x" * 100), ModelUnsupportedError, "xxx"),
        (
            phoneme_voice(phonemizer="multi_phonemizer", phonemizers={"en": "gruut"}),
            ModelUnsupportedError,
            "gruut",
        ),
        (phoneme_voice(phoneme_language=None), VoiceConfigError, "language"),
        (letters_voice(add_blank=True, blank="<BLANK>"), VoiceConfigError, "<BLANK>"),
        (letters_voice(use_eos_bos=True, bos="<S>"), VoiceConfigError, "<S>"),
    ],
)
def test_tokenizer_when_the_voice_needs_what_is_not_there_then_refuses_by_name(
    phonemizer, front_end, error, message
) -> None:
    with pytest.raises(error, match=message):
        Tokenizer(front_end, phonemizer)


def spoken_words(voice: Tokenizer, vocabulary: tuple[str, ...], text: str) -> list[tuple[str, str]]:
    tokens = voice.encode(text, wants_words=True)
    symbols = [vocabulary[token] for token in tokens.ids]
    return [
        (text[word.start_char : word.end_char], "".join(symbols[word.start_token : word.end_token]))
        for word in tokens.words
    ]


def test_words_when_a_voice_speaks_letters_then_each_has_its_letters(phonemizer) -> None:
    front_end = letters_voice(cleaner="english_cleaners", use_eos_bos=True)
    assert spoken_words(Tokenizer(front_end, phonemizer), front_end.vocabulary, "Dr. Who, at 3:05 pm!") == [
        ("Dr", "doctor"),
        ("Who", "who"),
        ("at", "at"),
        ("3:05", "three oh five p m"),
        ("pm", ""),
    ]


def test_words_when_blanks_stand_between_then_they_go_with_the_word(phonemizer) -> None:
    front_end = letters_voice(add_blank=True)
    voice = Tokenizer(front_end, phonemizer)
    assert spoken_words(voice, front_end.vocabulary, "ab c") == [("ab", "a#b"), ("c", "c")]


def test_words_when_phonemes_run_together_then_each_word_has_its_own(phonemizer) -> None:
    front_end = phoneme_voice(add_blank=False)
    text = "Some of the 21 dogs, and it was of the state-of-the-art."
    assert spoken_words(Tokenizer(front_end, phonemizer), front_end.vocabulary, text) == [
        ("Some", "sˌʌm"),
        ("of", "ʌv"),
        ("the", "ðə"),
        ("21", "twˈɛnti wˈʌn"),
        ("dogs", "dˈɑːɡz"),
        ("and", "ænd"),
        ("it", "ɪt"),
        ("was", "wʌz"),
        ("of", "ʌv"),
        ("the", "ðə"),
        ("state-of-the-art", "stˈeɪt ʌvðɪ ˈɑːɹt"),
    ]


ANY_TEXT = st.one_of(
    st.text(max_size=80),
    st.text("aZ 1,.;:-%€&'()?!\n\0éß你\U0001f600\u0301\ud800[]", max_size=60),
    st.lists(
        st.sampled_from([*HARD, *(text for texts in CORPUS.values() for text in texts)]), max_size=3
    ).map(" ".join),
)


def check_words(text: str, tokens: Tokens) -> None:
    last_char = last_token = 0
    for word in tokens.words:
        assert last_char <= word.start_char < word.end_char <= len(text)
        assert last_token <= word.start_token <= word.end_token <= len(tokens.ids)
        last_char, last_token = word.end_char, word.end_token


@pytest.mark.parametrize(
    "front_end",
    [
        letters_voice(vocabulary=EVERY_LETTER, blank="#", add_blank=True, cleaner="english_cleaners"),
        letters_voice(vocabulary=EVERY_LETTER, cleaner="italian_cleaners", language="it"),
        phoneme_voice(),
        phoneme_voice(
            "pl", cleaner=None, add_blank=False
        ),  # espeak-ng 1.52 crashes on some signs in Vietnamese
    ],
)
@given(text=ANY_TEXT)
@settings(max_examples=40, deadline=None)
def test_encode_when_given_anything_then_tokens_or_a_declared_error(phonemizer, front_end, text) -> None:
    try:
        tokens = Tokenizer(front_end, phonemizer).encode(text, wants_words=True)
    except (NothingToSpeakError, TextTooLongError):
        return
    assert 0 < len(tokens.ids) <= MAX_TOKENS
    assert set(tokens.ids) <= set(range(len(front_end.vocabulary)))
    check_words(text, tokens)
