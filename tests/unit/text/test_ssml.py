"""SSML from the network: what is refused, what is dropped, where it is cut."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidRequestError, RequestError, TextTooLongError
from appliance.text.fragments import Wanted, group_parts
from appliance.text.ssml import MAX_DEPTH, Run, is_ssml, parse_ssml

BOMB = (
    '<!DOCTYPE speak [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><speak>&b;&b;&b;</speak>'
)


def fragments(text, **options):
    return [fragment.spoken.text for fragment in group_parts(parse_ssml(text), "en", **options)]


def words(markup):
    return " ".join("".join(ET.fromstring(markup).itertext()).split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<speak>x</speak>", True),
        ("\ufeff \n<speak version='1.0'>", True),
        ("<speak/>", True),
        ("<speaker>", False),
        ("Say <speak>", False),
        ("", False),
    ],
)
def test_text_is_ssml_when_it_begins_as_such(text, expected):
    assert is_ssml(text) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "document type"),
        ('<!DOCTYPE speak SYSTEM "file:///etc/passwd"><speak>a</speak>', "document type"),
        ("<speak>&nbsp;</speak>", "line 1, column 8: undefined entity"),
        ("<speak>\n<p>never closed</speak>", "line 2, column 18: mismatched tag"),
        ("<speak>never closed", "line 1, column 20: no element found"),
        ("", "no element found"),
        ("plain text", "isn't well-formed"),
        ("<speak>a\0b</speak>", "isn't well-formed"),
        ("<speak>a\ud800b</speak>", "half a surrogate pair at character 8"),
        ("<html>a</html>", "must begin with <speak>"),
        ("<speak>" + "<p>" * MAX_DEPTH + "a" + "</p>" * MAX_DEPTH + "</speak>", "nested deeper than 32"),
        ("<speak>" + "<p/>" * 10_001 + "</speak>", "more than 10000 elements"),
        ("<speak>" + "a\n" * 40_001 + "</speak>", "more than 40000 lines"),
        ("<speak>" + "a&amp;" * 20_001 + "</speak>", "more than 40000 lines"),
        ("<speak>" + "a<!---->" * 40_001 + "</speak>", "more than 40000 lines"),
        ("<speak>" + "<s></s>" * 5000 + "a</speak>", "too many tags"),
    ],
)
def test_ssml_that_is_not_allowed_is_refused_with_the_reason(text, reason):
    with pytest.raises(InvalidRequestError, match=reason) as refused:
        fragments(text)
    assert refused.value.param == "input"


@pytest.mark.parametrize(
    ("inside", "kept"),
    [
        ('<audio src="/etc/passwd">alt text<desc>no</desc></audio>', "alt text"),
        ('<voice name="../../etc/x" xml:lang="de">ja</voice>', '<voice xml:lang="de">ja</voice>'),
        ('<voice name="a/b" gender="female">a</voice>', '<voice gender="female">a</voice>'),
        ('<voice name="en-us+f3">a</voice>', '<voice name="en-us+f3">a</voice>'),
        ('<lang xml:lang="fr">oui</lang>', '<voice xml:lang="fr">oui</voice>'),
        ('<prosody rate="slow" contour="(0%,+20Hz)">a</prosody>', '<prosody rate="slow">a</prosody>'),
        ('a<break time="99s"/>', 'a<break time="5000ms"/>'),
        ('a<break time="1.5s" onclick="x"/>', 'a<break time="1500ms"/>'),
        ('a<mark name="here"/>', 'a<mark name="here"/>'),
        ('<sub alias="a &lt; &quot;b&quot;">x</sub>', "<sub alias='a &lt; \"b\"'>x</sub>"),
        ('<sub alias="World Wide Web"></sub>', '<sub alias="World Wide Web"></sub>'),
        ('a<sub alias="b"><break/></sub>', 'a<sub alias="b"></sub>'),
        ("a<sub></sub>", "a"),
        ("١٢ ①②", "12 1 2"),
        (
            '<say-as interpret-as="characters">A<b>B</b></say-as>',
            '<say-as interpret-as="characters">AB</say-as>',
        ),
        ('<emphasis level="strong">a</emphasis>', '<emphasis level="strong">a</emphasis>'),
        ("<x:unknown xmlns:x='y' z='1'>a</x:unknown>", "a"),
        ("<metadata><p>no</p></metadata><script>no</script>a", "a"),
        ("<speak>a</speak>", "a"),
        ("a &lt; b &amp; <![CDATA[c > d]]>", "a &lt; b and c &gt; d"),
        ("a<!-- no --><?php no ?>b", "ab"),
        ("a \n\n b", "a b"),
        ("e😀", "e grinning face"),
    ],
)
def test_ssml_goes_through_a_sieve(inside, kept):
    assert fragments(f"<speak>{inside}</speak>") == [f"<speak>{kept}</speak>"]


def test_emoji_in_ssml_when_not_enabled_stays():
    wanted = Wanted(names_emoji=False)
    assert fragments("<speak>a  😀</speak>", wanted=wanted) == ["<speak>a 😀</speak>"]


def test_amounts_in_ssml_are_said_in_the_language_around_them():
    inside = 'a 5 km <lang xml:lang="de">und 1 kg <say-as interpret-as="characters">5 km</say-as></lang> 3 km'
    assert words(fragments(f"<speak>{inside}</speak>")[0]) == (
        "a 5 kilometers und ein Kilogramm 5 km 3 kilometers"
    )
    assert fragments("<speak>5 km</speak>", wanted=Wanted(spells_out=False)) == ["<speak>5 km</speak>"]


def test_ssml_when_it_has_many_lines_then_each_word_is_found_again_and_none_is_noted():
    text = "<speak>" + "one żó\r\n" + "two\nthree &lt; four\n" * 3 + "</speak>"
    [run] = (part for part in parse_ssml(text) if isinstance(part, Run))
    for word in ("one", "two", "three", "four"):
        at = run.text.text.index(word)
        begin = run.text.original_offset(at)
        assert text[begin : begin + len(word)] == word
    assert text[run.text.original_offset(run.text.text.index("<")) :].startswith("&lt;")
    many = parse_ssml("<speak>" + "a line\n" * 1_000 + "</speak>")
    [plain] = (part for part in many if isinstance(part, Run))
    assert len(plain.text.origins) == 1


def test_ssml_is_cut_between_sentences_with_the_elements_opened_again():
    text = (
        '<speak xml:lang="en"><p><s>One is here.</s><break time="1s"/><s>Two is here.</s></p>'
        '<prosody pitch="high">Three is a longer sentence than all others. '
        "Four comes after it at last.</prosody>"
        "</speak>"
    )
    assert fragments(text) == [
        '<speak xml:lang="en"><p><s>One is here.</s><break time="1000ms"/></p></speak>',
        '<speak xml:lang="en"><p><s>Two is here.</s></p></speak>',
        (
            '<speak xml:lang="en"><prosody pitch="high">Three is a longer sentence than all others. '
            "</prosody></speak>"
        ),
        '<speak xml:lang="en"><prosody pitch="high">Four comes after it at last.</prosody></speak>',
    ]


def test_long_element_is_cut_into_short_fragments():
    parts = fragments("<speak><p>" + "word, and another one " * 100 + "</p></speak>")
    assert all(len(words(part)) <= 300 for part in parts)
    assert " ".join(map(words, parts)).split() == ("word, and another one " * 100).split()


def test_slow_rate_makes_fragments_shorter():
    parts = fragments('<speak><prosody rate="x-slow">' + "word " * 100 + "</prosody></speak>")
    assert max(len(words(part)) for part in parts) <= 135


def test_element_that_cannot_be_cut_is_refused_when_too_long():
    with pytest.raises(TextTooLongError, match="<say-as> element takes too long to speak: at most 300"):
        fragments("<speak><say-as interpret-as='date'>" + "1" * 301 + "</say-as></speak>")


def test_breaks_without_text_are_bounded():
    (part,) = fragments("<speak>a" + '<break time="5s"/>' * 100 + "</speak>")
    assert part.count("<break") == 5
    (part,) = fragments("<speak>" + '<break time="5s"/>' * 100 + "a</speak>")
    assert part.count("<break") == 1


def test_punctuation_without_end_is_left_out():
    assert fragments("<speak>" + "... " * 1000 + "<p>a</p></speak>")[-1].endswith("a</p></speak>")
    assert max(map(len, fragments("<speak>a<p>" + "<s>...</s>" * 1000 + "</p></speak>"))) < 16_000


def test_emphasis_in_the_middle_of_a_long_text_begins_a_fragment_when_needed():
    parts = fragments("<speak>" + "word " * 59 + "<emphasis>and this</emphasis> at the end.</speak>")
    assert parts[-1] == "<speak><emphasis>and this</emphasis> at the end.</speak>"


def test_ssml_without_anything_to_speak_has_no_fragments():
    assert fragments('<speak><break time="1s"/> ... <mark name="x"/></speak>') == []


def test_text_of_fragments_is_mapped_back_to_the_original():
    text = (
        "<speak>Größe &amp; <emphasis>Ωmega</emphasis> 😀 x.\r\n"
        "<say-as interpret-as='x'>ß&#65;B</say-as></speak>"
    )
    (fragment,) = group_parts(parse_ssml(text), "de")
    spoken = fragment.spoken
    for word in ("Größe", "Ωmega", " x.", "ß", "B"):
        start = spoken.text.index(word + "<") if word == "B" else spoken.text.index(word)
        assert [text[spoken.original_offset(at)] for at in range(start, start + len(word))] == list(word)


def test_element_when_only_its_alias_is_spoken_then_it_is_mapped_to_itself():
    text = '<speak>Größe <sub alias="x"></sub> y</speak>'
    spoken = group_parts(parse_ssml(text), "en")[0].spoken
    originals = [spoken.original_offset(at) for at in range(len(spoken.text) + 1)]
    assert originals == sorted(originals)
    assert originals[spoken.text.index("</sub>")] == text.index("</sub>")


TAGS = (
    "<p> </p> <s> </s> <voice> </voice> <break/> <mark/> <sub> </sub> <say-as> </say-as> text. &lt; ... é 😀 "
    "<audio> </audio>"
)
pieces = st.sampled_from(
    [*TAGS.split(), " ", '<sub alias="x"></sub>', '<sub alias="x">', "Hello there. ", "word " * 80, "9" * 70]
)


@given(st.lists(pieces, max_size=25).map("".join))
def test_any_ssml_gives_whole_documents_or_a_request_error(inside):
    text = f"<speak>{inside}</speak>"
    try:
        found = group_parts(parse_ssml(text), "en")
    except RequestError:
        return
    for fragment in found:
        ET.fromstring(fragment.spoken.text)
        originals = [original for _, original in fragment.spoken.origins]
        assert originals == sorted(originals)
        assert 0 <= fragment.start_char <= len(text)
        assert max(originals) <= len(text)
    starts = [fragment.start_char for fragment in found]
    assert starts == sorted(starts)
    said = "".join(words(fragment.spoken.text).replace(" ", "") for fragment in found)
    assert inside.count("Hello there.") == said.count("Hellothere.")


@given(st.text(st.characters(), max_size=100), st.booleans())
def test_any_text_taken_for_ssml_gives_a_request_error_or_fragments(text, is_wrapped):
    try:
        found = fragments(f"<speak>{text}</speak>" if is_wrapped else text)
    except RequestError:
        return
    assert [ET.fromstring(fragment).tag for fragment in found] == ["speak"] * len(found)
