"""Cut a text into spans that are short enough to be spoken in one go.

Owns: which sentences go together, where a long one is cut, where the first sound's span ends.
Refuses to know: mark-up; a line break in the text it gets is a paragraph's end.

Every span is a stretch of the text; together they cover it exactly.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from appliance.speech import MAX_UTTERANCE_CHARS
from appliance.text.sentences import is_abbreviated, sentence_ends
from appliance.text.weight import is_light, primary_language, spoken_weight

FIRST_MAX_CHARS = 100
"""A longer first span is cut at a clause, so that the first sound comes soon."""

_FIRST_MIN_CHARS = 20
_SHORT_CHARS = 40
_GROUP_MAX_CHARS = 100
_GRAPHEME_MAX_CHARS = 64

_PARAGRAPH = re.compile(r"[^\n]*\n[\s]*|[^\n]+")
_CLAUSE = re.compile(r"[,;:)–—][\"”’»]?(?=\s)\s?|[、，；：،؛﹐﹔]\s?")
_SENTENCE = re.compile(r"[.!?…]([\"”’»)\]]*)\s+")
_SPACE = re.compile(r"\s+")
_JOINERS = "\u200d\ufe0e\ufe0f"


class Border(IntEnum):
    """What ends a span; higher means a longer pause."""

    NONE = 0
    """Between two words, or inside a very long one."""
    CLAUSE = 1
    SENTENCE = 2
    PARAGRAPH = 3


class Span(NamedTuple):
    """A stretch of a text."""

    start_char: int
    end_char: int
    border: Border
    """What stands at its end."""


def split_into_spans(
    text: str,
    language: str,
    *,
    max_chars: int = MAX_UTTERANCE_CHARS,
    first_max_chars: int = FIRST_MAX_CHARS,
) -> list[Span]:
    """Cut a text into spans: sentences, or parts of long ones.

    The spans are contiguous and cover the text exactly. Takes linear time.

    Args:
        text: Any text; a line break ends a paragraph.
        language: BCP 47 tag of the voice.
        max_chars: Most characters of a span. Fewer where they take longer to speak (`spoken_weight`).
        first_max_chars: A longer first span is cut at a sentence's end or a clause if it has one.
    """
    spans: list[Span] = []
    for start, end, border in _groups(text, language):
        if not spans and end - start > first_max_chars:
            cut = _early_cut(text, start, min(end, start + max_chars), first_max_chars, language)
            if cut.end_char > start:
                spans += _fit(text, cut, language, max_chars)
                start = cut.end_char  # noqa: PLW2901 - the rest of this span is treated as any other
        spans += _fit(text, Span(start, end, border), language, max_chars)
    return spans


def _groups(text: str, language: str) -> Iterator[Span]:
    """Yield sentences, very short ones together with what follows in the same paragraph."""
    for paragraph in _PARAGRAPH.finditer(text):
        offset = start = paragraph.start()
        end = offset
        for sentence_end in sentence_ends(paragraph[0], language):
            is_short = end - start < _SHORT_CHARS and offset + sentence_end - start <= _GROUP_MAX_CHARS
            if end > start and not is_short:
                yield Span(start, end, Border.SENTENCE)
                start = end
            end = offset + sentence_end
        yield Span(start, end, Border.PARAGRAPH if end < len(text) else Border.SENTENCE)


def _early_cut(text: str, start: int, limit: int, first_max_chars: int, language: str) -> Span:
    """Return the first span: up to the last early sentence or clause, else the first later one, or empty."""
    cuts = _cuts(text, start, (start + _FIRST_MIN_CHARS, limit), language)
    cuts = [cut for cut in cuts if limit - cut.end_char >= _FIRST_MIN_CHARS]
    early = [cut for cut in cuts if cut.end_char - start <= first_max_chars]
    if early:
        return max(early, key=_by_rank)
    return min(cuts, default=Span(start, start, Border.NONE))


def _cuts(text: str, start: int, places: tuple[int, int], language: str) -> list[Span]:
    """Return the spans from `start` that end at a sentence or clause between two places.

    `sentence_ends` has left those sentences in one piece that go on in lower case, as people chat. Behind a
    quotation they really go on.
    """
    primary = primary_language(language)
    cuts = [Span(start, found.end(), Border.CLAUSE) for found in _CLAUSE.finditer(text, *places)]
    for found in _SENTENCE.finditer(text, *places):
        end = found.end()
        if not is_abbreviated(text, start, end, primary):
            is_quoted = found[1] and text[end : end + 1].islower()
            cuts.append(Span(start, end, Border.CLAUSE if is_quoted else Border.SENTENCE))
    return cuts


def _by_rank(cut: Span) -> tuple[Border, int]:
    return cut.border, cut.end_char


def _fit(text: str, span: Span, language: str, max_chars: int) -> Iterator[Span]:
    """Yield a span in parts that are neither longer nor heavier than allowed."""
    start = span.start_char
    while True:
        allowed = _allowed_chars(text, start, min(span.end_char, start + max_chars), (language, max_chars))
        if span.end_char - start <= allowed:
            yield Span(start, span.end_char, span.border)
            return
        part = _cut(text, start, start + allowed, language)
        yield part
        start = part.end_char


def _allowed_chars(text: str, start: int, end: int, limit: tuple[str, int]) -> int:
    """Return how many characters from `start` on, up to `end`, are light enough for one span."""
    language, max_weight = limit
    count = end - start
    if is_light(text[start:end], language, max_weight):
        return count
    while count > 1:
        weight = spoken_weight(text[start : start + count], language)
        if weight <= max_weight:
            break
        # By the mean weight: always fewer than before, and right at once where the text is even.
        count = max(1, count * max_weight // weight)
    return count


def _cut(text: str, start: int, limit: int, language: str) -> Span:
    """Return the first part of a text that goes on behind `limit`.

    It ends at a sentence, else at a clause, else at a space, else anywhere.
    """
    cuts = _cuts(text, start, (start + (limit - start) // 3, limit), language)
    if cuts:
        return max(cuts, key=_by_rank)
    end = start
    for space in _SPACE.finditer(text, start + 1, limit):
        end = space.end()
    return Span(start, end if end > start else _grapheme_border(text, start, limit), Border.NONE)


def _grapheme_border(text: str, start: int, limit: int) -> int:
    """Return the last offset up to `limit` that parts no grapheme, or `limit` where that is far back."""
    for offset in range(limit, max(start, limit - _GRAPHEME_MAX_CHARS), -1):
        if not _belongs_to_former(text[offset - 1], text[offset]):
            return offset
    return limit


def _belongs_to_former(former: str, char: str) -> bool:
    """Return whether a character makes one grapheme with the one before it."""
    if former == _JOINERS[0] or char in _JOINERS or "\U0001f3fb" <= char <= "\U0001f3ff":
        return True
    if "\udc00" <= char <= "\udfff":
        return "\ud800" <= former <= "\udbff"
    return unicodedata.category(char).startswith("M")
