"""A place in a text where a rule looks, and what it finds there.

Owns: what stands before a place, what a rule gives back, whether an abbreviation's stop ends a sentence.
Refuses to know: the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from appliance.text.offsets import Edit
from appliance.text.spoken.language import Language

_LOOK_BACK_CHARS = 40
_QUOTES = "\"'„“”«»([‚‘’"
_SENTENCE_BEGINS = re.compile(r"[\"”’»)\]]*(?:\s*\Z|\s*\n|\s+[\"“„«(\[]?[^\W\d_])")


class Found(NamedTuple):
    """What a rule found: its edits, ascending, and where the next rule may look on."""

    edits: list[Edit]
    end_char: int


class Part(NamedTuple):
    """A stretch of a text and what is to stand there."""

    start_char: int
    end_char: int
    said: str


def rewritten(text: str, parts: Iterable[Part]) -> list[Edit]:
    """Return the edits for parts that follow each other; those that touch are parted by a space."""
    edits = []
    former_end = -1
    for start, end, said in parts:
        lead = " " if start == former_end and said else ""
        if text[start:end] != lead + said:
            edits.append(Edit(start, end, lead + said))
        former_end = end
    return edits


def word_before(text: str, start: int) -> str:
    """Return the word before a place, in lower case, or nothing where something else stands there."""
    words = text[max(0, start - _LOOK_BACK_CHARS) : start].rstrip(" ").rstrip(".,").rsplit(None, 1)
    word = words[-1].lstrip(_QUOTES) if words else ""
    return word.lower() if word.isalpha() else ""


def ends_sentence(text: str, end: int, language: Language, *, is_likely: bool = False) -> bool:
    """Return whether a full stop before a place ends a sentence too, and not only what is abbreviated.

    Args:
        text: The whole text.
        end: Behind the full stop.
        language: Says whether nouns have capitals.
        is_likely: Whether a capital is believed even so.
    """
    found = _SENTENCE_BEGINS.match(text, end)
    if found is None:
        return False
    last = found[0][-1:]
    return not last.isalpha() or (last.isupper() and (is_likely or not language.has_noun_capitals))


def any_of(names: Iterable[str]) -> str:
    """Return a pattern for names, the longest first."""
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
