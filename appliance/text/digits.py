"""Digits that a voice doesn't know, written as those it does.

Owns: which voices speak which digits.
Refuses to know: numbers; `10` stays two characters.

espeak-ng speaks the digits of a script with the voices of its languages only, as it speaks 0 to 9, and is
silent about them with all others; about digits in circles and of full width it is silent with every voice.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from appliance.speech import SpokenText
from appliance.text.offsets import Edit, apply_edits
from appliance.text.weight import primary_language

# The zero of a script and the languages whose voices speak its digits; all other digits become ASCII.
# Source: espeak-ng 1.52 through its library, phonemes of "37" in every script with all 138 voices.
_SPOKEN = {
    "\u0660": "ar fa sd ur",
    "\u06f0": "ar fa",
    "\u0966": "hi kok mr ne",
    "\u09e6": "as bn bpy",
    "\u0a66": "pa",
    "\u0ae6": "gu pa",
    "\u0b66": "or",
    "\u0be6": "ta",
    "\u0c66": "te",  # codespell:ignore te
    "\u0ce6": "kn",
    "\u0d66": "ml",
    "\u0e50": "th",
    "\u1040": "my",
    "\u1090": "shn",
}
# Small ones, those in circles or brackets or with a stop, those of scripts that have no zero.
_SIGNS = (
    "²³¹\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u249b\u24ea-\u24ff\u2776-\u2793"
    "\u3251-\u325f\u32b1-\u32bf\U00010a40-\U00010a43\U00010e60-\U00010e68\U00011052-\U0001105a"
    "\U0001f100-\U0001f10a"
)
_FOREIGN = re.compile(rf"[\d{_SIGNS}](?<![0-9])")
_RUN = re.compile(rf"[\d{_SIGNS}]+")
_NUMBER = re.compile(r"\d+|[²³¹\u2070-\u2089]+|.")


def spell_digits(text: SpokenText, language: str) -> SpokenText:
    """Return a text whose digits the voice speaks, mapped back to the same original.

    `x²` becomes `x2`, but `10²` becomes `10 2` and `①②` becomes `1 2`. Takes linear time.

    Args:
        text: The text.
        language: BCP 47 tag of the voice.
    """
    if text.text.isascii() or not _FOREIGN.search(text.text):
        return text
    return apply_edits(text, _edits(text.text, primary_language(language)))


def _edits(text: str, language: str) -> Iterator[Edit]:
    for run in _RUN.finditer(text):
        for number in _NUMBER.finditer(text, *run.span()):
            if number.start() > run.start():
                yield Edit(number.start(), number.start(), " ")
            for at in range(*number.span()):
                if not _is_spoken(text[at], language):
                    yield Edit(at, at + 1, str(int(unicodedata.numeric(text[at]))))


def _is_spoken(char: str, language: str) -> bool:
    digit = unicodedata.decimal(char, None)
    return char.isascii() or (
        digit is not None and language in _SPOKEN.get(chr(ord(char) - digit), "").split()
    )
