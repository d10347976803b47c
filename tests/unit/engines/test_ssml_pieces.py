"""SSML for engines that know none: pieces, pauses and the way back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engines.ssml_pieces import MAX_BREAK_S, USUAL_BREAK_S, Pause, Piece, cut_document, whole
from appliance.speech import InputType, SpeechRequest
from appliance.text.utterances import split_into_utterances
from appliance.voices import Voice

VOICE = Voice("amy", "Amy", "vits", "amy/0", ("en",))


def heard(document: str) -> list[str | float]:
    return [part.text.strip() if isinstance(part, Piece) else part.pause_s for part in cut_document(document)]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("", []),
        ("<speak> </speak>", []),
        ("<speak>Hello.</speak>", ["Hello."]),
        ('<speak>One<break time="250ms"/>two</speak>', ["One", 0.25, "two"]),
        ("<speak>One<break/>two</speak>", ["One", USUAL_BREAK_S, "two"]),
        ('<speak>One<break strength="none"/> two</speak>', ["One two"]),
        ('<speak>One<break time="999999ms"/></speak>', ["One", MAX_BREAK_S]),
        ("<speak>Tom &amp; <emphasis>Jer</emphasis>ry &lt;3 &#228;</speak>", ["Tom & Jerry <3 ä"]),
        ("<speak><s>One.</s><s>Two.</s></speak>", ["One.  Two."]),
        ('<speak>The <sub alias="World &amp; Web">W<mark name="x"/>W</sub>.</speak>', ["The World & Web."]),
        ("<speak>The <sub>WWW</sub>.</speak>", ["The WWW."]),
        ("5 < 6 & 7 &nonsense;", ["5 < 6 & 7 &nonsense;"]),
        ('<speak><break time="100ms"/><break time="100ms"/></speak>', [0.1, 0.1]),
    ],
)
def test_cut_when_a_document_comes_then_what_is_heard(document, expected) -> None:
    assert heard(document) == expected


def test_cut_when_a_character_is_asked_for_then_its_place_in_the_document() -> None:
    document = '<speak>A &amp; <sub alias="big">B</sub></speak>'
    (piece,) = cut_document(document)
    assert isinstance(piece, Piece)
    found = {character: document[start:end] for character, (start, end) in zip(*piece, strict=True)}
    assert found == {"A": "A", "&": "&amp;", "b": "B", "i": "B", "g": "B", " ": "</speak>"}


def test_whole_when_plain_text_then_every_character_in_its_place() -> None:
    assert whole("ab") == Piece("ab", ((0, 1), (1, 2)))


@given(st.text("<>/&;'\"=abkers 1ms\n", max_size=80))
def test_cut_when_the_text_is_anything_then_never_an_error_and_places_ascend(document) -> None:
    last = 0
    for part in cut_document(document):
        if isinstance(part, Pause):
            assert 0 < part.pause_s <= MAX_BREAK_S
            continue
        assert len(part.text) == len(part.places)
        for start, end in part.places:
            assert last <= start <= end <= len(document)
            last = start


def test_cut_when_the_gateway_wrote_the_document_then_its_breaks_are_found() -> None:
    request = SpeechRequest('<speak>One <break time="2s"/> two.</speak>', "amy", input_type=InputType.SSML)
    (utterance,) = split_into_utterances(request, VOICE)
    assert utterance.is_ssml
    assert heard(utterance.spoken.text) == ["One", 2.0, "two."]
