"""Captions: cues that can be read, in three formats that players can."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.captions import MAX_COLUMNS, MAX_CUE_S, CaptionFormat, Cue, make_cues, write_captions
from appliance.speech import TimedWord

WORD_S = 0.3
TEXT = (
    "The sun had not yet risen. The sea was indistinguishable from the sky, except that the sea was slightly "
    "creased, as if a cloth had wrinkles in it; then, as the sky whitened, a dark line lay on the horizon."
)


def timed(text: str, word_s: float = WORD_S, pauses: dict[int, float] | None = None) -> list[TimedWord]:
    words: list[TimedWord] = []
    time_s = 0.0
    for index, found in enumerate(re.finditer(r"\S+", text)):
        time_s += (pauses or {}).get(index, 0.0)
        words.append(TimedWord(found[0], *found.span(), True, time_s, time_s + word_s))
        time_s += word_s
    return words


def texts(cues: list[Cue]) -> list[str]:
    return ["\n".join(cue.lines) for cue in cues]


def test_cues_when_a_text_is_long_then_they_end_with_sentences_and_clauses() -> None:
    cues = list(make_cues(timed(TEXT)))
    assert [cue.split()[-1] for cue in texts(cues)] == ["risen.", "sky,", "then,", "horizon."]


def test_cues_when_a_sentence_is_short_then_it_goes_with_the_next() -> None:
    assert texts(list(make_cues(timed("No. Yes. It is so. Then go.", 0.2)))) == [
        "No. Yes. It is so.",
        "Then go.",
    ]


def test_cues_when_there_is_a_pause_then_it_ends_a_cue_as_a_full_stop_does() -> None:
    cues = list(make_cues(timed("A heading of mine and text behind it", pauses={4: 0.4})))
    assert texts(cues) == ["A heading of mine", "and text behind it"]


def test_cues_when_two_lines_are_needed_then_they_are_balanced() -> None:
    (cue,) = make_cues(timed("one two three four five six seven eight nine ten eleven", 0.2))
    assert cue.lines == ("one two three four five six", "seven eight nine ten eleven")


def test_cues_when_a_word_is_longer_than_a_line_then_it_stays_whole() -> None:
    address = "https://example.com/" + "x" * 80
    cues = list(make_cues(timed(f"See {address} there.")))
    assert " ".join(line for cue in cues for line in cue.lines) == f"See {address} there."
    assert any(address in cue.lines for cue in cues)


def test_cues_when_one_is_short_then_it_stays_for_a_second_or_until_the_next() -> None:
    (alone,) = make_cues([TimedWord("Hi.", 0, 3, True, 0.5, 0.7)])
    assert (alone.start_ms, alone.end_ms) == (500, 1500)
    first, _ = make_cues(timed("w" * 60 + " " + "v" * 60 + " " + "u" * 60, 0.4))
    assert (first.start_ms, first.end_ms) == (0, 800)


def test_cues_when_characters_are_wide_then_each_takes_two_columns() -> None:
    words = [TimedWord("字", at, at + 1, False, at / 10, at / 10 + 0.1) for at in range(60)]
    cues = list(make_cues(words))
    assert "".join(line for cue in cues for line in cue.lines) == "字" * 60
    assert max(len(line) for cue in cues for line in cue.lines) <= MAX_COLUMNS / 2


def test_cues_when_words_come_one_by_one_then_each_cue_leaves_at_once() -> None:
    taken: list[TimedWord] = []

    def source():
        for word in itertools.cycle(timed(TEXT)):
            shift_s = len(taken) * WORD_S
            taken.append(word)
            yield TimedWord(word.text, 0, 1, True, shift_s, shift_s + WORD_S)

    cues = make_cues(source())
    given_out = 0
    for _ in range(500):
        given_out += len(next(cues).words)
        assert len(taken) - given_out < 40


word_texts = st.text(st.sampled_from("abé.,;!?–\"'字<&>-"), min_size=1, max_size=12) | st.just("x" * 50)
steps = st.tuples(word_texts, st.floats(0, 9), st.floats(0, 3) | st.just(0.0), st.booleans())


@settings(max_examples=200)
@given(st.lists(steps, max_size=50), st.sampled_from(list(CaptionFormat)))
def test_captions_when_any_words_then_every_word_once_and_no_cue_overlaps(
    given_steps, caption_format
) -> None:
    words: list[TimedWord] = []
    time_s = 0.0
    for text, lasts_s, pause_s, is_apart in given_steps:
        words.append(TimedWord(text, 0, 1, is_apart, time_s, time_s + lasts_s))
        time_s += lasts_s + pause_s
    cues = list(make_cues(words))
    assert [word for cue in cues for word in cue.words] == words
    for cue, after in itertools.pairwise(cues):
        assert cue.end_ms <= after.start_ms
    for cue in cues:
        assert 0 < cue.end_ms - cue.start_ms <= MAX_CUE_S * 1000 + 1
        assert 1 <= len(cue.lines) <= 2
        assert "".join("".join(cue.lines).split()) == "".join(word.text for word in cue.words)
        assert all(len(line) <= MAX_COLUMNS or " " not in line for line in cue.lines if "字" not in line)
    written = "".join(write_captions(caption_format, words))
    assert read_back(caption_format, written) == [cue.lines for cue in cues]


def read_back(caption_format: CaptionFormat, written: str) -> list[tuple[str, ...]]:
    """What a player reads."""
    if caption_format is CaptionFormat.JSON:
        return [tuple(cue["text"].split("\n")) for cue in json.loads(written)["cues"]]
    blocks = written.split("\n\n")
    assert blocks.pop() == ""
    if caption_format is CaptionFormat.VTT:
        assert blocks.pop(0) == "WEBVTT"
        assert all(
            "-->" not in line and "<" not in line for block in blocks for line in block.split("\n")[1:]
        )
    else:
        assert [block.split("\n")[0] for block in blocks] == [str(at + 1) for at in range(len(blocks))]
        blocks = [block.partition("\n")[2] for block in blocks]
    point = "\\." if caption_format is CaptionFormat.VTT else ","
    clock = rf"\d\d:[0-5]\d:[0-5]\d{point}\d\d\d"
    assert all(re.fullmatch(f"{clock} --> {clock}", block.split("\n")[0]) for block in blocks)
    names = {"&lt;": "<", "&gt;": ">", "&amp;": "&"} if caption_format is CaptionFormat.VTT else {}
    return [
        tuple(
            re.sub("|".join(names) or "(?!)", lambda name: names[name[0]], line)
            for line in block.split("\n")[1:]
        )
        for block in blocks
    ]


WORDS = [TimedWord("<b>&", 0, 4, True, 3599.9996, 3600.5), TimedWord("-->", 5, 8, True, 3600.5, 3661.25)]


@pytest.mark.parametrize(
    ("caption_format", "expected"),
    [
        ("srt", "1\n01:00:00,000 --> 01:00:01,000\n<b>&\n\n2\n01:00:01,000 --> 01:00:08,000\n-->\n\n"),
        (
            "vtt",
            (
                "WEBVTT\n\n01:00:00.000 --> 01:00:01.000\n&lt;b&gt;&amp;\n\n"
                "01:00:01.000 --> 01:00:08.000\n--&gt;\n\n"
            ),
        ),
    ],
)
def test_captions_when_written_then_times_and_signs_are_those_of_the_format(caption_format, expected) -> None:
    words = [WORDS[0], TimedWord("-->", 5, 8, True, 3601.0, 3661.25)]
    written = "".join(write_captions(CaptionFormat(caption_format), words))
    assert written == expected


def test_captions_when_json_then_words_have_their_places_and_times() -> None:
    (cue, _) = json.loads("".join(write_captions(CaptionFormat.JSON, WORDS)))["cues"]
    assert cue["words"] == [{"word": "<b>&", "start": 3600.0, "end": 3600.5, "start_char": 0, "end_char": 4}]
    assert (cue["start"], cue["text"]) == (3600.0, "<b>&")


@pytest.mark.parametrize(
    ("caption_format", "expected"), [("srt", ""), ("vtt", "WEBVTT\n\n"), ("json", '{"cues":[]}')]
)
def test_captions_when_there_are_no_words_then_an_empty_file(caption_format, expected) -> None:
    assert "".join(write_captions(CaptionFormat(caption_format), [])) == expected
