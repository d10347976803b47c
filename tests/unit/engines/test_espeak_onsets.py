"""When espeak-ng's words are heard: events held against the PCM."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import pairwise

import pytest

from appliance.engines.espeak import EspeakEngine
from appliance.engines.espeak_library import WordEvent
from appliance.engines.espeak_onsets import FADE_S, MAX_SILENCE_S, WordOnsets
from appliance.speech import WordMark
from tests.parts.onsets import distance_s, onsets_s
from tests.parts.utterances import english, whole_pcm

RATE_HZ = 1_000
LIMIT_S, SHIFT_S = 0.05, 0.1
SILENCE_S = 0.03
"""The pause at a comma has 0.1 s at normal speed, and shrinks faster than the words do."""
PAUSES = tuple(",.;:!?\uff0c\uff1b。")
TEXTS = {
    "gmw/en-US": "Well, people came. Then, two cats sat; kings took cakes, past Kent. Also, others parted.",
    "gmw/de": "Nun, Paul kam. Dann, weil Tom pfiff, kamen Katzen; Peter putzte. Kurz, viele tanzten.",
    "roa/fr": "Le matin, quand Paul partit, tous pleuraient; parce que, comme Anne, Katia tardait.",
    "zlw/pl": "Rano, kiedy Tomek przyszedł, psy szczekały; potem, kto wie, pan Piotr czytał.",
    "roa/es": "Por fin, cuando Pedro comió, todos cantaron; porque, claro, también querían pan.",
    "sit/cmn": "早上\uff0c太阳出来的时候\uff0c人们出去了。天很长\uff0c他看书\uff1b朋友跑步。",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[EspeakEngine]:
    engine = EspeakEngine()
    engine.warm_up()
    yield engine
    engine.close()


def spoken(engine: EspeakEngine, voice: str, speed: float) -> tuple[list[WordMark], list[float]]:
    """The marks of words behind pauses, and when sound begins behind silence."""
    text = TEXTS[voice]
    chunks = list(engine.synthesize(english(text, voice=voice, speed=speed, wants_word_marks=True)))
    marks = [mark for chunk in chunks for mark in chunk.word_marks]
    behind = [
        mark
        for before, mark in pairwise(marks)
        if any(sign in PAUSES for sign in text[before.end_char : mark.start_char])
    ]
    onsets = onsets_s(whole_pcm(chunks), chunks[0].sample_rate_hz, SILENCE_S / max(1.0, speed) ** 2)
    return [marks[0], *behind], onsets


@pytest.mark.parametrize("speed", [0.5, 0.75, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("voice", TEXTS)
def test_marks_when_a_pause_stands_before_the_word_then_they_are_at_its_sound(
    engine: EspeakEngine, voice: str, speed: float
) -> None:
    marks, onsets = spoken(engine, voice, speed)
    assert len(marks) >= 6
    assert max(distance_s(mark.time_s, onsets) for mark in marks) <= LIMIT_S


def test_marks_when_they_are_shifted_then_the_test_above_would_fail(engine: EspeakEngine) -> None:
    marks, onsets = spoken(engine, "gmw/en-US", 0.5)
    shifted = [distance_s(mark.time_s + by_s, onsets) for mark in marks[1:] for by_s in (SHIFT_S, -SHIFT_S)]
    assert sum(each > LIMIT_S for each in shifted) > len(shifted) / 2


def pcm(*runs: tuple[int, float]) -> bytes:
    """Runs of one sample value each, in seconds at 1 kHz."""
    return array("h", [value for value, length_s in runs for _ in range(round(length_s * RATE_HZ))]).tobytes()


def times_s(*taken: tuple[bytes, list[float]]) -> list[list[float]]:
    """What comes back with each run of PCM and the times of its events, and at the end."""
    onsets = WordOnsets(RATE_HZ)
    answers = [onsets.take(part, [WordEvent(0, time_s) for time_s in events]) for part, events in taken]
    return [[round(event.time_s, 3) for event in answer] for answer in (*answers, onsets.finish())]


def test_take_when_the_word_begins_with_silence_then_its_time_is_the_sounds() -> None:
    assert times_s((pcm((0, 0.08), (256, 0.1)), [0.0])) == [[0.08], []]


def test_take_when_the_sound_before_still_fades_then_the_silence_behind_that_counts() -> None:
    heard = pcm((9, 0.1 + FADE_S / 2), (0, 0.05), (9, 0.1))
    assert times_s((heard, [0.1])) == [[0.155], []]


def test_take_when_there_is_no_silence_or_it_comes_later_then_the_time_stays() -> None:
    heard = pcm((9, 0.2), (0, 0.05), (9, 0.1))
    assert times_s((heard, [0.1, 0.15])) == [[0.1, 0.15], []]


def test_take_when_the_sound_comes_with_the_next_pcm_then_the_event_waits_for_it() -> None:
    first, second = pcm((9, 0.1), (0, 0.02)), pcm((0, 0.03), (9, 0.2))
    assert times_s((first, [0.1]), (second, [])) == [[], [0.15], []]
    assert times_s((pcm((9, 0.105)), [0.1]), (second, [])) == [[], [0.135], []]


def test_take_when_another_event_comes_within_the_silence_then_that_one_has_the_sound() -> None:
    first, second = pcm((9, 0.1), (0, 0.04)), pcm((0, 0.03), (9, 0.2))
    assert times_s((first, [0.1, 0.11]), (second, [])) == [[0.1], [0.17], []]


@pytest.mark.parametrize("more_s", [0.0, 0.5])
def test_take_when_nothing_sounds_for_long_then_the_time_stays(more_s: float) -> None:
    heard = pcm((9, 0.1), (0, MAX_SILENCE_S + more_s), (9, 0.1))
    assert times_s((heard, [0.1]))[0] == [0.1]


def test_finish_when_nothing_has_sounded_then_the_event_comes_as_it_was() -> None:
    assert times_s((pcm((9, 0.1), (0, 0.02)), [0.1])) == [[], [0.1]]


def test_take_when_the_event_is_rounded_to_before_the_pcm_then_the_sound_is_found() -> None:
    assert times_s((pcm((9, 0.1)), []), (pcm((0, 0.05), (9, 0.1)), [0.0991])) == [[], [0.149], []]
