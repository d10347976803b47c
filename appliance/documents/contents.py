"""A book's table of contents: which chapter has which title.

Owns: both forms of it, the navigation document of EPUB 3 and the NCX of EPUB 2.
Refuses to know: where it lies, and what is done with the titles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from appliance.documents.markup import MarkupReader, read_markup


class Entry(NamedTuple):
    """A title, and where what it stands for begins."""

    reference: str
    """As it is written: relative, possibly with a fragment."""
    title: str


def read_navigation(data: bytes) -> list[Entry]:
    """Return the entries of a navigation document's table of contents.

    Raises:
        UnreadableDocumentError, DocumentTooLargeError: As `read_markup`.
    """
    reader = _Navigation()
    read_markup(data, reader)
    return reader.entries


def read_ncx(data: bytes) -> list[Entry]:
    """Return the entries of an NCX.

    Raises:
        UnreadableDocumentError, DocumentTooLargeError: As `read_markup`.
    """
    reader = _Ncx()
    read_markup(data, reader)
    return reader.entries


class _Navigation(MarkupReader):
    """Hears the links in `<nav epub:type="toc">`."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._is_contents = False
        self._reference = ""
        self._parts: list[str] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "nav":
            self._is_contents = "toc" in attributes.get("epub:type", "").split()
        elif name == "a" and self._is_contents:
            self._reference = attributes.get("href", "")
            self._parts.clear()

    def end(self, name: str) -> None:
        if name == "nav":
            self._is_contents = False
        elif name == "a" and self._reference:
            self.entries.append(Entry(self._reference, "".join(self._parts)))
            self._reference = ""

    def characters(self, text: str) -> None:
        if self._reference:
            self._parts.append(text)


class _Ncx(MarkupReader):
    """Hears `<navPoint><navLabel><text>` and the `<content>` behind it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._is_text = self._is_point = False
        self._parts: list[str] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "navpoint":
            self._is_point = True
            self._parts.clear()
        elif name == "text":
            self._is_text = self._is_point
        elif name == "content" and self._is_point:
            self.entries.append(Entry(attributes.get("src", ""), "".join(self._parts)))
            self._is_point = False

    def end(self, name: str) -> None:
        if name == "text":
            self._is_text = False

    def characters(self, text: str) -> None:
        if self._is_text:
            self._parts.append(text)
