"""A job's text becomes utterances, block by block, so that memory doesn't grow with the text.

Owns: where a text is cut into blocks, the pause between two of them, a chapter's heading, utterances as lines
of a file.
Refuses to know: how a block is split (`appliance.text`), and where the text lies.

A block ends with a paragraph where it can. Mark-up doesn't reach from one into the next, and a reference
finds no definition there. SSML is split whole, since its elements may reach from end to end.
"""

from __future__ import annotations

import json
import re
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from typing import Any

from appliance.errors import NothingToSpeakError
from appliance.job_errors import JobDamagedError
from appliance.speech import (
    MAX_JOB_SSML_ELEMENTS,
    MAX_UTTERANCE_CHARS,
    InputType,
    SpeechRequest,
    SpokenText,
    Utterance,
    WrittenWord,
)
from appliance.text.normalize import has_something_to_speak, make_speakable
from appliance.text.split import Border
from appliance.text.utterances import PAUSE_FACTORS, split_into_utterances
from appliance.text.written import Stretch, written_words
from appliance.voices import Voice

BLOCK_CHARS = 8_000
"""A block ends with the last paragraph within so many characters, else with a line, a sentence, a word."""
_ENDS = (
    (re.compile(r"\n[ \t]*\n\s*"), Border.PARAGRAPH),
    (re.compile(r"\n\s*"), Border.PARAGRAPH),
    (re.compile(r"[.!?…。！？][\"”’»)\]]*\s*"), Border.SENTENCE),  # noqa: RUF001 (full-width signs)
    (re.compile(r"\s+"), Border.NONE),
)
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
MAX_TITLE_CHARS = 200
MAX_MARKUP_CHARS = 1_000
"""That may stand before a heading's first word."""


@dataclass(frozen=True, slots=True)
class JobUtterance:
    """An utterance of a job, and the title of the chapter that begins with it."""

    utterance: Utterance
    chapter: str = ""


def find_utterances(
    request: SpeechRequest, voice: Voice, pieces: Iterable[str], *, pause_s: float, has_chapters: bool = False
) -> Iterator[JobUtterance]:
    """Yield a job's utterances; blocks for some 3 ms per 10,000 characters.

    Args:
        request: How to speak; its own text isn't looked at.
        voice: Who speaks.
        pieces: The text, in pieces of any length.
        pause_s: Seconds of silence between two sentences.
        has_chapters: Whether the headings of plain text begin chapters.

    Raises:
        InvalidRequestError, TextTooLongError: As `split_into_utterances`.
    """
    index = 0
    is_ssml = request.input_type is InputType.SSML
    request = replace(request, max_elements=MAX_JOB_SSML_ELEMENTS)
    blocks = [(0, "".join(pieces), Border.NONE)] if is_ssml else cut_blocks(pieces)
    for offset, text, border in blocks:
        pause_after_s = pause_s * PAUSE_FACTORS[border]
        for each in _split(replace(request, text=text), voice, pause_s):
            is_last = each.end_char == len(text)
            chapter = ""
            if has_chapters and not is_ssml:
                chapter = _heading(text, each, is_markdown=request.make_speakable)
            moved = _moved(each, index, offset)
            yield JobUtterance(replace(moved, pause_after_s=pause_after_s) if is_last else moved, chapter)
            index += 1


def cut_blocks(pieces: Iterable[str]) -> Iterator[tuple[int, str, Border]]:
    """Yield a text in blocks: where each begins, in characters, its text, and what ends it."""
    offset, rest = 0, ""
    for piece in pieces:
        rest += piece
        while len(rest) > BLOCK_CHARS:
            end, border = _end(rest[:BLOCK_CHARS])
            yield offset, rest[:end], border
            offset, rest = offset + end, rest[end:]
    if rest:
        yield offset, rest, Border.NONE


def _end(text: str) -> tuple[int, Border]:
    """Return where a block ends that goes on behind this text, in its second half where it can."""
    for pattern, border in _ENDS:
        ends = [found.end() for found in pattern.finditer(text, len(text) // 2) if found.end() < len(text)]
        if ends:
            return ends[-1], border
    return len(text), Border.NONE


def _split(request: SpeechRequest, voice: Voice, pause_s: float) -> list[Utterance]:
    try:
        return split_into_utterances(request, voice, pause_s=pause_s, first_max_chars=MAX_UTTERANCE_CHARS)
    except NothingToSpeakError:
        return []


def _heading(text: str, utterance: Utterance, *, is_markdown: bool) -> str:
    """Return the title of a markdown heading that an utterance begins with, as a reader sees it."""
    start = utterance.spoken.original_offset(0)
    begin, end = text.rfind("\n", 0, start) + 1, text.find("\n", start)
    line = text[begin : len(text) if end < 0 else end]
    found = _HEADING.match(line)
    if found is None or start - begin > MAX_MARKUP_CHARS:
        return ""
    if is_markdown:
        # A heading's own signs aren't spoken, but those in a block of code are.
        is_code = start - begin <= found.start(1)
        return "" if is_code else _seen(line, start - begin)[:MAX_TITLE_CHARS]
    is_first = not has_something_to_speak(line[found.start(2) : start - begin])
    return found[2].rstrip(" \t#")[:MAX_TITLE_CHARS] if is_first else ""


def _seen(line: str, start_char: int) -> str:
    """Return a line without its mark-up; nothing if words stand before a place in it, or only signs."""
    seen = make_speakable(line, "en")  # the language is for what is spoken, not for what is seen
    chars = len(seen.text)
    before = bisect_left(range(chars), start_char, key=seen.original_offset)
    if has_something_to_speak(seen.text[:before]):
        return ""
    words = written_words(line, seen, Stretch(0, chars, 0, chars, is_last=True))
    title = "".join(f" {word.text}" if word.is_apart else word.text for word in words).strip()
    return title if title.strip("# ") else ""


def _moved(utterance: Utterance, index: int, offset_chars: int) -> Utterance:
    words = tuple(
        replace(word, start_char=word.start_char + offset_chars, end_char=word.end_char + offset_chars)
        for word in utterance.words
    )
    return replace(
        utterance,
        index=index,
        start_char=utterance.start_char + offset_chars,
        end_char=utterance.end_char + offset_chars,
        spoken=SpokenText(utterance.spoken.text),  # the way back was needed for the words only
        wants_early_sound=False,
        words=words,
    )


def as_line(found: JobUtterance) -> bytes:
    """Return an utterance as a line of JSON, `[checksum,utterance]`."""
    each = found.utterance
    values: dict[str, Any] = {
        "text": each.spoken.text,
        "span": [each.start_char, each.end_char],
        "engine": [each.engine, each.engine_voice],
        "figures": [each.speed, each.pitch, each.volume],
        "ssml": each.is_ssml,
        "pause": each.pause_after_s,
        "marks": each.wants_word_marks,
        "words": [astuple(word) for word in each.words],
        "chapter": found.chapter,
    }
    data = json.dumps(values, separators=(",", ":")).encode()
    return b"[%d,%s]\n" % (zlib.crc32(data), data)


def from_line(line: bytes, index: int) -> JobUtterance:
    """Return the utterance that `as_line` has written.

    Raises:
        JobDamagedError: The line isn't as it was written.
    """
    checksum, _, data = line.removesuffix(b"]\n").partition(b",")
    if checksum != b"[%d" % zlib.crc32(data):
        raise JobDamagedError("An utterance's text is damaged")
    values = json.loads(data)
    speed, pitch, volume = values["figures"]
    utterance = Utterance(
        index=index,
        start_char=values["span"][0],
        end_char=values["span"][1],
        spoken=SpokenText(values["text"]),
        engine=values["engine"][0],
        engine_voice=values["engine"][1],
        speed=speed,
        pitch=pitch,
        volume=volume,
        is_ssml=values["ssml"],
        pause_after_s=values["pause"],
        wants_early_sound=False,
        wants_word_marks=values["marks"],
        words=tuple(WrittenWord(*word) for word in values["words"]),
    )
    return JobUtterance(utterance, values["chapter"])
