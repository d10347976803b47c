"""SSML for engines that know none: what is spoken, and the silences in between.

Owns: which tags mean something here (`break` and `sub`), and the way back into the document.
Refuses to know: voices and audio. What arrives has gone through the gateway's parser and sieve.

Emphasis, prosody and voices within a document are left out; the text is spoken without them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

USUAL_BREAK_S = 0.5
"""Seconds of a `<break>` that doesn't say how long. Source: SSML 1.1 leaves it to the processor."""
MAX_BREAK_S = 5.0
_TOKEN = re.compile(r"<(?P<closes>/?)(?P<name>[A-Za-z:]*)(?P<inside>[^>]*)>|&[#\w]{1,10};|.", re.DOTALL)
_TIME = re.compile(r"\btime=[\"'](\d{1,6})ms[\"']")
_NONE = re.compile(r"\bstrength=[\"']none[\"']")
_ALIAS = re.compile(r"\balias=(?:\"([^\"]*)\"|'([^']*)')")
_SEPARATING = frozenset({"speak", "p", "s"})


class Piece(NamedTuple):
    """Text that is spoken in one go."""

    text: str
    places: tuple[tuple[int, int], ...]
    """Where each character stands in the document: start and end, exclusive."""


class Pause(NamedTuple):
    """Silence."""

    pause_s: float


def whole(text: str) -> Piece:
    """Return plain text as a piece."""
    return Piece(text, tuple((at, at + 1) for at in range(len(text))))


def cut_document(document: str) -> list[Piece | Pause]:
    """Return what is to be heard, in order: no two pieces without a pause between them, no empty piece.

    Takes linear time; text that isn't well-formed comes out somehow.
    """
    parts: list[Piece | Pause] = []
    characters: list[tuple[str, tuple[int, int]]] = []
    for part in _read(document):
        if isinstance(part, Pause):
            parts += _spoken(characters)
            parts.append(part)
            characters = []
        else:
            characters.append(part)
    return parts + _spoken(characters)


def _spoken(characters: list[tuple[str, tuple[int, int]]]) -> list[Piece | Pause]:
    """Return the piece that these characters are, unless they are white space."""
    piece = Piece("".join(text for text, _ in characters), tuple(place for _, place in characters))
    return [] if not piece.text or piece.text.isspace() else [piece]


def _read(document: str) -> Iterator[tuple[str, tuple[int, int]] | Pause]:
    """Yield every character that is spoken with its place, and pauses."""
    alias: str | None = None
    alias_from = 0
    for token in _TOKEN.finditer(document):
        name, place = token["name"], token.span()
        if name == "sub" and not token["closes"]:
            found = _ALIAS.search(token["inside"])
            alias = html.unescape(found[1] or found[2] or "") if found else None
            alias_from = token.end()
        elif name == "sub" and alias is not None:
            yield from ((character, (alias_from, token.start())) for character in alias)
            alias = None
        elif alias is not None:
            continue
        elif name == "break" and not token["closes"]:
            yield from _pause(token["inside"])
        elif name in _SEPARATING:
            yield " ", place
        elif name is None:
            yield from ((character, place) for character in html.unescape(token[0]))


def _pause(inside: str) -> Iterator[Pause]:
    time = _TIME.search(inside)
    pause_s = int(time[1]) / 1000 if time else 0.0 if _NONE.search(inside) else USUAL_BREAK_S
    if pause_s:
        yield Pause(min(pause_s, MAX_BREAK_S))
