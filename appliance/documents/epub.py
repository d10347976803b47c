"""An EPUB book becomes one text: markdown, whose headings are its chapters.

Owns: the way from the container over the package to the chapters in their order, and which are spoken.
Refuses to know: how entries are unpacked (`archive`) and chapters read (`xhtml`).

Source: EPUB 3.3, and OPF 2.0.1 for older books.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple
from urllib.parse import unquote

from appliance.documents.archive import Archive
from appliance.documents.contents import Entry, read_navigation, read_ncx
from appliance.documents.markup import MarkupReader, read_markup
from appliance.documents.xhtml import read_chapter
from appliance.errors import TextTooLongError
from appliance.job_errors import ProtectedDocumentError, UnreadableDocumentError

MEDIA_TYPE = "application/epub+zip"
_TYPE_NAME = "mimetype"
_CONTAINER_NAME = "META-INF/container.xml"
_ENCRYPTION_NAME = "META-INF/encryption.xml"
_PACKAGE_TYPE = "application/oebps-package+xml"
_NCX_TYPE = "application/x-dtbncx+xml"
_CHAPTER_TYPES = ("application/xhtml+xml", "text/html", "text/x-oeb1-document")


class _Item(NamedTuple):
    """A file of the book, as its manifest has it."""

    name: str
    """Of the entry."""
    media_type: str
    properties: frozenset[str]


def read_epub(file: BinaryIO, max_text_bytes: int) -> str:
    """Return a book's text; blocks for a second per 10 MB or so.

    Args:
        file: The book, which can be sought in.
        max_text_bytes: Most bytes of the text in UTF-8.

    Raises:
        UnreadableDocumentError: It is no EPUB book, or a broken one.
        ProtectedDocumentError: A chapter is encrypted.
        TextTooLongError, DocumentTooLargeError: Its text is longer, or it unpacks to more than the bounds.
    """
    archive = Archive(file)
    if _TYPE_NAME not in archive or archive.read(_TYPE_NAME).strip() != MEDIA_TYPE.encode():
        raise UnreadableDocumentError("The file is no EPUB book: its mimetype isn't that of one")
    package = _Package(_package_name(archive))
    read_markup(archive.read(package.name), package)
    encrypted = _encrypted(archive)
    titles = _titles(archive, package)
    blocks: list[str] = []
    left_bytes = max_text_bytes
    for item in package.chapters():
        if item.name in encrypted:
            raise ProtectedDocumentError
        for block in read_chapter(archive.read(item.name), titles.get(item.name, {})):
            left_bytes -= len(block.encode()) + len("\n\n")
            if left_bytes < 0:
                raise TextTooLongError(f"The book's text has more than {max_text_bytes} bytes")
            blocks.append(block)
    return "\n\n".join(blocks)


class _Container(MarkupReader):
    """Hears where the package is."""

    def __init__(self) -> None:
        self.package_name = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "rootfile" and attributes.get("media-type") == _PACKAGE_TYPE and not self.package_name:
            self.package_name = attributes.get("full-path", "")


class _Encryption(MarkupReader):
    """Hears which entries are encrypted; fonts may be, without any protection of the text."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "cipherreference":
            self.names.add(_entry_name("", attributes.get("URI", "")))


class _Package(MarkupReader):
    """Hears of the book's files and of the order of its chapters."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._items: dict[str, _Item] = {}
        self._spine: list[str] = []
        self._contents_id = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "item":
            self._items[attributes.get("id", "")] = _Item(
                _entry_name(self.name, attributes.get("href", "")),
                attributes.get("media-type", ""),
                frozenset(attributes.get("properties", "").split()),
            )
        elif name == "spine":
            self._contents_id = attributes.get("toc", "")
        elif name == "itemref" and attributes.get("linear") != "no":
            self._spine.append(attributes.get("idref", ""))

    def chapters(self) -> Iterator[_Item]:
        """Yield what is spoken, in order: neither pictures nor the table of contents itself.

        Raises:
            UnreadableDocumentError: The order names something that isn't there.
        """
        if not self._spine:
            raise UnreadableDocumentError("The book has no order of reading (spine)")
        for item_id in dict.fromkeys(self._spine):
            item = self._items.get(item_id)
            if item is None:
                raise UnreadableDocumentError("The book's order of reading names a chapter that isn't there")
            if item.media_type in _CHAPTER_TYPES and "nav" not in item.properties:
                yield item

    def contents(self) -> Iterator[_Item]:
        """Yield what may hold the table of contents, the newer form first."""
        yield from (item for item in self._items.values() if "nav" in item.properties)
        if self._contents_id in self._items:
            yield self._items[self._contents_id]
        yield from (item for item in self._items.values() if item.media_type == _NCX_TYPE)


def _package_name(archive: Archive) -> str:
    container = _Container()
    read_markup(archive.read(_CONTAINER_NAME), container)
    return container.package_name


def _encrypted(archive: Archive) -> set[str]:
    encryption = _Encryption()
    if _ENCRYPTION_NAME in archive:
        read_markup(archive.read(_ENCRYPTION_NAME), encryption)
    return encryption.names


def _titles(archive: Archive, package: _Package) -> dict[str, dict[str, str]]:
    """Return for each chapter the titles of what begins in it, by the ids of their places."""
    titles: dict[str, dict[str, str]] = {}
    for item in package.contents():
        if item.name not in archive:
            continue
        read = read_ncx if item.media_type == _NCX_TYPE else read_navigation
        entries: list[Entry] = read(archive.read(item.name))
        for entry in entries:
            path, _, fragment = entry.reference.partition("#")
            if title := " ".join(entry.title.split()):
                place = titles.setdefault(_entry_name(item.name, path), {})
                place.setdefault(unquote(fragment), title)
        if titles:
            break
    return titles


def _entry_name(base: str, reference: str) -> str:
    """Return the name of the entry that a file of the book refers to: a key, never a path of this machine."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(reference)))
