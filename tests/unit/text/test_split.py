"""Sentences, clauses, and spans that lose nothing."""

import json
from pathlib import Path

import pytest
import sentencex
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.speech import MAX_UTTERANCE_CHARS
from appliance.text.sentences import sentence_ends
from appliance.text.split import Border, split_into_spans
from appliance.text.weight import is_light, spoken_weight

CORPUS = json.loads((Path(__file__).parent / "corpus" / "sentences.json").read_text("utf-8"))
CASES = [(language, parts) for language, texts in CORPUS.items() for parts in texts]

any_text = st.text(st.characters(), max_size=400)
wordy_text = st.lists(
    st.sampled_from(
        [
            "word",
            "Dr. ",
            ". ",
            "? ",
            ", ",
            "\n",
            " ",
            "你好",
            "。",
            "สวัสดี",
            "e\u0301",
            "👩‍🔬",
            "1999",
            "\ud800",
        ]
    )
).map("".join)


@pytest.mark.parametrize(("language", "parts"), CASES)
def test_sentences_of_the_corpus_end_where_a_reader_ends_them(language, parts):
    text = "".join(parts)
    ends = sentence_ends(text, language)
    assert [text[start:end] for start, end in zip([0, *ends], ends, strict=False)] == parts


@pytest.mark.parametrize(
    ("text", "language"), [("1. First item of the list.", "en"), ("Było to 3. Maja tego roku.", "pl")]
)
def test_number_with_a_full_stop_ends_no_sentence(text, language):
    assert sentence_ends(text, language) == [len(text)]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("hey there! how are you? i am fine.", 3),
        ('"Really?" he said. "No!" she said.', 2),
        ("(Is it?) he wondered, approx. five times", 1),
        ("i went home. then i slept.", 1),
    ],
)
def test_sentence_when_lower_case_follows_then_only_a_bare_exclamation_or_question_ends_it(text, count):
    assert len(sentence_ends(text, "en")) == count


def test_sentences_longer_than_a_window_are_found_at_the_same_places():
    sentence = "Word " * 400 + "end. "
    text = sentence + sentence + "Last one."
    assert sentence_ends(text, "en") == [len(sentence), 2 * len(sentence), len(text)]


@given(
    st.one_of(any_text, wordy_text), st.sampled_from(["en", "pl", "zh", "ja", "xx", ""]), st.integers(1, 300)
)
def test_spans_of_any_text_cover_it_exactly(text, language, max_chars):
    spans = split_into_spans(text, language, max_chars=max_chars)
    assert "".join(text[start:end] for start, end, _ in spans) == text
    assert [span.start_char for span in spans[1:]] == [span.end_char for span in spans[:-1]]
    assert all(0 < end - start <= max_chars for start, end, _ in spans)


@given(st.one_of(any_text, wordy_text), st.sampled_from(["en", "zh", "ja"]))
def test_spans_of_any_text_are_light_enough(text, language):
    for start, end, _ in split_into_spans(text, language):
        assert end - start == 1 or spoken_weight(text[start:end], language) <= MAX_UTTERANCE_CHARS


@given(any_text, st.sampled_from(["en", "ja"]), st.integers(1, 2000))
def test_light_text_is_never_heavier_than_its_limit(text, language, max_weight):
    if is_light(text, language, max_weight):
        assert spoken_weight(text, language) <= max_weight


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["e" + "\u0301" * 5, "👩‍🔬", "👍🏽", "क्षि"]), min_size=30, max_size=60))
def test_cut_of_a_text_without_spaces_parts_no_grapheme(graphemes):
    text = "".join(graphemes)
    starts = {0}
    for grapheme in graphemes:
        starts.add(max(starts) + len(grapheme))
    # A joiner keeps what follows it; a vowel sign of क्षि is parted only before its second letter.
    for span in split_into_spans(text, "hi", max_chars=200):
        char = text[span.start_char]
        assert span.start_char in starts or char == "ष"


def test_cut_inside_an_endless_tower_is_made_anyway():
    text = "e" + "\u0301" * 1000
    assert [end - start for start, end, _ in split_into_spans(text, "en", max_chars=300)] == [
        300,
        300,
        300,
        101,
    ]


def test_long_first_sentence_is_cut_at_an_early_clause():
    text = "When the sun went down behind the hills, " + "they all walked slowly home " * 6 + "together."
    first, second = split_into_spans(text, "en")
    assert text[: first.end_char] == "When the sun went down behind the hills, "
    assert first.border is Border.CLAUSE
    assert second.border is Border.SENTENCE


def test_long_first_sentence_without_early_clause_is_cut_at_the_first_later_one():
    text = "word " * 25 + "word, " + "word " * 10 + "word, and more words at the end."
    first = split_into_spans(text, "en")[0]
    assert text[: first.end_char] == "word " * 25 + "word, "


CHAT = (
    "i went to the store, and then i saw him. he was standing there e.g. looking, as if nothing happened. "
    "i did not know what to say, so i left. then it rained all day, and nobody came out. it was sad, really, "
    "and i do not know why. maybe we can meet again some day. who knows, maybe not, and that is fine as well"
)


def test_first_span_when_all_is_lower_case_then_it_ends_with_an_early_sentence():
    first = split_into_spans(CHAT, "en")[0]
    assert CHAT[: first.end_char] == "i went to the store, and then i saw him. "
    assert first.border is Border.SENTENCE


def test_long_text_when_all_is_lower_case_then_it_is_cut_at_the_ends_of_sentences():
    spans = split_into_spans(CHAT, "en", max_chars=80)
    assert [CHAT[start:end].rstrip().rpartition(" ")[2] for start, end, _ in spans] == [
        "him.",
        "happened.",
        "left.",
        "out.",
        "day.",
        "well",
    ]


def test_long_text_when_an_abbreviation_is_in_it_then_it_is_cut_at_a_clause_instead():
    text = "he stood there for a while, with a coat e.g. of wool and a hat that looked rather old to me"
    assert text[: split_into_spans(text, "en", max_chars=60)[0].end_char] == "he stood there for a while, "


def test_cut_when_a_quotation_goes_on_then_it_counts_as_a_clause():
    text = (
        '"What on earth is that?" he asked, and nobody answered him for a very long time, not even his dog.'
    )
    first = split_into_spans(text, "en", first_max_chars=60)[0]
    assert (text[: first.end_char], first.border) == ('"What on earth is that?" he asked, ', Border.CLAUSE)


def test_short_first_sentence_is_not_cut():
    assert len(split_into_spans("Well, yes, it is.", "en")) == 1


def test_number_with_a_comma_is_not_a_clause():
    text = "The total of all of these was 1,234,567 of them and that is quite a lot " * 2
    assert all(text[end - 1] != "," for _, end, _ in split_into_spans(text, "en", max_chars=40))


def test_long_sentence_is_cut_at_clauses_then_spaces_then_anywhere():
    clauses = split_into_spans("one two three four, five six seven eight", "en", max_chars=25)
    spaces = split_into_spans("one two three four five six", "en", max_chars=10)
    letters = split_into_spans("a" * 25, "en", max_chars=10)
    assert [tuple(span) for span in clauses] == [(0, 20, Border.CLAUSE), (20, 40, Border.SENTENCE)]
    assert [span.end_char for span in spaces] == [8, 14, 24, 27]
    assert [span.border for span in spaces] == [Border.NONE, Border.NONE, Border.NONE, Border.SENTENCE]
    assert [span.end_char for span in letters] == [10, 20, 25]


def test_very_short_sentences_go_together():
    assert len(split_into_spans("Hi. Yes. No! Why?", "en")) == 1


def test_line_break_always_ends_a_span():
    spans = split_into_spans("Hi\nYes\nNo", "en")
    assert [tuple(span) for span in spans] == [
        (0, 3, Border.PARAGRAPH),
        (3, 7, Border.PARAGRAPH),
        (7, 9, Border.SENTENCE),
    ]


@pytest.mark.parametrize(
    ("text", "language", "most_chars"),
    [("9" * 1000, "en", 60), ("你" * 1000, "zh", 100), ("你" * 1000, "en", 18), ("ส" * 1000, "en", 18)],
)
def test_text_that_takes_long_to_speak_is_cut_shorter(text, language, most_chars):
    assert max(end - start for start, end, _ in split_into_spans(text, language)) <= most_chars


@pytest.mark.parametrize("unit", ["你好。", "Hello there, you. ", "a", '"a. ', "\n", "สวัสดี"])
def test_windows_of_a_long_text_stay_bounded(unit, monkeypatch):
    """Linear time: the sentence library, which is quadratic, sees each character a few times at most."""
    seen = []
    real = sentencex.segment

    def counted(language, text):
        seen.append(len(text))
        return real(language, text)

    monkeypatch.setattr(sentencex, "segment", counted)
    text = unit * (30_000 // len(unit))
    split_into_spans(text, "en")
    assert max(seen) <= 500
    assert sum(seen) <= 4 * len(text)
