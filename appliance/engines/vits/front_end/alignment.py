"""Which word of a text each phoneme belongs to.

Owns: the guess where espeak-ng speaks several words as one, or one as several.
Refuses to know: espeak-ng (it is handed what each word sounds like alone), tokens.

As many groups of phonemes as words: one for each. Otherwise the phonemes are compared with those of the words
spoken alone, which are nearly the same, and what has no counterpart goes with its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import SequenceMatcher
from itertools import groupby

MAX_COMPARED = 250_000
"""Above this product of both lengths nothing is compared; the phonemes are shared out by length."""
_WORD = re.compile(r"\S+")


def align(text: str, phonemes: str, speak_alone: Callable[[str], str]) -> list[int]:
    """Return for every character of the phonemes an offset in the text: where its word begins.

    A space between the phonemes of two words stems from behind the first. The offsets never fall. Takes some
    100 ms at worst.

    Args:
        text: Words between two punctuation marks.
        phonemes: What the whole text sounds like, spaces between groups.
        speak_alone: Returns the phonemes of one word.
    """
    words = list(_WORD.finditer(text))
    groups = list(_WORD.finditer(phonemes))
    if not words or not groups:
        return [0] * len(phonemes)
    if len(words) == len(groups) and not any(character.isdecimal() for character in text):
        owners: list[int | None] = [None] * len(phonemes)
        for index, group in enumerate(groups):
            owners[group.start() : group.end()] = [index] * len(group[0])
    else:
        owners = _match([speak_alone(word[0]) for word in words], phonemes)
        _fill(owners, groups, len(words))
    return _places(owners, words)


def _places(owners: list[int | None], words: list[re.Match[str]]) -> list[int]:
    """Return where the owner begins; between two owners where the first ends, inside one where it begins."""
    places: list[int] = []
    at = 0
    for has_none, run in groupby(owners, lambda owner: owner is None):
        length = len(list(run))
        if not has_none:
            places += [words[owner].start() for owner in owners[at : at + length] if owner is not None]
        else:
            before = owners[at - 1] if at else None
            behind = owners[at + length] if at + length < len(owners) else None
            word = words[before or 0]
            places += [word.start() if before is None or before == behind else word.end()] * length
        at += length
    return places


def _match(alone: list[str], phonemes: str) -> list[int | None]:
    """Return the owners of those phonemes that have a counterpart in a word spoken alone."""
    places = [at for at, sound in enumerate(phonemes) if not sound.isspace()]
    sounds = [[sound for sound in said if not sound.isspace()] for said in alone]
    expected = [(sound, index) for index, said in enumerate(sounds) for sound in said]
    owners: list[int | None] = [None] * len(phonemes)
    if len(expected) * len(places) > MAX_COMPARED:
        for at, place in enumerate(places):
            owners[place] = expected[at * len(expected) // len(places)][1]
        return owners
    matcher = SequenceMatcher(
        None, "".join(sound for sound, _ in expected), "".join(phonemes[at] for at in places), autojunk=False
    )
    for start, at, size in matcher.get_matching_blocks():
        for step in range(size):
            owners[places[at + step]] = expected[start + step][1]
    return owners


def _fill(owners: list[int | None], groups: list[re.Match[str]], words: int) -> None:
    """Give every phoneme an owner: within a group the one before, at its begin the one behind."""
    last = -1
    for group in groups:
        first = _nearest(owners[group.start() : group.end()])
        if first is None:
            behind = _nearest(owners[group.end() :])
            first = last + 1 if last + 1 < (words if behind is None else behind) else max(last, 0)
        last = first
        for at in range(*group.span()):
            owner = owners[at]
            last = owners[at] = last if owner is None else owner


def _nearest(owners: list[int | None]) -> int | None:
    return next((owner for owner in owners if owner is not None), None)
