"""XML from a stranger, read from its beginning to its end.

Owns: the parser, its bounds, and that no entity is expanded and nothing fetched.
Refuses to know: what elements mean.

A document type may stand there, as older books have one, but may declare no entity. The entities of HTML are
known without one, since books use them.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any, Never
from xml.parsers import expat

from appliance.job_errors import DocumentTooLargeError, UnreadableDocumentError

MAX_DEPTH = 256
"""Elements inside each other."""
MAX_ELEMENTS = 200_000


class MarkupReader:
    """Hears of a document's elements and text, in order. Names are in lower case, without their prefix."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Hear that an element begins; the names of attributes are as they were written."""

    def end(self, name: str) -> None:
        """Hear that the innermost element ends."""

    def characters(self, text: str) -> None:
        """Hear some text; the next may go on with it."""


def read_markup(data: bytes, reader: MarkupReader) -> None:
    """Read an XML document, in the encoding that it names; takes linear time.

    Raises:
        UnreadableDocumentError: It isn't well-formed, or declares entities.
        DocumentTooLargeError: It has too many elements, or too many inside each other.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.UseForeignDTD(True)  # what isn't declared is then skipped instead of being an error
    handlers = _Handlers(reader)
    parser.EntityDeclHandler = _refuse_entity
    parser.SkippedEntityHandler = handlers.entity
    parser.StartElementHandler = handlers.start
    parser.EndElementHandler = handlers.end
    parser.CharacterDataHandler = reader.characters
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        message = f"A file of the book isn't well-formed at line {error.lineno}: {reason}"
        raise UnreadableDocumentError(message) from None
    except (LookupError, ValueError):  # Python's own, of an encoding that it doesn't know
        raise UnreadableDocumentError("A file of the book is in an encoding that isn't known") from None


class _Handlers:
    """expat's events as a reader hears them, counted."""

    def __init__(self, reader: MarkupReader) -> None:
        self._reader = reader
        self._depth = self._elements = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise DocumentTooLargeError("A file of the book has too many elements, or too many in each other")
        self._reader.start(_local(name), attributes)

    def end(self, name: str) -> None:
        self._depth -= 1
        self._reader.end(_local(name))

    def entity(self, name: str, is_parameter: int) -> None:
        if not is_parameter:
            said = html.unescape(f"&{name};")
            self._reader.characters(" " if said.startswith("&") else said)


def _refuse_entity(*_: Any) -> Never:
    raise UnreadableDocumentError("A file of the book declares entities, which are never expanded")


def _local(name: str) -> str:
    return name.rpartition(":")[2].lower()
