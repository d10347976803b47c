"""A chapter of a book becomes markdown.

Owns: what of XHTML is spoken, as which paragraph, heading or list entry, and how signs of markdown are kept.
Refuses to know: where the chapter and the titles come from (`epub`).

Notes and their marks, page numbers, scripts, pictures and readings beside characters (`rt`) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from appliance.documents.markup import MarkupReader, read_markup

_BLOCK_NAMES = (
    "address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption "
    "figure footer form header hgroup hr html legend li main nav ol p pre section summary table tr ul"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_UNSPOKEN_NAMES = (
    "audio canvas embed head iframe input math noscript object rp rt script select style svg template "
    "textarea video"
)
_UNSPOKEN = frozenset(_UNSPOKEN_NAMES.split())
_CELLS = ("td", "th")
_NOTES = frozenset({"annoref", "endnote", "footnote", "noteref", "pagebreak", "rearnote"})
"""Values of `epub:type` and, after `doc-`, of `role`. Source: EPUB 3 Structural Semantics Vocabulary."""
_RAISED = frozenset({"a", "sup"})
"""One inside the other is the mark of a note."""
_SIGNS = re.compile(r"[\\*_`~\[\]<]|&(?=[#\w])|\A[#>|=+-]")
"""What would be mark-up, or begin a block of another kind; a backslash keeps it."""
_SPACES = re.compile(r"\s+")


def read_chapter(data: bytes, titles: Mapping[str, str]) -> list[str]:
    """Return a chapter's paragraphs as markdown.

    Args:
        data: XHTML.
        titles: Ids of elements → titles of what begins there, empty for the beginning. Where no heading
            stands behind such a place, the title becomes one.

    Raises:
        UnreadableDocumentError, DocumentTooLargeError: As `read_markup`.
    """
    chapter = _Chapter(titles)
    read_markup(data, chapter)
    return chapter.blocks


class _Chapter(MarkupReader):
    """Collects paragraphs."""

    def __init__(self, titles: Mapping[str, str]) -> None:
        self.blocks: list[str] = []
        self._titles = titles
        self._title = titles.get("", "")
        self._parts: list[str] = []
        self._open: list[str] = []
        self._unspoken_from = 0
        """Depth from which on nothing is spoken; 0 where all is."""
        self._heading = 0
        self._lists: list[int | None] = []
        """For each list that is open its last number, or None without numbers."""
        self._marker = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        is_mark = name in _RAISED and any(each in _RAISED and each != name for each in self._open)
        self._open.append(name)
        if self._unspoken_from:
            return
        if is_mark or name in _UNSPOKEN or _is_left_out(attributes):
            self._unspoken_from = len(self._open)
            return
        place = attributes.get("id", "") or attributes.get("name", "")
        title = self._titles.get(place, "") if place else ""
        if title or name in _BLOCKS or name in _HEADINGS:
            self._flush()
        self._title = title or self._title
        self._begin(name)

    def _begin(self, name: str) -> None:
        if name in _HEADINGS:
            self._heading = _HEADINGS[name]
        elif name in ("ol", "ul"):
            self._lists.append(0 if name == "ol" else None)
        elif name == "li" and self._lists:
            self._marker = self._next_marker()
        elif name == "br":
            self._parts.append("\n")

    def end(self, name: str) -> None:
        depth = len(self._open)
        self._open.pop()
        if self._unspoken_from:
            if depth == self._unspoken_from:
                self._unspoken_from = 0
            return
        if name in _BLOCKS or name in _HEADINGS:
            self._flush()
            self._marker, self._heading = "", 0
        if name in ("ol", "ul") and self._lists:
            self._lists.pop()
        elif name in _CELLS:
            self._parts.append(" ")

    def characters(self, text: str) -> None:
        if not self._unspoken_from:
            self._parts.append(_SPACES.sub(" ", text))

    def _flush(self) -> None:
        """End a paragraph, if there is anything in it."""
        lines = [_SPACES.sub(" ", line).strip() for line in "".join(self._parts).split("\n")]
        lines = [line for line in lines if line]
        self._parts.clear()
        if not lines:
            return
        heading, self._heading = self._heading, 0
        text = " ".join(lines)
        if self._title and not heading:
            if _plain(self._title) == _plain(text):
                heading = 1
            else:
                self.blocks.append(f"# {_kept(_SPACES.sub(' ', self._title).strip())}")
        self._title = ""
        if heading:
            self.blocks.append(f"{'#' * heading} {_kept(text)}")
        else:
            self.blocks.append(self._marker + "\n".join(map(_kept, lines)))
            self._marker = ""

    def _next_marker(self) -> str:
        number = self._lists[-1]
        if number is None:
            return "- "
        self._lists[-1] = number + 1
        return f"{number + 1}. "


def _is_left_out(attributes: Mapping[str, str]) -> bool:
    kinds = attributes.get("epub:type", "").split()
    kinds += [role.removeprefix("doc-") for role in attributes.get("role", "").split()]
    return "hidden" in attributes or not _NOTES.isdisjoint(kinds)


def _plain(text: str) -> str:
    return _SPACES.sub(" ", text).strip().casefold()


def _kept(text: str) -> str:
    """Return a line in markdown that says just this."""
    return _SIGNS.sub(r"\\\g<0>", text)
