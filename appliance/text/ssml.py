"""Read SSML from the network without trusting it.

Owns: the parser (no document type, no entities, bounded depth and count) and the sieve that lets only
known elements and attributes through.
Refuses to know: how the parts are grouped into utterances (`fragments`).

An `<audio src>` or a voice named by a path never gets through: both would name files of this machine.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from appliance.errors import InvalidRequestError
from appliance.speech import MAX_SSML_ELEMENTS, SpokenText
from appliance.text.offsets import Edit, apply_edits

PIECES_PER_ELEMENT = 4
"""Lines, references, comments and the like, for each element allowed: each has to be found again in what is
written. 200,000 of a job's take 120 MiB while it is split, as its 50,000 elements do."""
MAX_DEPTH = 32
"""Elements inside each other."""
MAX_BREAK_S = 5.0
"""Seconds; a longer `<break>` is made this long."""

_LANGUAGE = re.compile(r"[A-Za-z0-9-]{1,35}")
_VALUE = re.compile(r"[A-Za-z0-9.+%-]{1,40}")
_NAME = re.compile(r"[\w+ -]{1,64}")
_SPOKEN = re.compile(r".{1,300}", re.DOTALL)
_TIME = re.compile(r"\s*(\d{1,6}(?:\.\d{0,6})?)(ms|s)\s*")
_ATTRIBUTES = {
    "speak": {"xml:lang": _LANGUAGE},
    "p": {"xml:lang": _LANGUAGE},
    "s": {"xml:lang": _LANGUAGE},
    "voice": {"xml:lang": _LANGUAGE, "name": _NAME, "gender": _VALUE, "age": _VALUE, "variant": _VALUE},
    "prosody": {"rate": _VALUE, "pitch": _VALUE, "range": _VALUE, "volume": _VALUE},
    "emphasis": {"level": _VALUE},
    "say-as": {"interpret-as": _VALUE, "format": _VALUE, "detail": _VALUE},
    "sub": {"alias": _SPOKEN},
    "tts:style": {"field": _VALUE, "mode": _VALUE},
    "break": {"strength": _VALUE, "time": _TIME},
    "mark": {"name": _NAME},
}
_RENAMED = {"lang": "voice"}
_LEAVES = frozenset({"break", "mark"})
_WHOLES = frozenset({"say-as", "sub"})
_UNSPOKEN = frozenset({"desc", "lexicon", "meta", "metadata", "script", "style"})


class Opening(NamedTuple):
    """An element begins that may go on in the next utterance."""

    name: str
    markup: str
    start_char: int


class Closing(NamedTuple):
    """The innermost element ends."""

    name: str
    start_char: int


class Leaf(NamedTuple):
    """An element without text."""

    markup: str
    start_char: int
    pause_s: float
    """Seconds of silence that it asks for."""


class Run(NamedTuple):
    """Text between two tags, decoded and mapped back; `around` is its element if it must stay whole."""

    text: SpokenText
    around: Opening | None = None
    alias: str = ""
    """What is spoken instead of the text, if not empty."""


Part = Opening | Closing | Leaf | Run


def is_ssml(text: str) -> bool:
    """Return whether a text begins as an SSML document does."""
    start = text[:200].lstrip("\ufeff \t\r\n")
    return start.startswith("<speak") and not start[6:7].isalnum()


def parse_ssml(text: str, max_elements: int = MAX_SSML_ELEMENTS) -> list[Part]:
    """Return the parts of an SSML document in order, only what engines may see.

    Takes linear time and expands nothing.

    Args:
        text: The document as the client sent it.
        max_elements: Most elements.

    Raises:
        InvalidRequestError: It isn't well-formed, isn't SSML, declares a document type, or is nested
            deeper or holds more elements, or references between them, than the limits.
    """
    return _Parser(text, max_elements).parts()


def _refused(reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"The SSML {reason}.", param="input")


class _Parser:
    """expat with handlers that collect parts."""

    def __init__(self, text: str, max_elements: int) -> None:
        try:
            self._data = text.encode()
        except UnicodeEncodeError as error:
            raise _refused(f"holds half a surrogate pair at character {error.start}") from error
        self._is_ascii = len(self._data) == len(text)
        self._byte = self._char = 0
        self._parts: list[Part] = []
        self._names: list[str] = []
        self._elements = 0
        self._max_elements = max_elements
        self._pieces = 0
        self._max_pieces = PIECES_PER_ELEMENT * max_elements
        self._next_char = -1
        """Where the last text ended, if it stood there as it is; else -1."""
        self._unspoken_depth = 0
        self._whole: tuple[Opening, str, int] | None = None
        self._text: list[str] = []
        self._origins: list[tuple[int, int]] = []
        self._length = 0
        self._expat = expat.ParserCreate("utf-8")
        self._expat.StartDoctypeDeclHandler = self._doctype
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._characters
        self._expat.EndCdataSectionHandler = self._end_of_text

    def parts(self) -> list[Part]:
        try:
            self._expat.Parse(self._data, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise _refused(
                f"isn't well-formed at line {error.lineno}, column {error.offset + 1}: {reason}"
            ) from error
        return self._parts

    def _offset(self) -> int:
        """Return where the parser is, in characters of the original."""
        byte = self._expat.CurrentByteIndex
        if self._is_ascii:
            return byte
        self._char += len(self._data[self._byte : byte].decode())
        self._byte = byte
        return self._char

    def _doctype(self, *_: object) -> None:
        raise _refused("declares a document type, which isn't allowed")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if not self._names and tag != "speak":
            raise _refused("must begin with <speak>")
        if len(self._names) >= MAX_DEPTH:
            raise _refused(f"is nested deeper than {MAX_DEPTH} elements")
        if self._elements > self._max_elements:
            raise _refused(f"holds more than {self._max_elements} elements")
        is_root = not self._names
        self._names.append(tag)
        if self._unspoken_depth or tag in _UNSPOKEN:
            self._unspoken_depth += 1
        elif (is_root or tag != "speak") and self._whole is None:
            self._open(_RENAMED.get(tag, tag), attributes)

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        if name not in _ATTRIBUTES:
            return
        kept = _sieved(name, attributes)
        inside = "".join(f" {key}={quoteattr(value)}" for key, value in kept.items())
        self._finish_run()
        if name in _LEAVES:
            self._parts.append(Leaf(f"<{name}{inside}/>", self._offset(), _pause_s(name, kept)))
            return
        opening = Opening(name, f"<{name}{inside}>", self._offset())
        if name in _WHOLES:
            self._whole = opening, kept.get("alias", ""), len(self._names)
        else:
            self._parts.append(opening)

    def _end(self, tag: str) -> None:
        depth = len(self._names)
        self._names.pop()
        if self._unspoken_depth:
            self._unspoken_depth -= 1
            return
        if self._whole is not None:
            if depth == self._whole[2]:
                self._finish_run(is_kept=bool(self._whole[1]))
                self._whole = None
            return
        name = _RENAMED.get(tag, tag)
        if name in _ATTRIBUTES and name not in _LEAVES and (depth == 1 or tag != "speak"):
            self._finish_run()
            self._parts.append(Closing(name, self._offset()))

    def _characters(self, text: str) -> None:
        if self._unspoken_depth:
            return
        offset = self._offset()
        is_itself = self._data[self._expat.CurrentByteIndex] not in b"&\r"
        if not is_itself or offset != self._next_char:
            self._origins.append((self._length, offset))
            self._count_piece()
        elif text == "\n":
            self._count_piece()
        self._next_char = offset + len(text) if is_itself else -1
        self._text.append(text)
        self._length += len(text)

    def _count_piece(self) -> None:
        self._pieces += 1
        if self._pieces > self._max_pieces:
            raise _refused(f"holds more than {self._max_pieces} lines, references and comments")

    def _end_of_text(self) -> None:
        """Note where text ends that a mark ends which is no tag."""
        if self._text and not self._unspoken_depth:
            self._origins.append((self._length, self._offset()))
            self._next_char = -1
            self._count_piece()

    def _finish_run(self, *, is_kept: bool = False) -> None:
        """Put the text since the last tag among the parts; none is one, too, where an alias is spoken."""
        if not self._text and not is_kept:
            return
        origins = tuple(self._origins) or ((0, self._offset()),)
        text = SpokenText("".join(self._text), origins)
        if self._whole is None:
            self._parts.append(Run(text))
        else:
            self._parts.append(Run(text, self._whole[0], self._whole[1]))
        self._text, self._origins, self._length = [], [], 0
        self._next_char = -1


def _sieved(name: str, attributes: dict[str, str]) -> dict[str, str]:
    """Return the attributes that an engine may see."""
    patterns = _ATTRIBUTES[name]
    kept = {
        key: value
        for key, value in attributes.items()
        if key in patterns and patterns[key].fullmatch(value) is not None
    }
    if "time" in kept:
        kept["time"] = f"{round(_pause_s(name, kept) * 1000)}ms"
    return kept


def _pause_s(name: str, attributes: dict[str, str]) -> float:
    """Return how long a `<break>` is silent, in seconds; 0 for any other element."""
    if name != "break":
        return 0.0
    found = _TIME.fullmatch(attributes.get("time", ""))
    if found is None:
        return 1.0
    value_s = float(found[1]) / (1000 if found[2] == "ms" else 1)
    return min(value_s, MAX_BREAK_S)


def escaped(text: SpokenText) -> SpokenText:
    """Return decoded text written as XML again, mapped back to the same original."""
    if not any(char in text.text for char in "&<>"):
        return text
    names = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    edits = [Edit(at, at + 1, names[char]) for at, char in enumerate(text.text) if char in names]
    return apply_edits(text, edits)
