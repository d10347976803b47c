"""Markdown, emoji and what no engine can speak."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.speech import SpokenText
from appliance.text.normalize import MAX_MARKS, drop_unspeakable, has_something_to_speak, make_speakable
from appliance.text.offsets import Edit, apply_edits, cut_out

any_text = st.text(st.characters(), max_size=300)
MARKS = (
    "word **bold** *it* _u_ ` ``` ~~ [ ]( ![ ](http://a.b/c) [^1] < <b> </p> <br> &amp; &#0; &#x41; \\* :// "
    "https://www.example.com/x?y=1. # > - 1. 2) | |--| --- === 😀 😀 👩‍🔬 1️⃣ \u200d \ufe0f \0 \ud800 你好 "
    "<!-- --> <script> </script> <x-y> <a ` `` `a[0](x)` [a][b] [b]: [b]:x/y 2**3 ٣ ①"
)
SPACES = [" ", "  ", "\n", "\n\n", "\r\n", "\t"]
marked_text = st.lists(st.sampled_from([*MARKS.split(), *SPACES]), max_size=60).map("".join)

MARKDOWN = [
    ("# Title #\ntext", "Title\ntext"),
    ("Title\n=====\ntext", "Title\ntext"),
    ("one\n***\ntwo", "one\ntwo"),
    ("a **bold** and *it* and ***both*** and __b__ and ~~gone~~", "a bold and it and both and b and gone"),
    ("half **a pair", "half a pair"),
    ("2 * 3 = 6 and 2*3=6", "2 * 3 = 6 and 2*3=6"),
    ("2**3 and 10**x and un**believ**able", "2**3 and 10**x and unbelievable"),
    ("snake_case, 1_000, file_name.txt and __init__", "snake_case, 1_000, file_name.txt and init"),
    ("john_doe@example.com and _@_", "john_doe@example.com and _@_"),
    ("use `x = 1` here", "use x = 1 here"),
    ("```python\nx = *y\n```\nafter", "x = *y\nafter"),
    ("~~~\nnever closed **x**", "never closed **x**"),
    ("```inline``` code", "inline code"),
    ("`2**3`, `a[0](x)`, `*_a_*` and `&amp;`", "2**3, a[0](x), *_a_* and &amp;"),
    ("the `<div>` and `List<String>`", "the <div> and List<String>"),
    ("`` a ` b `` and `😀  c`", " a ` b and grinning face c"),
    ("`a\n[0](x)` then [b](c)", "a [0](x) then b"),
    ("`a\n\n[b](c)` d", "a\nb d"),
    ("- `a\n- *b*` c", "a\nb c"),
    ("half `a *pair*", "half a pair"),
    ("[`a[0]`](http://a.b)", "a[0]"),
    ("``` js title=x\n*a*\n```\nb", "*a*\nb"),
    ("``` and words\n*a*", " and words a"),
    ('[text](http://a.b/c "title") more', "text more"),
    ("[a *b*](<x>)", "a b"),
    ("[soft\nlink](http://a.b)", "soft link"),
    ("![a cat](cat.png)!", "a cat!"),
    ("[![badge](b.svg)](http://x.y)", "badge"),
    ("[text][ref]\n\n[ref]: http://a.b 'title'", "text"),
    ("> [text][] [T][Text]\n\n[text]: a/b.html", "text T"),
    ("[text][ref] of this sentence", "[text][ref] of this sentence"),
    ("[1][2][3]\n\n[2]: http://a.b", "[1][2][3]"),
    ("matrix[i][j] = d[key](arg)", "matrix[i][j] = d[key](arg)"),
    ("[Alice]: Hello", "[Alice]: Hello"),
    ("[Alice]: Wait (he stops) now", "[Alice]: Wait (he stops) now"),
    ("[Alice]: yes/no\n[Bob]: #yes\n[Alice]: So.", "[Alice]: yes/no [Bob]: #yes [Alice]: So."),
    ("[a]: #b 'c' d\n[b]: mailto:x@y.org\n[a][b]", "[a]: #b 'c' d\na"),
    ("[plain] brackets]", "[plain] brackets]"),
    ("fact[^1]\n\n[^1]: source", "fact\nsource"),
    ("fact[^a] [^b]\n\n[^a]: http://a.b", "fact [^b]\na.b"),
    ("- one\n* two\n+ [x] three\n  more", "one\ntwo\nthree more"),
    ("1. one\n2) two", "1: one\n2: two"),
    ("3. Mai war es kalt", "3. Mai war es kalt"),
    ("> quoted\n> text\n\nmine", "quoted text\nmine"),
    ("> a\n>\n> b", "a\nb"),
    ("| a | b |\n|---|:-:|\n| 1 | 2 |\n\nafter", "a, b\n1, 2\nafter"),
    ("a | b\n--- | ---\n1 | 2", "a, b\n1, 2"),
    ("a | b is no table", "a | b is no table"),
    ("one\ntwo\n\nthree", "one two\nthree"),
    ("hard  \nbreak\\\nhere", "hard\nbreak\nhere"),
    ("<b>bold</b> 1 < 2 <br> x<!-- no -->y <td>c</td>", "bold 1 < 2\nxy , c, "),
    ("a <b></b> c <br/> <br> d ![](x) e", "a c\nd e"),
    ("<a href=\"x\" hidden data-x>b</a> <A HREF='x'>c</A >", "b c"),
    ("Press <Enter>, <Ctrl+C> or </Del>", "Press Enter, Ctrl+C or Del"),
    ("Dear <first name>, <b and c> or <Object>", "Dear first name, b and c or Object"),
    ("std::vector<int>x, List<T>() and <Button />", "std::vector int x, List T() and Button "),
    ('<a b=\'c> <path d="M0"> <x http://a.b/>', 'a b=\'c path d="M0" x a.b'),
    ("1 <2 and 3> 0, a <b", "1 <2 and 3> 0, a <b"),
    ('a<script src="x">var b = [1](2);</script> c', "a c"),
    ("a\n\n<STYLE>\n# b\n\nc</STYLE> d\n<style>e", "a\nd e"),
    ("a <!-- b\n\nc --> d", "a\nd"),
    ("Use <script> and <!-- here", "Use and <!-- here"),
    ("fish &amp; chips&nbsp;&#8364; &unknown; &#7;", "fish & chips € &unknown; "),
    (r"\*literal\* \d", r"*literal* \d"),
    ("see https://www.example.com/a/b?c=d#e.", "see example.com."),
    ("(http://user@a.org:80/x)", "(a.org:80)"),
    ("<https://a.org/x> <mail@b.org>", "a.org mail@b.org"),
    ("http:// and x://y", "http:// and x://y"),
    ("#hashtag", "#hashtag"),
    ("a   b\tc", "a b c"),
]


@pytest.mark.parametrize(("markdown", "spoken"), MARKDOWN)
def test_markdown_becomes_what_a_reader_would_say(markdown, spoken):
    assert make_speakable(markdown, "en").text == spoken


@pytest.mark.parametrize("is_enabled", [True, False])
@pytest.mark.parametrize(
    ("text", "language", "spoken"),
    [
        ("١٢٣", "en-us", "123"),
        ("١٢٣", "ar", "١٢٣"),
        ("۱۲۳", "ur", "123"),
        ("१२ रुपये", "hi-IN", "१२ रुपये"),
        ("１２a", "ja", "12a"),
        ("①②3 ⑫. ⓿", "en", "1 2 3 12. 0"),
        ("x² H₂O 10²³ ½", "de", "x2 H2O 10 23 ½"),
        ("①٢", "ar", "1 ٢"),
    ],
)
def test_digit_when_the_voice_is_silent_about_it_then_it_becomes_one_it_speaks(
    text, language, spoken, is_enabled
):
    assert make_speakable(text, language, is_enabled=is_enabled).text == spoken


def test_digit_of_any_script_when_spoken_in_english_then_it_is_ascii():
    digits = [char for char in map(chr, range(0x80, 0x20000)) if char.isdigit()]
    spoken = make_speakable(" ".join(digits), "en").text
    assert spoken.split() == [str(unicodedata.digit(char)) for char in digits]


@pytest.mark.parametrize(
    ("text", "language", "spoken"),
    [
        ("Hi 😀!", "en", "Hi grinning face!"),
        ("Hi😀there", "en-gb", "Hi grinning face there"),
        ("😂😂😂", "en", " face with tears of joy"),
        ("ja 😀", "de-DE", "ja grinsendes gesicht"),
        ("tak 😀", "pl", "tak grinning face"),
        ("好😀", "cmn", "好 嘿嘿"),
        ("👨‍👩‍👧‍👦 👋🏽", "en", " family man woman girl boy waving hand medium skin tone"),
        ("🇩🇪", "en", " Germany"),
        ("1️⃣ one", "en", "1 one"),
        ("x\ufe0f", "en", "x"),
    ],
)
def test_emoji_becomes_its_name_in_the_voices_language(text, language, spoken):
    assert make_speakable(text, language).text.strip() == spoken.strip()


def test_markup_when_not_enabled_stays():
    text = "**a**  [b](c) 😀\nnext\n\n# d"
    assert make_speakable(text, "en", is_enabled=False).text == "**a** [b](c) 😀 next\n# d"


def test_characters_no_engine_can_speak_are_dropped():
    text = "a\0b\x1b\x7f\x9f\ud800c\ufeff\u202ed\ue000\uffff"
    assert drop_unspeakable(text).text == "abcd"


def test_marks_behind_the_eighth_are_dropped():
    assert drop_unspeakable("e" + "\u0301" * 10_000 + "x").text == "e" + "\u0301" * MAX_MARKS + "x"


def test_text_of_a_script_with_marks_stays():
    for text in ("สวัสดีครับ", "नमस्ते क्ष", "שָׁלוֹם", "مَرْحَبًا", "مُحَمَّد"):
        assert make_speakable(text, "en").text == text


@pytest.mark.parametrize(
    "text",
    ["Die Tür über dem Floß", "Zażółć gęślą jaźń", "Việt Nam", "йод", "한국말", "がぎ パン", "கொ", "Å"],
)
@pytest.mark.parametrize("is_enabled", [True, False])
def test_letters_in_parts_when_unicode_has_one_character_then_it_is_spoken(text, is_enabled):
    parts = unicodedata.normalize("NFD", text)
    assert parts != text
    spoken = make_speakable(parts, "en", is_enabled=is_enabled)
    assert spoken.text == text
    assert spoken.original_offset(len(text)) == len(parts)


def test_letters_in_parts_when_mapped_back_then_each_is_at_its_own():
    parts = unicodedata.normalize("NFD", "Tür, Öl")
    spoken = make_speakable(parts, "de")
    letters = [(spoken.text[at], parts[spoken.original_offset(at)]) for at in range(len(spoken.text))]
    assert letters == [(char, unicodedata.normalize("NFD", char)[0]) for char in "Tür, Öl"]


def test_letters_in_parts_when_no_mark_belongs_to_them_then_they_stay():
    assert make_speakable("\u0301\u0308", "en").text == "\u0301\u0308"
    assert make_speakable("x\u0301\u0308 \u1100", "en").text == "x\u0301\u0308 \u1100"


@pytest.mark.parametrize("text", ["a", "7", "你", "%", "€", "ส", "... x", "½"])
def test_text_with_a_letter_digit_or_sign_can_be_spoken(text):
    assert has_something_to_speak(text)


@pytest.mark.parametrize("text", ["", " ", "\n", "...", "?!", "—", "()", "\u0301", "─│", "\u200d"])
def test_text_of_punctuation_cannot_be_spoken(text):
    assert not has_something_to_speak(text)


def check_map(spoken: SpokenText, original: str) -> None:
    """Assert that a map is ascending and within bounds."""
    originals = [source for _, source in spoken.origins]
    assert list(spoken.origins) == sorted(set(spoken.origins))
    assert originals == sorted(originals)
    assert all(0 <= spoken.original_offset(at) <= len(original) for at in range(len(spoken.text) + 1))


@settings(max_examples=60)
@given(st.one_of(any_text, marked_text), st.booleans(), st.sampled_from(["en", "de", "cmn"]))
def test_spoken_text_of_any_text_is_mapped_and_encodable(text, is_enabled, language):
    spoken = make_speakable(text, language, is_enabled=is_enabled)
    spoken.text.encode()
    check_map(spoken, text)
    assert "\0" not in spoken.text


MARKS_BETWEEN = [
    "**",
    "\0",
    "😀",
    "\n\n",
    " [^1]",
    "  ",
    "`x[0](y)` ",
    "<x> ",
    "<b> ",
    "③",
    "[a][b] ",
    "2**3 ",
]
MARKS_BETWEEN += ["<style>word0</style> ", "<!-- word0\n\n --> ", "`word0\nword0` ", "[a](word0) "]


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(MARKS_BETWEEN)), max_size=20))
def test_words_that_survive_are_mapped_to_themselves(gaps):
    text = "".join(f"word{number} {mark}" for number, mark in gaps) + "end"
    spoken = make_speakable(text, "en")
    for start in range(len(spoken.text)):
        if spoken.text.startswith(("word", "end"), start):
            length = 5 if spoken.text.startswith("word", start) else 3
            copied = [text[spoken.original_offset(at)] for at in range(start, start + length)]
            assert "".join(copied) == spoken.text[start : start + length]


@st.composite
def edited(draw):
    """Return a text with edits in order."""
    text = draw(st.text("abcd", max_size=40))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    edits = [
        Edit(start, end, draw(st.sampled_from(["", "X", "XYZ"])))
        for start, end in zip(cuts[::2], cuts[1::2], strict=False)
    ]
    return text, edits


@settings(max_examples=60)
@given(edited(), st.data())
def test_edits_of_edits_map_every_copied_character_to_itself(case, data):
    text, edits = case
    once = apply_edits(SpokenText(text, ((0, 0),)), edits)
    at = data.draw(st.integers(0, len(once.text)))
    twice = apply_edits(once, [Edit(at, at, "--"), Edit(min(at + 1, len(once.text)), len(once.text), "")])
    start = data.draw(st.integers(0, len(twice.text)))
    part = cut_out(twice, start, len(twice.text))
    assert part.text == twice.text[start:]
    for spoken in (once, twice, part):
        for offset, char in enumerate(spoken.text):
            if char in "abcd":
                assert text[spoken.original_offset(offset)] == char
