"""When words sound behind other utterances, stretching and an encoder's delay."""

from __future__ import annotations

import pytest

from appliance.speech import PcmChunk, SpeechRequest, WordMark
from appliance.text.utterances import split_into_utterances
from appliance.voices import Voice
from processes.gateway.heard_words import HeardWords

RATE_HZ = 8000
SECOND = bytes(2 * RATE_HZ)


def heard(indexes: list[int], tempo: float = 1.0, delay_s: float = 0.0) -> list[tuple[str, float, float]]:
    """Words of three utterances, of which some sound, each for a second with half a second behind it."""
    voice = Voice("en", "en", "tone", "low", ("en",))
    text = "One two.\n\nThree four.\n\nFive six."
    utterances = split_into_utterances(SpeechRequest(text, "en", wants_word_times=True), voice)
    words = HeardWords(utterances, RATE_HZ, tempo, delay_s)
    for index in indexes:
        chunk = PcmChunk(SECOND, RATE_HZ, (WordMark(0, 3, 0.25),), utterance_index=index, is_last=True)
        words.feed(chunk)
        words.join(len(SECOND) * 3 // 2)
    words.finish()
    return [(word.text, round(word.start_s, 3), round(word.end_s, 3)) for word in words.take()]


def test_words_when_utterances_follow_each_other_then_pauses_count() -> None:
    found = heard([0, 1, 2])
    assert [word for word, _, _ in found] == ["One", "two.", "Three", "four.", "Five", "six."]
    assert [found[at][1] for at in (0, 2, 4)] == [0.25, 1.75, 3.25]
    assert [found[at][2] for at in (1, 3, 5)] == [1.0, 2.5, 4.0]


def test_words_when_audio_is_stretched_and_late_then_so_are_they() -> None:
    plain, changed = heard([0, 1, 2]), heard([0, 1, 2], tempo=0.5, delay_s=0.05)
    for (_, start_s, end_s), (_, late_start_s, late_end_s) in zip(plain, changed, strict=True):
        assert late_start_s == pytest.approx(2 * start_s + 0.05, abs=0.002)
        assert late_end_s == pytest.approx(2 * end_s + 0.05, abs=0.002)


def test_words_when_an_utterance_has_no_sound_then_they_are_there_all_the_same() -> None:
    assert [word for word, _, _ in heard([0, 2])] == ["One", "two.", "Three", "four.", "Five", "six."]
    assert heard([0, 2])[2:4] == [("Three", 1.5, 1.5), ("four.", 1.5, 1.5)]
    assert heard([0])[2:] == [(word, 1.5, 1.5) for word in ("Three", "four.", "Five", "six.")]
    assert heard([1])[:2] == [("One", 0.0, 0.0), ("two.", 0.0, 0.0)]
