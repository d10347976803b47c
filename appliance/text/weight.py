"""How long a text will sound, roughly, before anybody speaks it.

Owns: the weight of a text in ordinary characters, by which utterances are kept short enough.
Refuses to know: what an engine really does; the dispatcher learns real costs.

One unit is an ordinary letter of the voice's own script, at most 0.1 s of audio. A digit is spoken as
a word, and a letter of a script that the voice can't read is announced by its name, which takes up to
1.6 s. So 300 units stay under 34 s, half of `MAX_UTTERANCE_PCM_BYTES` at 22,050 Hz, for all that people
write; only strings of random letters can be longer.

Source: espeak-ng 1.52 through its library, 60 characters of each kind with the voices en-us, de, cmn
and ja: Latin 0.06 s per character, digits 0.19 to 0.55, capitals up to 0.3, Han in a Chinese voice
0.26, kana in a Japanese one 0.28; Thai, Ethiopic, Han, kana in a foreign voice 0.5 to 1.6.
"""

from __future__ import annotations

import re
from functools import lru_cache

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_ARABIC = "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufeff"
_CYRILLIC = "\u0400-\u052f"
_KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
# Latin, the marks and punctuation of all scripts, Devanagari and Hangul, which espeak-ng reads in any voice.
_READ_BY_ALL = (
    "\x00-\u017f\u01a0\u01a1\u01af\u01b0\u0218-\u021b\u0259\u0300-\u036f\u0900-\u097f\u1ea0-\u1ef9\u2000-\u206f"
    "\u3000-\u303f\uac00-\ud7af\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
)
_OWN_SCRIPTS = {
    _ARABIC: "ar fa ku ps sd ug ur",
    _CYRILLIC: "ba be bg cv kk ky mk mn nog ru sr tt uk",
    _HAN: "cmn hak ja yue zh",
    _KANA: "ja",
    "\u0370-\u03ff\u1f00-\u1fff": "el grc",
    "\u0530-\u058f": "hy hyw",
    "\u0590-\u05ff": "he",
    "\u0980-\u09ff": "as bn bpy",
    "\u0a00-\u0a7f": "pa",
    "\u0a80-\u0aff": "gu",
    "\u0b00-\u0b7f": "or",
    "\u0b80-\u0bff": "ta",
    "\u0c00-\u0c7f": "te",
    "\u0c80-\u0cff": "kn",
    "\u0d00-\u0d7f": "ml",
    "\u0d80-\u0dff": "si",
    "\u0e00-\u0e7f": "th",
    "\u1000-\u109f": "my shn",
    "\u10a0-\u10ff": "ka",
    "\u1200-\u137f": "am ti",
    "\u13a0-\u13ff\uab70-\uabbf": "chr",
}
_SLOW_LANGUAGES = {"ar": 2, "fa": 2, "ja": 3, "ur": 2}
"""How much longer than others these voices take over a character."""
_FOREIGN_EXTRA = 15
_HAN_EXTRA = 2
_SPELLED_EXTRA = 3
_DIGIT_EXTRA = 4
_HEAVY_EXTRA = 2
_ASCII_MAX = 5
"""No ASCII text weighs more than this per character, slow languages apart."""

_DIGIT = re.compile(r"[0-9]")
_HEAVY = re.compile(r"[A-Z#$%&*+/=@\\~^|<>¡-¿×÷À-Þ²³¹]")
_LONE_LETTERS = re.compile(r" \w(?= \w\b)")
_CONSONANTS = re.compile(r"[b-df-hj-np-tv-xz]{5,}")
_HAN_CHARS = re.compile(f"[{_HAN}]")


@lru_cache(maxsize=256)
def _foreign_chars(language: str) -> re.Pattern[str]:
    primary = primary_language(language)
    own = "".join(ranges for ranges, languages in _OWN_SCRIPTS.items() if primary in languages.split())
    return re.compile(f"[^{_READ_BY_ALL}{own}]")


def spoken_weight(text: str, language: str) -> int:
    """Return how long a text will sound, in units of 0.1 s at most.

    Args:
        text: Spoken text.
        language: BCP 47 tag of the voice.
    """
    weight = len(text) + _HEAVY_EXTRA * len(_HEAVY.findall(text)) + _DIGIT_EXTRA * len(_DIGIT.findall(text))
    weight += _SPELLED_EXTRA * (len(_LONE_LETTERS.findall(text)) + sum(map(len, _CONSONANTS.findall(text))))
    if not text.isascii():
        weight += _HAN_EXTRA * len(_HAN_CHARS.findall(text))
        weight += _FOREIGN_EXTRA * len(_foreign_chars(language).findall(text))
    return weight * _SLOW_LANGUAGES.get(primary_language(language), 1)


def is_light(text: str, language: str, max_weight: int) -> bool:
    """Return whether a text is within a weight whatever it says; False means: weigh it."""
    factor = _ASCII_MAX * _SLOW_LANGUAGES.get(primary_language(language), 1)
    return len(text) * factor <= max_weight and text.isascii()


@lru_cache(maxsize=256)
def primary_language(tag: str) -> str:
    """Return the first part of a BCP 47 tag in lower case, for example `pt` of `pt-BR`."""
    return tag.replace("_", "-").split("-", 1)[0].lower()
