"""The words of a text as written, behind everything that is spoken for them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.speech import InputType, SpeechRequest, Utterance
from appliance.text.early import EarlyUtterances
from appliance.text.utterances import split_into_utterances
from appliance.text.written import UNSPACED
from appliance.voices import Voice
from tests.unit.text.test_utterances import marked_up


def voice(language: str = "en") -> Voice:
    return Voice(language, language, "espeak", language, (language,))


def split(text: str, language: str = "en", **fields: Any) -> list[Utterance]:
    request = replace(SpeechRequest(text, language, wants_word_times=True), **fields)
    return split_into_utterances(request, voice(language))


def words_of(text: str, language: str = "en", **fields: Any) -> list[str]:
    return [word.text for utterance in split(text, language, **fields) for word in utterance.words]


PLAIN = [
    "It's 21,5 °C (or so) — isn't it?",
    "On 3. October 1990, at 10:45 a.m., 1,234.50 € were paid; that's 5 % of it.",
    "See https://www.example.com/path?x=1#y, http://a.b/ and ftp://u@h.org/f.txt!",
    "Mail john_doe@example.com or say snake_case, 2**3 and C++ & co.",
    "Well 😀 done 👩‍🔬👩‍🔬, I say 1️⃣ times wow😀!",
    "... Hello ... World – 5. !!! …",
    "Первые слова, ένα δύο, العربية ٣ كلمات, हिन्दी की बात।",
    "x³ and 10²⁵ and ③ and ½",
    "a  b\tc\nd\n\ne\r\nf",
    "matrix[i][j] = d[key](arg); <Enter>?".replace("<Enter>?", "end"),
]
HARD = [
    ("# A **bold** _start_\n\n- item `one`\n- item two", "A bold start item one item two"),
    ('[a link](http://a.b/c "title") and ![a cat](cat.png)!', "a link and a cat!"),
    ("1. first\n2) second", "1. first 2) second"),
    ("in**cred**ible and un<b>believ</b>able", "incredible and unbelievable"),
    ("|a|b|\n|-|-|\n|c|d|\n\n***\n\nend", "a b c d end"),
    ("```python\nx = *y\n```\nafter <!-- not --> it", "x = *y after it"),
    ("AT&amp;T &lt;x&gt; one<br>two", "AT&T <x> one two"),
    (
        "**https://a.b/c** [https://a.b](http://c.d) <https://a.b/x>.",
        "https://a.b/c https://a.b https://a.b/x.",
    ),
    ("wör\u00adter\u200b with\0 nothing", "wörter with nothing"),
    ("Hi.\n\n😀**\n\n...\n\nBye.", "Hi. 😀 ... Bye."),
]
SSML = [
    (
        (
            '<speak>One &amp; two<break time="1s"/>three un<emphasis>be</emphasis>lievable '
            '<sub alias="World Wide Web">WWW</sub> &#228;x. <p>P one. ...</p><s>21,5 °C 😀</s> a &lt; b '
            "<![CDATA[x < y &]]> <desc>no</desc>https://a.b/c</speak>"
        ),
        "One & two three unbelievable WWW äx. P one. ... 21,5 °C 😀 a < b x < y & https://a.b/c",
    ),
    ("<speak><p>One.<s>Two</s>three</p><p>four</p></speak>", "One. Two three four"),
    (
        '<speak><say-as interpret-as="characters">abc</say-as> <prosody rate="slow">x y</prosody></speak>',
        "abc x y",
    ),
]


@pytest.mark.parametrize("text", PLAIN)
@pytest.mark.parametrize("repeats", [1, 12])
def test_words_when_nothing_is_marked_up_then_those_of_the_text(text, repeats) -> None:
    assert words_of(f"{text}\n\n" * repeats) == text.split() * repeats


@pytest.mark.parametrize(("text", "expected"), HARD)
def test_words_when_marked_up_then_as_a_reader_sees_them(text, expected) -> None:
    assert words_of(text) == expected.split()


@pytest.mark.parametrize(("text", "expected"), SSML)
def test_words_when_ssml_then_without_tags_and_decoded(text, expected) -> None:
    assert words_of(text, input_type=InputType.SSML) == expected.split()


def test_words_when_nothing_is_made_speakable_then_mark_up_stays() -> None:
    text = "A **bold** [link](http://a.b) 😀"
    assert words_of(text, make_speakable=False) == text.split()


def test_words_when_written_without_spaces_then_each_character_with_the_signs_around_it() -> None:
    text = "你好，世界。今天3月5日go「引用」😀你。"
    found = [word for utterance in split(text, "cmn") for word in utterance.words]
    expected = "你 好， 世 界。 今 天 3 月 5 日 go 「引 用」 😀 你。"
    assert [word.text for word in found] == expected.split()
    assert [word.is_apart for word in found] == [True] + [False] * 14


@settings(max_examples=150)
@given(marked_up())
def test_words_when_marked_up_in_any_way_then_each_once_and_in_order(case) -> None:
    text, heard = case
    if not heard:
        return
    found = words_of(text)
    joined = " ".join(found)
    assert {word: joined.count(word) for word in heard} == dict.fromkeys(heard, 1)
    places = [joined.index(word) for word in heard]
    assert places == sorted(places)


PIECES = [
    "one",
    "two,",
    "21,5",
    "°C",
    "10:00",
    "$5",
    "000",
    "Dr.",
    "e.g.",
    "km",
    "May",
    "😀",
    "3.",
    "https://a.b/c",
    "End.",
    "–",
    "...",
    "(x)",
    "é",
    "你",
    "好。",
    "a&b",
    "5",
]
SPACES = [" ", "  ", "\n", "\n\n", "\t"]


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(SPACES)), min_size=1, max_size=60),
    st.booleans(),
)
def test_words_when_any_text_then_they_are_its_own_wherever_it_is_cut(pieces, is_early) -> None:
    text = "Hello " + "".join(piece + space for piece, space in pieces) * (12 if is_early else 1)
    text = re.sub(r"(?<=\n)(3\.|–)", "x", text)  # no lists
    request = SpeechRequest(text, "en", wants_word_times=True)
    early = EarlyUtterances(request, voice(), pause_s=0.1)
    if not early.is_whole:
        early.split_rest()
    utterances = early.known
    found = [word for utterance in utterances for word in utterance.words]
    assert [word.text for word in found] == text.split()
    assert [text[word.start_char : word.end_char] for word in found] == text.split()


@settings(max_examples=100)
@given(
    st.text(st.sampled_from("ab *_`[]()<>&;#|-\n.!:/你😀http3²"), max_size=80), st.sampled_from(["en", "cmn"])
)
def test_words_when_any_signs_then_in_order_and_within_their_utterance(text, language) -> None:
    end_char = 0
    for utterance in split(f"x {text} y", language):
        spoken_char = 0
        for word in utterance.words:
            assert word.text
            assert not re.search(r"\s", word.text)
            assert end_char <= word.start_char < word.end_char
            assert spoken_char <= word.spoken_char <= len(utterance.spoken.text)
            end_char, spoken_char = word.end_char, word.spoken_char
            assert len(re.findall(f"[{UNSPACED}]", word.text)) <= 1


def test_words_when_nobody_wants_them_then_none() -> None:
    request = SpeechRequest("Hello there.", "en")
    assert [utterance.words for utterance in split_into_utterances(request, voice())] == [()]
