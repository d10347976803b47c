"""Which words stand for an emoji.

Owns: finding emoji (sequences with joiners, skin tones, flags) and their names, through the library `emoji`.
Refuses to know: mark-up.
"""

from __future__ import annotations

from functools import cache

import emoji

from appliance.text.weight import primary_language

_KEYCAP_BASES = "0123456789#*"
_LENGTHS: dict[str, list[int]] = {}
"""The lengths of all emoji that begin with a character, the longest first."""
for _emoji in sorted(emoji.EMOJI_DATA, key=len, reverse=True):
    if len(_emoji) not in _LENGTHS.setdefault(_emoji[0], []):
        _LENGTHS[_emoji[0]].append(len(_emoji))

_LANGUAGE_NAMES = {"cmn": "zh", "yue": "zh", "hak": "zh"}


def emoji_ranges() -> str:
    """Return the characters an emoji may begin with, as the inside of a regular expression's set."""
    first = sorted({name[0] for name in emoji.EMOJI_DATA} - set(_KEYCAP_BASES))
    # Outside of the Basic Multilingual Plane one wide range: many narrow ones make a search slow.
    return "".join(char for char in first if char <= "\uffff") + "\U0001f000-\U0001faff"


def emoji_at(text: str, start: int) -> str:
    """Return the longest emoji that begins at an offset, or an empty string."""
    for length in _LENGTHS.get(text[start], ()):
        candidate = text[start : start + length]
        if candidate in emoji.EMOJI_DATA:
            return candidate
    return ""


@cache
def _library_language(language: str) -> str:
    """Return the library's name of a language, its names loaded from disk, or English."""
    primary = primary_language(language)
    name = _LANGUAGE_NAMES.get(primary, primary)
    if name not in emoji.LANGUAGES:
        return "en"
    emoji.config.load_language(name)
    return name


def emoji_name(found: str, language: str) -> str:
    """Return the words for an emoji in the voice's language, or in English where there are none.

    The first call for a language reads a file of the library (a few milliseconds).

    Args:
        found: An emoji that `emoji_at` found.
        language: BCP 47 tag of the voice.
    """
    names = emoji.EMOJI_DATA[found]
    name = names.get(_library_language(language)) or names["en"]
    return str(name).strip(":").replace("_", " ")
