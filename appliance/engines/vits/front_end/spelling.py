"""Numbers and signs in words, for voices that know letters only.

Owns: what a number is in a text, how each language writes decimals and thousands, the words for signs.
Refuses to know: cleaners, tokens.

Only what the voice's vocabulary lacks is spelled out: everything else stays as the voice was trained on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from decimal import Decimal
from functools import cache

from appliance.engines.vits.front_end.traced import TracedText

MAX_DIGITS = 15
"""Digits of a longer number are said one by one."""
_POINT_LANGUAGES = frozenset({"en", "he", "hi", "ja", "ko", "th", "zh"})
"""They write 1,234.5; the others 1.234,5. Source: CLDR, numbers, symbols."""
_NUMBER = re.compile(r"(?:(?<![^\s(])[-−])?[0-9]+(?:[.,][0-9]+)*")
_SIGNS = "%&+=@°€$£"
_SIGN_WORDS = {
    "de": "Prozent|und|plus|gleich|at|Grad|Euro|Dollar|Pfund",
    "en": "percent|and|plus|equals|at|degrees|euros|dollars|pounds",
    "es": "por ciento|y|más|igual a|arroba|grados|euros|dólares|libras",
    "fr": "pour cent|et|plus|égale|arobase|degrés|euros|dollars|livres",
    "it": "per cento|e|più|uguale|chiocciola|gradi|euro|dollari|sterline",
    "nl": "procent|en|plus|is|apenstaartje|graden|euro|dollar|pond",
    "pl": "procent|i|plus|równa się|małpa|stopni|euro|dolarów|funtów",
    "pt": "por cento|e|mais|igual a|arroba|graus|euros|dólares|libras",
}
"""Primary subtag → the words for `_SIGNS`, in their order."""
_MINUS = {"es": "menos", "fr": "moins", "it": "meno", "nl": "min", "pt": "menos"}
_FAILURES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
)
"""What num2words raises for numbers and languages it can't say: OverflowError for large ones among them."""


def spell_out(text: TracedText, language: str | None, vocabulary: Collection[str]) -> TracedText:
    """Return a text in which numbers and signs that the voice doesn't know are words.

    What can't be said in the language stays as it is.

    Args:
        text: The text, a few hundred characters.
        language: As the model names it: a subtag with or without a region; None for unknown.
        vocabulary: What the voice knows.
    """
    if language is None:
        return text
    primary = language.split("-")[0].lower()

    def number(match: re.Match[str]) -> str:
        if all(character in vocabulary for character in match[0]):
            return match[0]
        said = _say(match[0], language, primary)
        return said if said == match[0] else _tame(said, vocabulary)

    def sign(match: re.Match[str]) -> str:
        if match[0] in vocabulary or primary not in _SIGN_WORDS:
            return match[0]
        return f" {_SIGN_WORDS[primary].split('|')[_SIGNS.index(match[0])]} "

    return text.substitute(_NUMBER, number).substitute(re.compile(f"[{re.escape(_SIGNS)}]"), sign)


def _tame(words: str, vocabulary: Collection[str]) -> str:
    """Return words without the signs between them that the voice would drop, joining what they part."""
    words = words.replace(",", "")
    return words if "-" in vocabulary else words.replace("-", " ")


def _say(written: str, language: str, primary: str) -> str:
    """Return a number as it is said, or its parts where it is a date, a version or the like."""
    if written[0] in "-−":
        return f"{_MINUS.get(primary, 'minus')} {_say(written[1:], language, primary)}"
    decimal, thousands = (".", ",") if primary in _POINT_LANGUAGES else (",", ".")
    whole, point, fraction = written.partition(decimal)
    if re.fullmatch(rf"[1-9][0-9]{{0,2}}(?:{re.escape(thousands)}[0-9]{{3}})+", whole):
        whole = whole.replace(thousands, "")
    if whole.isdecimal() and (fraction.isdecimal() or not point):
        return _say_plain(whole, fraction, language) or written
    return re.sub("[0-9]+", lambda part: _say_plain(part[0], "", language) or part[0], written)


def _say_plain(whole: str, fraction: str, language: str) -> str:
    """Return a number of plain digits in words, digit by digit where it has no name; or nothing."""
    say = _speaker()
    is_code = len(whole) > 1 and whole.startswith("0")
    if not is_code and len(whole) + len(fraction) <= MAX_DIGITS:
        try:
            return say(Decimal(f"{whole}.{fraction}") if fraction else int(whole), language)
        except _FAILURES:
            pass  # in this language or size it has no name
    try:
        return " ".join(say(int(digit), language) for digit in whole + fraction)
    except _FAILURES:
        return ""


@cache
def _speaker() -> Callable[[int | Decimal, str], str]:
    """Return what says a number in a language; loaded when a text first needs it."""
    from num2words import CONVERTER_CLASSES, num2words

    def say(number: int | Decimal, language: str) -> str:
        subtag, _, region = language.replace("_", "-").partition("-")
        full = f"{subtag.lower()}_{region.upper()}"
        return str(num2words(number, lang=full if full in CONVERTER_CLASSES else subtag.lower()))

    return say
