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

from appliance.speech import SpokenText
from appliance.text.code_spans import CodeSpans
from appliance.text.emoji_names import emoji_at, emoji_name, emoji_ranges
from appliance.text.offsets import Edit, apply_edits
from appliance.text.references import label_of
from appliance.text.tags import COMMENT, HiddenContent, tag_at

_LEFTOVERS = "\ufe0e\ufe0f\u20e3"
_MARKS = r"*_`~\[\]!<>&\\:"
# A white-space character counts unless it is a single plain space.
_SINGLE_SPACE = r"(?:(?<=[^ ])|(?<= )\s)"
_WHITE_SPACE = re.compile(r"[\s]" + _SINGLE_SPACE)
_EMOJI = re.compile(rf"[\s{_LEFTOVERS}{emoji_ranges()}]{_SINGLE_SPACE}")
_SPECIAL = re.compile(rf"[\s{_MARKS}{_LEFTOVERS}{emoji_ranges()}]{_SINGLE_SPACE}")

_DOUBLE_SPACE = re.compile(r" +\n[ \n]*|\n[ \n]+| {2,}")

_RUN = re.compile(r"(.)\1*", re.DOTALL)
_SPACES = re.compile(r"\s+")
_FOOTNOTE = re.compile(r"\[\^([^\[\]\s]{1,50})\]")
_LINK_TARGET = re.compile(
    r"\(\s{0,9}[^\s()]{0,2000}(?:\([^\s()]{0,500}\)[^\s()]{0,500})?(?:\s{1,9}[\"'][^\"'\n]{0,300}[\"'])?\s{0,9}\)"
)
_ARGUMENT = re.compile(r"\([^/.#:<>]*\)")
_LINK_LABEL = re.compile(r"\[([^\[\]\n]{0,200})\]")
_IN_ANGLES = re.compile(r"(</?)[^\W\d](?:[^<>\n]{0,200}[^<>\s])?(?=>)")
_AUTOLINK = re.compile(r"<(?=[a-z]{3,6}:|[^\s<>@]{1,100}@)([^\s<>]{1,2000})>")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ESCAPE = re.compile(r"\\[!-/:-@\[-`{-~]")
_SCHEME = re.compile(r"(?:https?|ftp)\Z", re.IGNORECASE)
_NO_ADDRESS = r"\s<>\"`|{}\[\]。，、！？；：」』）"
_ADDRESS = re.compile(
    rf"://(?:[^{_NO_ADDRESS}/?#@]{{1,100}}@)?(?:www\.)?([^{_NO_ADDRESS}/?#'()*]+)([^{_NO_ADDRESS}]*)"
)
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


def fold_spaces(spoken: SpokenText) -> SpokenText:
    """Return a text without the spaces that edits have left side by side, or beside a line break."""
    text = spoken.text
    if "  " not in text and " \n" not in text and "\n " not in text and "\n\n" not in text:
        return spoken
    return apply_edits(
        spoken,
        [
            Edit(found.start(), found.end(), "\n" if "\n" in found[0] else " ")
            for found in _DOUBLE_SPACE.finditer(text)
        ],
    )


class InlineScanner:
    """Walks through regions of a text in order and collects edits. Takes linear time."""

    def __init__(self, text: str, language: str, labels: frozenset[str] = frozenset()) -> None:
        """Begin a walk.

        Args:
            text: The whole text.
            language: BCP 47 tag of the voice.
            labels: What `defined_labels` found in the text.
        """
        self._text = text
        self._language = language
        self._labels = labels
        self.hidden_until_char = 0
        """Where content that isn't spoken ends: what begins before it is to be left out."""
        self._hidden = HiddenContent(text)
        self._code_spans = CodeSpans(text)
        self._code_end = 0
        """Where the run begins that closes the code span which is open; 0 outside of one."""
        self._angle_end = 0
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
            ">": self._close_angle,
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
            self._code_end = 0
        if is_code:
            self._literal(start, end)
            return
        position = self._code(start) if self._code_end else start
        while found := _SPECIAL.search(self._text, position, end):
            handler = self._handlers.get(found[0][0], self._other)
            position = handler(found.start())

    def _literal(self, start: int, end: int) -> None:
        """Collect the edits inside of code: white space and emoji."""
        while found := _EMOJI.search(self._text, start, end):
            start = self._other(found.start())

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
        is_inside = before.isalnum() and behind.isalnum()
        is_sign = is_inside and (end - start == 1 or before.isdigit() or behind.isdigit())
        return end if is_apart or is_sign else self.edit(start, end)

    def _underscore(self, start: int) -> int:
        """Keep underscores inside a word, as `snake_case`, and beside an `@`; every voice is silent there."""
        end = self._run_end(start)
        before, behind = self._neighbours(start, end)
        is_inside = before.isalnum() and behind.isalnum()
        return end if is_inside or "@" in {before, behind} else self.edit(start, end)

    def _tilde(self, start: int) -> int:
        end = self._run_end(start)
        return self.edit(start, end) if end - start > 1 else end

    def _backtick(self, start: int) -> int:
        """Drop backticks; what stands between two runs of one length is code."""
        end = self._run_end(start)
        self.edit(start, end)
        closing = self._code_spans.closing(start, end)
        if closing < 0:
            return end
        self._code_end = closing
        return self._code(end)

    def _code(self, start: int) -> int:
        """Go through a code span, which may begin or end in another region, and drop what closes it."""
        end = min(self._code_end, self._end)
        self._literal(start, end)
        if self._code_end >= self._end:
            return end
        self._code_end = 0
        return self.edit(end, self._run_end(end))

    def _open_bracket(self, start: int) -> int:
        footnote = _FOOTNOTE.match(self._text, start, self._end)
        if footnote and (footnote[1].isdigit() or label_of(f"^{footnote[1]}") in self._labels):
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
        end = self._target_end(opening, start)
        if end < 0:
            return start + 1
        self.edit(*opening)
        return self.edit(start, end)

    def _target_end(self, opening: tuple[int, int], closing: int) -> int:
        """Return where a link's target ends, or -1 if what stands behind the brackets is none."""
        text = self._text
        if target := _LINK_TARGET.match(text, closing + 1, self._end):
            # `d[key](argument)` is a program's.
            is_call = text[max(opening[0] - 1, 0)].isalnum() and _ARGUMENT.fullmatch(target[0])
            return -1 if is_call else target.end()
        target = _LINK_LABEL.match(text, closing + 1, self._end)
        if target is None:
            return -1
        shown = text[opening[1] : closing]
        is_footnotes = shown.isdigit() and target[1].isdigit()
        is_link = not is_footnotes and label_of(target[1] or shown) in self._labels
        return target.end() if is_link else -1

    def _tag(self, start: int) -> int:
        if self._text.startswith(f"<{COMMENT}", start):
            return self._hide(start, start + 1, COMMENT)
        tag = tag_at(self._text, start, self._end)
        if tag is None:
            return self._open_angle(start)
        replacement = "\n" if tag.name in _PARAGRAPH_TAGS else ", " if tag.name in _CELL_TAGS else ""
        self.edit(start, tag.end_char, replacement)
        return tag.end_char if tag.is_closing else self._hide(tag.end_char, tag.end_char, tag.name)

    def _hide(self, start: int, end: int, name: str) -> int:
        """Leave content out if it is hidden, else go on at `end`."""
        hidden_end = self._hidden.end_of(name, start)
        if hidden_end < 0:
            return end
        self.hidden_until_char = hidden_end
        return self.edit(start, min(hidden_end, self._end))

    def _open_angle(self, start: int) -> int:
        """Drop what points at an address, and the brackets around words that are no tag."""
        if link := _AUTOLINK.match(self._text, start, self._end):
            address = _ADDRESS.search(self._text, *link.span(1))
            host = address.span(1) if address else link.span(1)
            self.edit(start, link.start(1))
            self.edit(link.start(1), host[0])
            self.edit(host[1], link.end(1))
            return self.edit(link.end(1), link.end())
        words = _IN_ANGLES.match(self._text, start, self._end)
        if words is None:
            return start + 1
        self._angle_end = words.end()
        before = self._neighbours(start, start + 1)[0]
        return self.edit(start, words.end(1), " " if before.isalnum() else "")

    def _close_angle(self, start: int) -> int:
        """Drop the bracket that closes an opened one, with the slash of `<Button />`."""
        if start != self._angle_end:
            return start + 1
        is_edited = bool(self._edits) and self._edits[-1].end_char == start
        begin = start - 1 if self._text[start - 1] == "/" and not is_edited else start
        behind = self._neighbours(start, start + 1)[1]
        return self.edit(begin, start + 1, " " if behind.isalnum() else "")

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
