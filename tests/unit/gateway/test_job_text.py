"""A job's text is cut into blocks that cover it, and its utterances survive being lines of a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidRequestError
from appliance.job_errors import JobDamagedError
from appliance.speech import MAX_JOB_SSML_ELEMENTS, InputType, SpeechRequest
from appliance.voices import Voice
from processes.gateway.job_text import (
    BLOCK_CHARS,
    MAX_TITLE_CHARS,
    JobUtterance,
    as_line,
    cut_blocks,
    find_utterances,
    from_line,
)

PARAGRAPH = "This is a sentence of a book. Here is another one, which is longer!\n\n"
REQUEST = SpeechRequest("", "any", wants_word_times=True)
VOICE = Voice("tone-low", "Low", "tone", "low", ("en",))


def found_in(text: str, request: SpeechRequest = REQUEST, **options: bool) -> list[JobUtterance]:
    return list(find_utterances(request, VOICE, [text], pause_s=0.2, **options))


@given(st.lists(st.text(alphabet="ab. \n!", max_size=20_000), max_size=4))
def test_blocks_when_cut_then_cover_the_text_and_none_is_too_long(pieces: list[str]) -> None:
    offset = 0
    for begin, text, _ in cut_blocks(pieces):
        assert begin == offset
        assert 0 < len(text) <= BLOCK_CHARS
        offset += len(text)
    assert "".join(text for _, text, _ in cut_blocks(pieces)) == "".join(pieces)


def test_utterances_when_found_then_their_words_are_the_texts_at_their_places() -> None:
    text = PARAGRAPH * 500
    found = found_in(text)
    words = [word for each in found for word in each.utterance.words]
    assert [word.text for word in words] == text.split()
    assert all(text[word.start_char : word.end_char] == word.text for word in words)
    assert [each.utterance.index for each in found] == list(range(len(found)))


def test_utterances_when_the_text_comes_in_pieces_then_the_same() -> None:
    text = PARAGRAPH * 300
    pieces = [text[start : start + 777] for start in range(0, len(text), 777)]
    assert list(find_utterances(REQUEST, VOICE, pieces, pause_s=0.2)) == found_in(text)


def test_utterances_when_a_block_ends_between_paragraphs_then_its_pause_is_a_paragraphs() -> None:
    found = found_in(PARAGRAPH * 500)
    assert {each.utterance.pause_after_s for each in found[:-1]} == {0.5}
    assert found[-1].utterance.pause_after_s == 0


def test_utterance_when_written_as_a_line_then_read_as_the_same() -> None:
    for index, each in enumerate(found_in("# Title \U0001f600\n\n" + PARAGRAPH, has_chapters=True)):
        assert from_line(as_line(each), index) == each


@given(st.data())
def test_line_when_the_disk_has_changed_a_byte_then_it_is_damaged(data: st.DataObject) -> None:
    line = bytearray(as_line(found_in(PARAGRAPH)[0]))
    line[data.draw(st.integers(0, len(line) - 2))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(JobDamagedError):
        from_line(bytes(line), 0)


def test_utterances_when_there_are_headings_then_chapters_begin_with_them() -> None:
    text = f"# One\n\n{PARAGRAPH}## Two words ##\n\n{PARAGRAPH}"
    found = found_in(text, has_chapters=True)
    assert [each.chapter for each in found if each.chapter] == ["One", "Two words"]
    assert not any(each.chapter for each in found_in(text))


def test_utterances_when_a_heading_has_only_signs_or_many_spaces_then_no_title_or_one_space() -> None:
    spaces = " " * 7_000
    text = f"# #\n\n{PARAGRAPH}# A{spaces}b #\n\n{PARAGRAPH}"
    chapters = [each.chapter for each in found_in(text, has_chapters=True) if each.chapter]
    assert chapters == ["A b"]


def test_utterances_when_a_heading_is_too_long_then_the_begin_of_its_title() -> None:
    found = found_in(f"# {'a' * (MAX_TITLE_CHARS + 1)}\n\n{PARAGRAPH}", has_chapters=True)
    assert found[0].chapter == "a" * MAX_TITLE_CHARS


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        (r"# R\&D", "R&D"),
        ("# R&D and &lt;T&gt;", "R&D and <T>"),
        ("# **Bold** and *slanted* #", "Bold and slanted"),
        ("## Of C# and snake_case", "Of C# and snake_case"),
        ("# [A link](https://example.org/a) here", "A link here"),
        ("# `code` \U0001f600 3*4", "code \U0001f600 3*4"),
        (r"# 1\. One! And two.", "1. One! And two."),
        ("```\n# a comment\n```", ""),
    ],
)
def test_utterances_when_a_heading_has_mark_up_then_its_title_is_what_a_reader_sees(
    heading: str, title: str
) -> None:
    for text in (f"{heading}\n\n{PARAGRAPH}", f"{PARAGRAPH}{heading}\n\n{PARAGRAPH}", f"***\n\n{heading}"):
        chapters = [each.chapter for each in found_in(text, has_chapters=True) if each.chapter]
        assert chapters == [title][: len(title)], text


def test_utterances_when_their_text_is_no_markdown_then_titles_stand_as_they_are() -> None:
    request = SpeechRequest("", "any", make_speakable=False)
    found = found_in(f"# **One** ##\n\n{PARAGRAPH}", request, has_chapters=True)
    assert [each.chapter for each in found if each.chapter] == ["**One**"]


def test_utterances_when_it_is_ssml_then_split_whole() -> None:
    request = SpeechRequest("", "any", input_type=InputType.SSML)
    text = "<speak>" + "<p>This is a sentence of a book.</p>" * 400 + "</speak>"
    found = found_in(text, request)
    assert all(each.utterance.is_ssml for each in found)
    assert found[-1].utterance.end_char == len(text)


def test_utterances_when_it_is_ssml_then_as_many_elements_as_a_job_may_have() -> None:
    request = SpeechRequest("", "any", input_type=InputType.SSML)
    inside = "<mark name='a'/>" * (MAX_JOB_SSML_ELEMENTS - 1)  # beside the outermost one
    assert len(found_in(f"<speak>a{inside}</speak>", request)) == 1
    with pytest.raises(InvalidRequestError, match=f"more than {MAX_JOB_SSML_ELEMENTS} elements"):
        found_in(f"<speak>a{inside}<mark/></speak>", request)


def test_utterances_when_a_block_has_nothing_to_speak_then_it_is_passed_over() -> None:
    found = found_in("." * 20_000 + "\n\n" + PARAGRAPH)
    assert [word.text for each in found for word in each.utterance.words][-1] == "longer!"
