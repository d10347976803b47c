"""Words that a dictionary respells.

Owns: where a word of the dictionary stands in a text, and which of several counts.
Refuses to know: where the dictionary comes from.

A word of small letters is found however it is written, one with a capital only so. Of words that begin at the
same place the longest counts. What is put in place of a word is looked at no more. Apostrophes are all alike,
and so is a letter however it is composed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from appliance.speech import Pronunciations, SpokenText
from appliance.text.offsets import Edit, apply_edits

TOKEN = re.compile(r"[^\W_]+")
"""Letters and digits side by side; a word of the dictionary has at least one such run."""

_ALIKE = str.maketrans("\u2018\u2019\u02bc", "'''")
"""The apostrophes that programs put in the place of the one on a keyboard."""
_Candidates = dict[str, list[tuple[int, str, str]]]


def respell(text: SpokenText, pronunciations: Pronunciations) -> SpokenText:
    """Return a text with the dictionary's words respelled, mapped back to the same original.

    Takes linear time, as long as few words of the dictionary begin alike.

    Args:
        text: A text without mark-up, in spoken form.
        pronunciations: The words for its voice.
    """
    if not pronunciations.words:
        return text
    edits = list(_edits(text.text.translate(_ALIKE), _candidates(pronunciations)))
    return apply_edits(text, edits) if edits else text


@lru_cache(maxsize=64)
def _candidates(pronunciations: Pronunciations) -> _Candidates:
    """Return the words by their first run of letters, the longest first, each with where that run begins."""
    found: _Candidates = {}
    for word in sorted(pronunciations.words, key=len, reverse=True):
        plain = unicodedata.normalize("NFC", word).translate(_ALIKE)
        if token := TOKEN.search(plain):
            entry = (token.start(), plain, pronunciations.words[word])
            found.setdefault(token[0].lower(), []).append(entry)
    return found


def _edits(text: str, candidates: _Candidates) -> Iterator[Edit]:
    end = 0
    for token in TOKEN.finditer(text):
        for lead, word, spoken in candidates.get(token[0].lower(), ()):
            start = token.start() - lead
            if start >= end and _stands(text, start, word):
                end = start + len(word)
                yield Edit(start, end, spoken)
                break


def _stands(text: str, start: int, word: str) -> bool:
    """Return whether a word stands at a place, and isn't part of a longer one."""
    end = start + len(word)
    written = text[start:end]
    is_same = written == word or (word.islower() and written.lower() == word)
    is_apart = not (start and text[start - 1].isalnum() and word[0].isalnum())
    return is_same and is_apart and not (word[-1].isalnum() and text[end : end + 1].isalnum())
