"""Edits of a text that keep the way back to the original.

Owns: `Edit`, how edits are applied to a `SpokenText`, and how a part is cut out of one.
Refuses to know: why something is edited.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from appliance.speech import SpokenText


class Edit(NamedTuple):
    """A run of characters that is spoken as something else, or not at all."""

    start_char: int
    end_char: int
    replacement: str


def apply_edits(source: SpokenText, edits: Iterable[Edit]) -> SpokenText:
    """Return the text with its edits done, mapped back to what `source` is mapped to.

    Linear in the text's length and the number of edits.

    Args:
        source: The text to edit.
        edits: Ascending and without overlap, offsets in `source.text`.
    """
    builder = _Builder(source)
    done = 0
    for start, end, replacement in edits:
        builder.copy(done, start)
        builder.add(start, end, replacement)
        done = end
    builder.copy(done, len(source.text))
    return builder.result()


class _Builder:
    """Puts an edited text together, piece by piece."""

    def __init__(self, source: SpokenText) -> None:
        self._source = source
        self._is_identity = source.origins in {(), ((0, 0),)}
        self._pieces: list[str] = []
        self._origins: list[tuple[int, int]] = []
        self._length = 0

    def copy(self, start: int, end: int) -> None:
        """Append a stretch of the source as it stands."""
        if end <= start:
            return
        self._mark(start)
        if not self._is_identity:
            pairs = self._source.origins
            inner = pairs[_place(pairs, start) : _place(pairs, end)]
            self._origins += [(self._length + spoken - start, original) for spoken, original in inner]
        self._pieces.append(self._source.text[start:end])
        self._length += end - start

    def add(self, start: int, end: int, replacement: str) -> None:
        """Append what stands for a stretch of the source; what nothing stands for leaves a mark, too.

        What isn't spoken behind the stretch keeps its own marks, so that it is no part of what stands there.
        """
        self._mark(start)
        self._pieces.append(replacement)
        self._length += len(replacement)
        if replacement and not self._is_identity:
            pairs = self._source.origins
            at_end = pairs[bisect_left(pairs, (end,)) : _place(pairs, end)]
            self._origins += [(self._length, original) for _, original in at_end]

    def _mark(self, start: int) -> None:
        """Note what the next piece stems from."""
        original = start if self._is_identity else self._source.original_offset(start)
        if not self._origins or self._origins[-1] != (self._length, original):
            self._origins.append((self._length, original))

    def result(self) -> SpokenText:
        """Return the text and its map, which ends where the source ends."""
        self._mark(len(self._source.text))
        return SpokenText("".join(self._pieces), tuple(self._origins))


def cut_out(source: SpokenText, start_char: int, end_char: int) -> SpokenText:
    """Return a part of a text, mapped back as the whole is.

    Args:
        source: The whole.
        start_char: Where the part begins in `source.text`.
        end_char: Where it ends there, exclusive.
    """
    pairs = source.origins
    first, last = _place(pairs, start_char), _place(pairs, end_char)
    begin = (0, _original(pairs, first, start_char))
    if end_char <= start_char:
        return SpokenText("", (begin,))
    inner = [(spoken - start_char, original) for spoken, original in pairs[first:last]]
    end = (end_char - start_char, _original(pairs, last, end_char))
    ends = () if inner and inner[-1] == end else (end,)
    return SpokenText(source.text[start_char:end_char], (begin, *inner, *ends))


def _place(pairs: tuple[tuple[int, int], ...], offset: int) -> int:
    """Return the place of the first pair behind an offset in the spoken text."""
    return bisect_left(pairs, (offset + 1,))


def _original(pairs: tuple[tuple[int, int], ...], place: int, offset: int) -> int:
    """Return what an offset stems from, as `SpokenText.original_offset` does, its place being known."""
    if place == 0:
        return offset
    spoken, original = pairs[place - 1]
    moved = original + offset - spoken
    return min(moved, pairs[place][1]) if place < len(pairs) else moved


def trimmed(text: str, start_char: int, end_char: int) -> tuple[int, int]:
    """Return a part's offsets without the white space at its borders; an empty part keeps its start."""
    part = text[start_char:end_char]
    kept = part.strip()
    start_char += len(part) - len(part.lstrip()) if kept else 0
    return start_char, start_char + len(kept)
