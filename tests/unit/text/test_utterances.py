"""The whole hop: a speech request becomes utterances."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import InvalidRequestError, NothingToSpeakError, RequestError
from appliance.speech import MAX_UTTERANCE_CHARS, InputType, Randomness, SpeechRequest
from appliance.text.utterances import split_into_utterances
from appliance.voices import Voice

ENGLISH = Voice("en-us", "English", "espeak", "gmw/en-US", ("en-US",), min_speed=0.46, max_speed=3.0)
CHINESE = Voice("cmn", "Chinese", "espeak", "sit/cmn", ("cmn", "zh"))
NAMELESS = Voice("x", "X", "tone", "x", ())


def split(text, voice=ENGLISH, pause_s=0.2, **fields):
    return split_into_utterances(SpeechRequest(text, voice.id, **fields), voice, pause_s=pause_s)


def test_utterances_carry_the_voice_and_the_request():
    (utterance,) = split("Hello.", speed=2.0, pitch=1.5, volume=0.5)
    assert (utterance.index, utterance.start_char, utterance.end_char) == (0, 0, 6)
    assert (utterance.engine, utterance.engine_voice) == ("espeak", "gmw/en-US")
    assert (utterance.speed, utterance.pitch, utterance.volume) == (2.0, 1.5, 0.5)
    assert (utterance.spoken.text, utterance.is_ssml) == ("Hello.", False)


def test_every_utterance_has_the_randomness_of_the_request():
    asked = Randomness(seed=5, noise_scale=0.0)
    utterances = split("Hello. " * 100, randomness=asked)
    assert len(utterances) > 1
    assert {utterance.randomness for utterance in utterances} == {asked}


@pytest.mark.parametrize(("speed", "taken"), [(0.25, 0.46), (1.0, 1.0), (4.0, 3.0)])
def test_speed_is_what_the_engine_reaches(speed, taken):
    assert split("Hello.", speed=speed)[0].speed == taken


def test_slow_speech_has_shorter_utterances():
    text = "word " * 200
    longest = [max(len(each.spoken.text) for each in split(text, speed=speed)) for speed in (1.0, 0.46)]
    assert longest[0] > 280
    assert longest[1] <= 124


def test_pauses_follow_what_ends_the_utterance():
    text = (
        "# Title\n\nA first sentence that is certainly long enough. And a second one.\n\n"
        + "word " * 60
        + "word, "
        + "x " * 60
    )
    pauses = [round(utterance.pause_after_s, 3) for utterance in split(text)]
    assert pauses[:3] == [0.5, 0.2, 0.5]
    assert pauses[-1] == 0
    assert 0.0 in pauses[3:-1]


def test_silent_spans_belong_to_the_utterance_before_them():
    text = "--- \n\nOne.\n\n...\n\nTwo.\n\n***\n"
    found = split(text)
    assert [utterance.spoken.text for utterance in found] == ["One.", "Two."]
    assert [(utterance.start_char, utterance.end_char) for utterance in found] == [(0, 17), (17, len(text))]


SILENT = ["", " ", "\n\n", "\0", "\0\0 \x1b", "\ud800", "...", "?!", "\u0301" * 10_000, "\u202e\u200f"]
SILENT_MARKUP = ["***", "---\n***", "<br>", "```\n```", "[]()"]


@pytest.mark.parametrize(
    ("text", "make_speakable"),
    [(text, is_enabled) for text in SILENT for is_enabled in (True, False)]
    + [(text, True) for text in SILENT_MARKUP],
)
def test_text_with_nothing_to_speak_is_refused(text, make_speakable):
    with pytest.raises(NothingToSpeakError) as refused:
        split(text, make_speakable=make_speakable)
    assert (refused.value.status, refused.value.param) == (400, "input")


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("a", ["a"]),
        ("%", ["%"]),
        ("😀", ["grinning face"]),
        ("a\0b\ud800c", ["abc"]),
        ("x" + "\u0301" * 10_000, ["x" + "\u0301" * 8]),
        ("e" + "\u0301" * 10_000, ["\u00e9" + "\u0301" * 7]),
        ("مرحبا بالعالم.", ["مرحبا بالعالم."]),
        ("שלום", ["שלום"]),
        ("\u202eabc\u202c", ["abc"]),
    ],
)
def test_unusual_text_has_a_defined_result(text, spoken):
    assert [utterance.spoken.text for utterance in split(text)] == spoken


def test_million_characters_are_split_whole():
    text = "Hello there, this is a sentence. " * 30_304
    found = split(text)
    assert found[-1].end_char == len(text)
    assert sum(utterance.spoken.text.count("Hello") for utterance in found) == 30_304


def test_voice_without_language_is_read_as_english():
    assert split("Dr. Smith is in. 😀", NAMELESS)[0].spoken.text == "Doctor Smith is in. grinning face"


def test_ssml_is_split_between_elements():
    text = "<speak><p>One.</p><p>Two.</p></speak>"
    found = split(text, input_type=InputType.SSML)
    assert [utterance.spoken.text for utterance in found] == [
        "<speak><p>One.</p></speak>",
        "<speak><p>Two.</p></speak>",
    ]
    assert all(utterance.is_ssml for utterance in found)
    assert (found[0].start_char, found[0].end_char, found[1].end_char) == (0, found[1].start_char, len(text))
    assert found[0].pause_after_s == 0.5


def test_plain_text_sent_as_ssml_is_refused():
    with pytest.raises(InvalidRequestError):
        split("Hello.", input_type=InputType.SSML)


def test_ssml_with_nothing_to_speak_is_refused():
    with pytest.raises(NothingToSpeakError):
        split("<speak>...</speak>", input_type=InputType.SSML)


wild = st.lists(
    st.one_of(
        st.text(st.characters(), max_size=30),
        st.sampled_from(
            [
                "word ",
                "Sentence here. ",
                "\n\n",
                "**",
                "😀",
                "# ",
                "- ",
                "你好。",
                "| a |\n",
                "```\n",
                "<b>",
                "9" * 80,
            ]
        ),
    ),
    max_size=30,
).map("".join)


@settings(max_examples=60)
@given(wild, st.sampled_from([ENGLISH, CHINESE, NAMELESS]), st.booleans(), st.sampled_from([0.25, 1.0, 4.0]))
def test_any_text_gives_utterances_that_cover_it_or_a_request_error(text, voice, make_speakable, speed):
    try:
        found = split(text, voice, make_speakable=make_speakable, speed=speed)
    except RequestError:
        return
    assert found[0].start_char == 0
    assert found[-1].end_char == len(text)
    assert [each.start_char for each in found[1:]] == [each.end_char for each in found[:-1]]
    assert all(each.start_char <= each.end_char for each in found)
    assert [each.index for each in found] == list(range(len(found)))
    for each in found:
        assert 0 < len(each.spoken.text) <= MAX_UTTERANCE_CHARS
        assert each.spoken.text == each.spoken.text.strip()
        each.spoken.text.encode()
        originals = [each.spoken.original_offset(at) for at in range(len(each.spoken.text))]
        assert originals == sorted(originals)
        assert all(each.start_char <= original <= each.end_char for original in originals)


# Mark-up and what only looks like it; each {} is a word that must be heard, "no" is what may be left out.
INLINE = r"""
{} {}, {}. {}! {}…  ({})  "{}" '{}'  {}? {};  {}: {}  ${} {}%  {}&{}  & {}  |{}  {}/{}
*{}* **{}** ***{}***  _{}_ __{}  {}**{}**  {}_{}  {}*{}*{}  ~~{}~~ ~{}  **{} {}  2**{} {}**3  {}__{}__ _
`{}`  `{}[{}]({})`  `<{}>` `<div {}>`  ``{}`{}``  `[{}][{}]` `<b>{}  `{} {}``  `&{};`  `{}(){}`
<{}>  <{} {}>  <b {} {}>  {}<{}>  {}<{}>{}  </{}> <{}/>  <{}: {}>  <{}+{}>  <{}@{}.org>  <{} {}=1>  < {} > {}
<b>{}</b>  <i class="no">{}</i>  <br/>{}  <td>{}<p hidden>{}  <!-- no -->{}  <style>no</style>{}  <script>{}
[{}]  [{}][{}]  [{}][{}][{}]  {}[{}] {}[{}][{}]  {}[{}]({})  [{} {}]  [[{}]] ]{}[  [{}  ![{} {}]  [{}]: {}
[{}](http://a.b/no)  [*{}*]( /no )  [{} {}](<no> "no")  ![{}](no.png)  [![{}](no.png)](http://a.b)
https://{}.com/no  <https://{}.org/no>  www.{}.org  {}@{}.com  {}://{}  &lt;{}&gt; &{};  {}[^1] {}[^-{}]
[{}][label]  \{} \[{}\]({})  \`{} \<{}>  😀{} {}😀  ①{} {}² ²{}  {}…{}  - {}  # {}  > {}  = {}  a\ {}
"""
BLOCKS = r"""
@  # @  ## @ ##  #@  - @  * [x] @  1. @  12) @  > @  > > @  >@  [{}]: {}  [{}]: {} ({}) @  [{}]: {}/{}
[^no]: @  [label]: http://a.b/no  @NL===  | @ | @ |NL|---|---|NL| {} | @ |  | @  @\  : @  + @  *@  _@
```NL@NL```  ~~~ noNL@NL~~~  ``` {} {}  ```no no=noNL@NL```  ---NL@  <p>NL@NL</p>
<style>NLno {no: no}NLNL[no](no)NL</style>
"""


def forms(text):
    return [form.strip().replace("NL", "\n") for form in re.split("  |\n", text.strip())]


@st.composite
def marked_up(draw):
    """Return a text, and the words and numbers in it that must be heard; none is part of another."""
    inline = st.lists(st.sampled_from(forms(INLINE)), min_size=1, max_size=4).map(" ".join)
    blocks = [
        re.sub("@", lambda _: draw(inline), form)
        for form in draw(st.lists(st.sampled_from(forms(BLOCKS)), min_size=1, max_size=6))
    ]
    are_numbers = draw(st.integers(0, 2**32 - 1))
    heard: list[str] = []

    def word(_):
        digits = "".join(str(len(heard) // base % 5) for base in (125, 25, 5, 1))
        is_number = are_numbers >> len(heard) % 32 & 1
        heard.append("9" + digits if is_number else "x" + digits.translate(str.maketrans("01234", "abcde")))
        return heard[-1]

    return re.sub(r"\{\}", word, draw(st.sampled_from(["\n", "\n\n", "\r\n"])).join(blocks)), heard


@settings(max_examples=150)
@given(marked_up())
def test_words_when_marked_up_in_any_way_then_each_is_spoken_once_and_mapped_to_itself(case):
    text, heard = case
    found = [utterance.spoken for utterance in split(text, spell_out=False)] if heard else []
    said = "".join(spoken.text for spoken in found)
    assert {word: said.count(word) for word in heard} == dict.fromkeys(heard, 1)
    for spoken in found:
        for word in re.finditer("x[a-e]{4}|9[0-4]{4}", spoken.text):
            assert [text[spoken.original_offset(at)] for at in range(*word.span())] == list(word[0])


def test_text_that_is_spoken_quickly_stays_in_one_piece_if_it_is_one_paragraph():
    text = "A first sentence that goes on for a while, with a clause. A second one, as long. And a third."
    assert len(split(text)) > 1
    assert len(split_into_utterances(SpeechRequest(text, ENGLISH.id), ENGLISH, is_quick=True)) == 1
    apart = text.replace(". ", ".\n\n")
    assert len(split_into_utterances(SpeechRequest(apart, ENGLISH.id), ENGLISH, is_quick=True)) > 1
    heavy = "1234567 " * 30
    assert len(split_into_utterances(SpeechRequest(heavy, ENGLISH.id), ENGLISH, is_quick=True)) > 1
