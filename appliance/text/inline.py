"""What is inside a line: emphasis, links, code, tags, entities, addresses, emoji.

Owns: the edits that turn them into words.
Refuses to know: blocks (`blocks`) and how edits are applied (`offsets`).

Delimiters of emphasis are judged by their neighbours alone, not paired: a client may send an answer
sentence by sentence, and then half a pair is all there is.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from appliance.text.emoji_names import emoji_at, emoji_name, emoji_ranges
from appliance.text.offsets import Edit

_LEFTOVERS = "\ufe0e\ufe0f\u20e3"
_MARKS = r"*_`~\[\]!<&\\:"
# A white-space character counts unless it is a single plain space.
_SINGLE_SPACE = r"(?:(?<=[^ ])|(?<= )\s)"
_WHITE_SPACE = re.compile(r"[\s]" + _SINGLE_SPACE)
_EMOJI = re.compile(rf"[\s{_LEFTOVERS}{emoji_ranges()}]{_SINGLE_SPACE}")
_SPECIAL = re.compile(rf"[\s{_MARKS}{_LEFTOVERS}{emoji_ranges()}]{_SINGLE_SPACE}")

_RUN = re.compile(r"(.)\1*", re.DOTALL)
_SPACES = re.compile(r"\s+")
_FOOTNOTE = re.compile(r"\[\^[^\[\]\s]{1,50}\]")
_LINK_TARGET = re.compile(
    r"\(\s{0,9}[^\s()]{0,2000}(?:\([^\s()]{0,500}\)[^\s()]{0,500})?(?:\s{1,9}[\"'][^\"'\n]{0,300}[\"'])?\s{0,9}\)"
    r"|\[[^\[\]\n]{0,200}\]"
)
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9-]{0,30})(?:\s[^<>]{0,1000})?/?>")
_AUTOLINK = re.compile(r"<(?=[a-z]{3,6}:|[^\s<>@]{1,100}@)([^\s<>]{1,2000})>")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ESCAPE = re.compile(r"\\[!-/:-@\[-`{-~]")
_SCHEME = re.compile(r"(?:https?|ftp)\Z", re.IGNORECASE)
_NO_ADDRESS = r"\s<>\"`|{}\[\]。，、！？；：」』）"
_ADDRESS = re.compile(
    rf"://(?:[^{_NO_ADDRESS}/?#@]{{1,100}}@)?(?:www\.)?([^{_NO_ADDRESS}/?#'()*]+)([^{_NO_ADDRESS}]*)"
)
_COMMENT_MAX_CHARS = 2000
_ADDRESS_END = ".,;:!?*_~'"
_LONGEST_SCHEME_CHARS = 5
_BLOCKS = (
    "address article blockquote br dd details div dl dt figure footer form h1 h2 h3 h4 h5 h6 header hr li "
    "main nav ol p pre section summary table tr ul"
)
_PARAGRAPH_TAGS = frozenset(_BLOCKS.split())
_CELL_TAGS = frozenset({"td", "th"})


def white_space_edits(text: str, start: int, end: int) -> list[Edit]:
    """Return the edits that make every run of white space one space."""
    edits = []
    position = start
    while found := _WHITE_SPACE.search(text, position, end):
        run = _SPACES.match(text, found.start(), end)
        position = run.end() if run else found.end()
        edits.append(Edit(found.start(), position, " "))
    return edits


class InlineScanner:
    """Walks through regions of a text in order and collects edits. Takes linear time."""

    def __init__(self, text: str, language: str) -> None:
        self._text = text
        self._language = language
        self._end = 0
        self._start = 0
        self._edits: list[Edit] = []
        self._brackets: list[tuple[int, int]] = []
        self._handlers: dict[str, Callable[[int], int]] = {
            "*": self._emphasis,
            "_": self._underscore,
            "~": self._tilde,
            "`": self._backtick,
            "[": self._open_bracket,
            "]": self._close_bracket,
            "!": self._image,
            "<": self._tag,
            "&": self._entity,
            "\\": self._escape,
            ":": self._address,
        }

    def scan(self, start: int, end: int, *, is_code: bool = False, goes_on: bool = False) -> None:
        """Collect the edits inside one region.

        Args:
            start: Where the region begins.
            end: Where it ends, exclusive.
            is_code: Whether only white space and emoji are edited.
            goes_on: Whether it goes on with the paragraph of the region before.
        """
        self._start, self._end = start, end
        if not goes_on:
            self._brackets.clear()
        special = _EMOJI if is_code else _SPECIAL
        position = start
        while found := special.search(self._text, position, end):
            handler = self._handlers.get(found[0][0], self._other)
            position = handler(found.start())

    def edits(self) -> list[Edit]:
        """Return all edits so far, ascending."""
        return sorted(self._edits)

    def edit(self, start: int, end: int, replacement: str = "") -> int:
        """Add an edit and return where it ends."""
        if start < end:
            self._edits.append(Edit(start, end, replacement))
        return end

    def _run_end(self, start: int) -> int:
        run = _RUN.match(self._text, start, self._end)
        return run.end() if run else start + 1

    def _neighbours(self, start: int, end: int) -> tuple[str, str]:
        """Return the characters before and behind a run; the region's borders count as spaces."""
        before = self._text[start - 1] if start > self._start else " "
        return before, self._text[end] if end < self._end else " "

    def _emphasis(self, start: int) -> int:
        end = self._run_end(start)
        before, behind = self._neighbours(start, end)
        is_apart = before.isspace() and behind.isspace()
        is_sign = end - start == 1 and before.isalnum() and behind.isalnum()
        return end if is_apart or is_sign else self.edit(start, end)

    def _underscore(self, start: int) -> int:
        end = self._run_end(start)
        before, behind = self._neighbours(start, end)
        return self.edit(start, end, " " if before.isalnum() and behind.isalnum() else "")

    def _tilde(self, start: int) -> int:
        end = self._run_end(start)
        return self.edit(start, end) if end - start > 1 else end

    def _backtick(self, start: int) -> int:
        return self.edit(start, self._run_end(start))

    def _open_bracket(self, start: int) -> int:
        if footnote := _FOOTNOTE.match(self._text, start, self._end):
            return self.edit(start, footnote.end())
        self._brackets.append((start, start + 1))
        return start + 1

    def _image(self, start: int) -> int:
        if not self._text.startswith("![", start) or start + 1 >= self._end:
            return start + 1
        self._brackets.append((start, start + 2))
        return start + 2

    def _close_bracket(self, start: int) -> int:
        if not self._brackets:
            return start + 1
        opening = self._brackets.pop()
        target = _LINK_TARGET.match(self._text, start + 1, self._end)
        if target is None:
            return start + 1
        self.edit(*opening)
        return self.edit(start, target.end())

    def _tag(self, start: int) -> int:
        if self._text.startswith("<!--", start):
            end = self._text.find("-->", start, min(self._end, start + _COMMENT_MAX_CHARS))
            return self.edit(start, end + len("-->")) if end > 0 else start + 1
        tag = _TAG.match(self._text, start, self._end)
        if tag:
            name = tag[1].lower()
            replacement = "\n" if name in _PARAGRAPH_TAGS else ", " if name in _CELL_TAGS else ""
            return self.edit(start, tag.end(), replacement)
        link = _AUTOLINK.match(self._text, start, self._end)
        if link is None:
            return start + 1
        address = _ADDRESS.search(self._text, *link.span(1))
        host = address.span(1) if address else link.span(1)
        self.edit(start, host[0])
        return self.edit(host[1], link.end())

    def _entity(self, start: int) -> int:
        found = _ENTITY.match(self._text, start, self._end)
        if found is None:
            return start + 1
        char = html.unescape(found[0])
        if char == found[0]:
            return start + 1
        return self.edit(start, found.end(), char if char.isprintable() else " ")

    def _escape(self, start: int) -> int:
        if not _ESCAPE.match(self._text, start, self._end):
            return start + 1
        return self.edit(start, start + 1) + 1

    def _address(self, start: int) -> int:
        """Keep of a web address what a person would say: its host."""
        if not self._text.startswith("://", start):
            return start + 1
        before = max(self._start, start - _LONGEST_SCHEME_CHARS)
        scheme = _SCHEME.search(self._text[before:start])
        if scheme is None:
            return start + 1
        address = _ADDRESS.match(self._text, start, self._end)
        if address is None:
            return start + 1
        end = start + len(address[0].rstrip(_ADDRESS_END))
        if self._text[end - 1] == ")" and "(" not in address[2]:
            end -= 1
        host_end = min(address.end(1), end)
        if host_end <= address.start(1):
            return start + 1
        self.edit(before + scheme.start(), address.start(1))
        self.edit(host_end, end)
        return end

    def _other(self, start: int) -> int:
        """Fold white space, name an emoji, drop what is left of one."""
        char = self._text[start]
        if char.isspace():
            spaces = _SPACES.match(self._text, start, self._end)
            return self.edit(start, spaces.end() if spaces else start + 1, " ")
        if char in _LEFTOVERS:
            return self.edit(start, start + 1)
        found = emoji_at(self._text, start)
        if not found:
            return start + 1
        return self._name(found, start)

    def _name(self, found: str, start: int) -> int:
        """Put an emoji's name in its place, once for a row of the same."""
        end = start + len(found)
        while self._text.startswith(found, end):
            end += len(found)
        before, behind = self._neighbours(start, end)
        name = emoji_name(found, self._language)
        lead = "" if before.isspace() else " "
        trail = " " if behind.isalnum() else ""
        return self.edit(start, end, f"{lead}{name}{trail}")
