"""Text that comes piece by piece: where it is cut."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import TextTooLongError
from processes.gateway.streamed_text import StreamedText


async def parts_of(pieces: list[str], *, is_ssml: bool = False, language: str = "en") -> list[str]:
    """Give pieces one by one, taking what can be spoken after each."""
    text = StreamedText(language, 20_000, is_ssml=is_ssml)
    parts: list[str] = []

    async def take() -> None:
        while part := await text.next_part():
            parts.append(part)

    taking = asyncio.create_task(take())
    for piece in pieces:
        text.add(piece)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    text.end()
    await taking
    return parts


@pytest.mark.parametrize(
    ("pieces", "parts"),
    [
        ([], []),
        (["  "], []),
        (["One"], ["One"]),
        (["One. ", "Two", ". Three."], ["One. ", "Two. ", "Three."]),
        (["It costs 3.", "5 euros. ", "Dr.", " Smith pays."], ["It costs 3.5 euros. ", "Dr. Smith pays."]),
        (["- one\n- t", "wo\n", "- three"], ["- one\n", "- two\n", "- three"]),
        (
            ["Look:\n```py\n", "x = 1.\n", "```\nDone. ", "Bye"],
            ["Look:\n", "```py\nx = 1.\n```\n", "Done. ", "Bye"],
        ),
        (["<speak>One. ", "Two.</speak>"], ["<speak>One. Two.</speak>"]),
        (["A first sentence, ", "x" * 70, " goes on."], ["A first sentence, ", "x" * 70 + " goes on."]),
        (
            ["First. ", "A second sentence, ", "x" * 70, "."],
            ["First. ", "A second sentence, " + "x" * 70 + "."],
        ),
    ],
)
async def test_text_when_it_comes_in_pieces_then_cut_into_whole_sentences(
    pieces: list[str], parts: list[str]
) -> None:
    assert await parts_of(pieces) == parts


async def test_text_when_it_is_ssml_then_given_out_as_a_whole() -> None:
    assert await parts_of(["One. ", "Two. ", "Three."], is_ssml=True) == ["One. Two. Three."]


@given(st.lists(st.text(st.sampled_from("ab ,.!\n`<"), max_size=200), max_size=20))
def test_text_when_cut_then_nothing_but_white_space_is_lost(pieces: list[str]) -> None:
    def bare(texts: list[str]) -> str:
        return "".join("".join(texts).split())

    assert bare(asyncio.run(parts_of(pieces))) == bare(pieces)


async def test_text_when_no_sentence_ends_then_cut_at_a_word() -> None:
    parts = await parts_of(["word " * 500])
    assert "".join(parts) == "word " * 500
    assert all(len(part) <= 1_500 and part.endswith(" ") for part in parts)


async def test_text_when_too_much_waits_then_refused() -> None:
    text = StreamedText("en", 10, is_ssml=False)
    text.add("0123456789")
    with pytest.raises(TextTooLongError):
        text.add("x")


async def test_flush_when_a_sentence_is_not_whole_then_all_that_is_there_is_given_out_and_no_more() -> None:
    text = StreamedText("en", 100, is_ssml=False)
    text.add("One. Half a sen")
    text.flush()
    text.add("tence. Next")
    assert await text.next_part() == "One. Half a sen"
    assert await text.next_part() == "tence. "
    text.end()
    assert [await text.next_part(), await text.next_part()] == ["Next", ""]


@pytest.mark.parametrize("before", ["", "  \n"])
async def test_flush_when_there_is_nothing_then_what_comes_later_waits_for_its_end(before: str) -> None:
    text = StreamedText("en", 100, is_ssml=False)
    text.add(before)
    text.flush()
    taking = asyncio.create_task(text.next_part())
    await asyncio.sleep(0)
    text.add("Half a sen")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not taking.done()
    text.flush()
    assert await taking == "Half a sen"


async def test_flush_when_code_has_not_ended_then_given_out() -> None:
    text = StreamedText("en", 100, is_ssml=False)
    text.add("Look:\n```\nx = 1")
    assert await text.next_part() == "Look:\n"
    text.flush()
    assert await text.next_part() == "```\nx = 1"


async def test_text_when_it_comes_behind_the_end_then_not_taken() -> None:
    text = StreamedText("en", 10, is_ssml=False)
    text.add("One")
    text.end()
    text.add("Two, which is too long")
    assert [await text.next_part(), await text.next_part()] == ["One", ""]
