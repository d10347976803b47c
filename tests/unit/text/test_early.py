"""The first utterance early, and nothing lost by it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import NothingToSpeakError
from appliance.speech import SpeechRequest, Utterance
from appliance.text.early import HEAD_CHARS, EarlyUtterances
from appliance.text.utterances import split_into_utterances
from appliance.voices import Voice

VOICE = Voice("en-us", "English", "espeak", "gmw/en-US", ("en-us",))
SENTENCES = st.lists(
    st.sampled_from(
        [
            "A plain sentence. ",
            "**Bold and ",
            "closed** later. ",
            "\n\n# Heading\n\n",
            "- item\n",
            "```\ncode\n```\n",
            "… ",
            "x" * 400,
        ]
    ),
    min_size=60,
    max_size=200,
)


def everything(found: EarlyUtterances) -> list[Utterance]:
    if not found.is_whole:
        found.split_rest()
    return found.known


def early(text: str) -> EarlyUtterances:
    return EarlyUtterances(SpeechRequest(text, VOICE.id), VOICE, pause_s=0.15)


def test_early_when_the_text_is_long_then_only_the_first_is_known_before_it_is_asked_for() -> None:
    found = early("One sentence after the other. " * 500)
    assert (len(found.known), found.is_whole) == (1, False)
    request = SpeechRequest("One sentence after the other. " * 500, VOICE.id)
    assert everything(found) == split_into_utterances(request, VOICE, pause_s=0.15)
    assert found.is_whole


def test_early_when_the_text_is_short_then_it_is_whole_at_once() -> None:
    found = early("Short. " * 20)
    assert found.is_whole


def test_early_when_the_head_holds_nothing_then_the_rest_is_found() -> None:
    found = everything(early("* " * HEAD_CHARS + "At last a word."))
    assert found[-1].spoken.text.endswith("word.")


@pytest.mark.parametrize("hidden", ["<style>{}</style>", "<script>{}</script>", "<!-- {} -->"])
def test_early_when_hidden_content_is_longer_than_the_head_then_none_of_it_is_spoken(hidden) -> None:
    found = everything(early(hidden.format("Not this sentence. " * HEAD_CHARS) + "But this one. " * 300))
    assert not any("Not" in utterance.spoken.text for utterance in found)


def test_early_when_nothing_is_speakable_then_it_says_so() -> None:
    with pytest.raises(NothingToSpeakError):
        early("* " * 3 * HEAD_CHARS)


@given(SENTENCES)
def test_early_when_all_are_found_then_the_spans_cover_the_text_exactly(parts: list[str]) -> None:
    text = "".join(parts)
    found = everything(early(text))
    assert found[0].start_char == 0
    assert found[-1].end_char == len(text) or not text[found[-1].end_char :].strip(" …#\n-`")
    assert all(one.end_char == two.start_char for one, two in pairwise(found))
    assert [utterance.index for utterance in found] == list(range(len(found)))
