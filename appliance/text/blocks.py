r"""The lines of a text: what in them is content, and what holds them apart.

Owns: markdown's blocks (headings, lists, quotes, tables, rules, fences) seen line by line.
Refuses to know: what is inside a line (`inline`).

A text becomes a list of regions. Everything between two regions (line ends, list markers, fences) is
spoken as the second one's `lead`: a space, `: ` behind a number, `, ` between cells, a line break for a
paragraph's end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from appliance.text.references import is_definition

SOFT = " "
PARAGRAPH = "\n"
_AFTER_NUMBER = ": "
_BETWEEN_CELLS = ", "
_MAX_RULE_CHARS = 200


class Region(NamedTuple):
    """A stretch of a line that is content."""

    start_char: int
    end_char: int
    lead: str
    """What is spoken for everything between the region before and this one."""
    is_code: bool = False
    """Whether nothing in it is mark-up."""


_LINE = re.compile(r"[^\s][^\r\n]*")
_FENCE = re.compile(r"(`{3,}|~{3,})([^`~]*)$")
_HEADING = re.compile(r"#{1,6}(?:[ \t]+|$)")
_CLOSING_HASHES = re.compile(r"[ \t]#+$")
_RULE = re.compile(r"([-_*=])(?:[ \t]*\1)+$")
_QUOTE = re.compile(r"(?:>[ \t]?)+")
_BULLET = re.compile(r"[-*+•‣◦▪][ \t]+(?:\[[ xX]\][ \t]+)?|[-*+•‣◦▪]$")
_NUMBER = re.compile(r"(\d{1,3})[.)][ \t]+")
_NUMBERED_LINE = re.compile(r"^[ \t>]*\d{1,3}[.)][ \t]", re.MULTILINE)
_FOOTNOTE = re.compile(r"\[\^[^\[\]\s]{1,50}\]:[ \t]*")
_DELIMITER_ROW = re.compile(r"\|?(?:[ \t]*:?-+:?[ \t]*\|)+(?:[ \t]*:?-+:?[ \t]*)?$")
_CELL = re.compile(r"(?:[^|\\]|\\.)+")
_HARD_BREAKS = ("  ", "\\")
_MARKED = "#>-_*=`~+•‣◦▪[|0123456789"


def plain_regions(text: str) -> Iterator[Region]:
    """Yield the lines of a text without mark-up; an empty line ends a paragraph."""
    done = 0
    for line in _LINE.finditer(text):
        end = line.start() + len(line[0].rstrip())
        is_apart = _line_ends(text, done, line.start()) > 1
        yield Region(line.start(), end, PARAGRAPH if is_apart else SOFT)
        done = end


def _is_prose(info: str) -> bool:
    """Return whether what stands behind a fence is more than a language's name and its options."""
    return len(info.split()) > 1 and not any(sign in info for sign in "={:")


def _line_ends(text: str, start: int, end: int) -> int:
    gap = text[start:end]
    return max(gap.count("\n"), gap.count("\r"))


class BlockScanner:
    """Walks through a markdown text once, line by line. Takes linear time."""

    def __init__(self, text: str, labels: frozenset[str] = frozenset()) -> None:
        """Look at the text once.

        Args:
            text: The whole text.
            labels: What `defined_labels` found in it.
        """
        self._text = text
        self._labels = labels
        self._fence = ""
        self._lead = PARAGRAPH
        self._is_table = False
        self._is_quote = False
        # One line with a number may be a date ("3. Mai"); two are a list.
        self._has_numbers = len(_NUMBERED_LINE.findall(text)) > 1

    def regions(self) -> Iterator[Region]:
        """Yield the text's regions in order, without overlap."""
        done = 0
        for line in _LINE.finditer(self._text):
            start, end = line.start(), line.start() + len(line[0].rstrip())
            if _line_ends(self._text, done, start) > 1:
                self._end_block()
            done = end
            if self._fence or self._text.startswith(("```", "~~~"), start):
                yield from self._fenced(start, end)
            else:
                yield from self._line(start, end - line[0].endswith("\\"))
                if line[0].endswith(_HARD_BREAKS):
                    self._lead = PARAGRAPH

    def _end_block(self) -> None:
        self._lead = PARAGRAPH
        self._is_table = False
        self._is_quote = False

    def _region(self, start: int, end: int, *, is_code: bool = False) -> Iterator[Region]:
        """Yield a region with what is to stand before it; what follows it goes on softly."""
        if start < end:
            yield Region(start, end, self._lead, is_code)
            self._lead = SOFT

    def _alone(self, start: int, end: int, *, is_code: bool = False) -> Iterator[Region]:
        """Yield a region that is a paragraph of its own."""
        self._lead = PARAGRAPH
        yield from self._region(start, end, is_code=is_code)
        self._lead = PARAGRAPH

    def _fenced(self, start: int, end: int) -> Iterator[Region]:
        mark = _FENCE.match(self._text, start, end)
        if not self._fence:
            if mark is None or _is_prose(mark[2]):
                yield from self._line(start, end)
                return
            self._fence = mark[1]
        elif mark and mark[1].startswith(self._fence) and not mark[2]:
            self._fence = ""
        else:
            yield from self._alone(start, end, is_code=True)
            return
        self._end_block()

    def _line(self, start: int, end: int) -> Iterator[Region]:
        """Yield a line's content, its block's mark taken off."""
        text = self._text
        quote = _QUOTE.match(text, start, end)
        if bool(quote) != self._is_quote and (quote or self._lead == PARAGRAPH):
            self._end_block()
        self._is_quote = bool(quote)
        if quote:
            start = quote.end()
            if start == end:
                self._lead = PARAGRAPH
        if "|" in text[start:end] and self._is_row(start, end):
            yield from self._row(start, end)
        elif text[start : start + 1] in _MARKED:
            yield from self._marked(start, end)
        else:
            yield from self._region(start, end)

    def _marked(self, start: int, end: int) -> Iterator[Region]:
        """Yield the content of a line that may begin with a mark."""
        text = self._text
        if _RULE.match(text, start, end) or is_definition(text, start, end, self._labels):
            self._lead = PARAGRAPH
        elif heading := _HEADING.match(text, start, end):
            closing = _CLOSING_HASHES.search(text, heading.end(), end)
            yield from self._alone(heading.end(), closing.start() if closing else end)
        elif bullet := _BULLET.match(text, start, end) or _FOOTNOTE.match(text, start, end):
            self._lead = PARAGRAPH
            yield from self._region(bullet.end(), end)
        elif self._has_numbers and (number := _NUMBER.match(text, start, end)):
            self._lead = PARAGRAPH
            yield from self._region(*number.span(1))
            self._lead = _AFTER_NUMBER
            yield from self._region(number.end(), end)
        else:
            yield from self._region(start, end)

    def _is_row(self, start: int, end: int) -> bool:
        """Return whether a line is a table's row; a delimiter row makes one of the line before it too."""
        text = self._text
        if self._is_table or (text[start] == "|" and text[end - 1] == "|" and end - start > 1):
            return True
        after = _LINE.search(text, end)
        following = after[0][:_MAX_RULE_CHARS].strip() if after else ""
        return "-" in following and _DELIMITER_ROW.match(following) is not None

    def _row(self, start: int, end: int) -> Iterator[Region]:
        self._lead = PARAGRAPH
        self._is_table = True
        if not _DELIMITER_ROW.match(self._text, start, end):
            for cell in _CELL.finditer(self._text, start, end):
                content = cell[0].strip()
                offset = cell.start() + cell[0].find(content)
                yield from self._region(offset, offset + len(content))
                if content:
                    self._lead = _BETWEEN_CELLS
        self._lead = PARAGRAPH
