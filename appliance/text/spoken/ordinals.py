"""Ordinals and fractions, and Roman numbers.

Owns: how each language writes them.
Refuses to know: dates, which `dates` finds first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from appliance.text.offsets import Edit
from appliance.text.spoken.language import Language
from appliance.text.spoken.numbers import ordinal
from appliance.text.spoken.place import Found, Part, any_of, rewritten, word_before

_ROMAN_RUN = re.compile(r"\b[IVX]{1,7}")
_ROMAN_FORM = re.compile(r"X{0,3}(?:IX|IV|V?I{0,3})")
_VALUES = {"I": 1, "V": 5, "X": 10}
_FRACTION = re.compile(r"\d/\d(?![\w/])")
_MIXED = re.compile(r"\d+([½⅓⅔¼¾])(?!\w)|\d{1,2} (1/2|1/4|3/4)(?![\w/])")
_SIGNS = {"1/2": "½", "1/4": "¼", "3/4": "¾"}
_VULGAR = re.compile("[½⅓⅔¼¾]")
_NAME_BEFORE = re.compile(r"(?:\A|[^\W\d_.]*[^\w.])?([A-ZÀ-ÞЀ-Я][^\W\d_]+) \Z")
_GERMAN_ORDINAL = re.compile(r"(\d{1,2})\. (?=[^\W\d_])")
_POLISH_ORDINAL = re.compile(r"(\d{1,2})\. ([^\W\d_]+)")
_UKRAINIAN_ORDINAL = re.compile(r"(\d{1,2})-([^\W\d_]{1,3})(?!\w)")
_MAX_REIGN, _NAME_CHARS = 40, 40
_NEUTERS = ("o", "e", "um")


def ordinal_at(text: str, start: int, language: Language) -> Found | None:
    """Return what is to be said for an ordinal or a fraction that begins at a digit, or None."""
    found = _FRACTION.match(text, start)
    if found is not None:
        said = language.fractions.get(found[0], "")
        return Found(rewritten(text, [Part(start, found.end(), said)]), found.end()) if said else None
    vulgar = _MIXED.match(text, start)
    if vulgar is not None:
        said = language.fractions[f"+{vulgar[1] or _SIGNS[vulgar[2]]}"]
        place, lead = (vulgar.start(1), " ") if vulgar[1] else (vulgar.start(2), "")
        return Found([Edit(place, vulgar.end(), lead + said)], vulgar.end())
    rule = _RULES.get(language.code)
    return rule(text, start, language) if rule else None


def _german(text: str, start: int, language: Language) -> Found | None:
    """Return the edit of `3.` behind an article, which says how it ends."""
    found = _GERMAN_ORDINAL.match(text, start)
    ending = language.ordinal_endings.get(word_before(text, start), "")
    said = ordinal(int(found[1]), language) if found and ending else ""
    if found is None or not said:
        return None
    end = found.end() - 1
    return Found(rewritten(text, [Part(start, end, said + ending)]), end)


def _polish(text: str, start: int, language: Language) -> Found | None:
    """Return the edit of `3.` before a noun, whose ending and preposition say its gender and case."""
    found = _POLISH_ORDINAL.match(text, start)
    if found is None or not found[2].islower():
        return None
    case = ""
    if word_before(text, start) in language.locative:
        case = "locative"
    elif found[2].endswith(_NEUTERS):
        case = "neuter"
    elif found[2].endswith("a"):
        case = "feminine"
    said = ordinal(int(found[1]), language, case)
    return Found(rewritten(text, [Part(start, found.end(1) + 1, said)]), found.end(1) + 1) if said else None


def _ukrainian(text: str, start: int, language: Language) -> Found | None:
    """Return the edit of a number whose letters name its case."""
    found = _UKRAINIAN_ORDINAL.match(text, start)
    case = language.ordinal_cases.get(found[2], "") if found else ""
    said = ordinal(int(found[1]), language, case) if found and case else ""
    return Found(rewritten(text, [Part(start, found.end(), said)]), found.end()) if found and said else None


@cache
def _suffixed(language: Language) -> re.Pattern[str]:
    return re.compile(rf"(\d{{1,2}})({any_of(language.ordinal_suffixes)})(?!\w)(?! ?[CFK]\b)")


def _romance(text: str, start: int, language: Language) -> Found | None:
    """Return the edit of `2e`, `1.º`, `3°`."""
    found = _suffixed(language).match(text, start)
    said = ordinal(int(found[1]), language) if found else ""
    if found is None or not said:
        return None
    return Found(
        rewritten(text, [Part(start, found.end(), _agreeing(said, found[2], language))]), found.end()
    )


def _agreeing(said: str, suffix: str, language: Language) -> str:
    if language.code == "fr":
        return "première" if suffix in {"re", "ère"} else said
    if "ª" in suffix:
        return said[:-1] + "a"
    return said[:-1] if "er" in suffix else said


def vulgar_edits(text: str, language: Language) -> Iterator[Edit]:
    """Yield the edits of fractions that stand alone, as `½`."""
    for found in _VULGAR.finditer(text):
        if found.start() and text[found.start() - 1].isdigit():
            continue
        yield Edit(found.start(), found.end(), language.fractions[found[0]])


@cache
def _romans(language: Language) -> re.Pattern[str]:
    suffix = any_of(language.roman_ordinals) or "(?!)"
    return re.compile(rf"([IVX](?<!\w.)[IVX]{{0,6}})({suffix})?(?![\w’'-])")


def roman_edits(text: str, language: Language) -> Iterator[Edit]:
    """Yield the edits of Roman numbers behind a name or a chapter, or before a century."""
    for found in _romans(language).finditer(text):
        if _ROMAN_FORM.fullmatch(found[1]) and (said := _said_roman(text, found, language)):
            yield Edit(found.start(), found.end(), said)


def _said_roman(text: str, found: re.Match[str], language: Language) -> str:
    value, word = _value(found[1]), word_before(text, found.start())
    if language.century_forms and (said := _century(text, found, language, word)):
        return said
    name = _NAME_BEFORE.search(text[max(0, found.start() - _NAME_CHARS) : found.start()])
    is_letter = len(found[1]) == 1
    if found[2]:
        return ordinal(value, language) if name or not is_letter else ""
    if is_letter:
        return ""
    if word in language.roman_plain:
        return str(value)
    return _reign(value, language) if name and value <= _MAX_REIGN else ""


@cache
def _century_words(language: Language) -> re.Pattern[str]:
    return re.compile(rf" ({any_of(language.century_words)})(?!\w)")


def _century(text: str, found: re.Match[str], language: Language, word: str) -> str:
    """Return a century's ordinal before its word, which `century_edits` writes out."""
    if _century_words(language).match(text, found.end()) is None:
        return ""
    is_neuter = language.code == "uk"
    case = "locative" if word in language.locative else "neuter" if is_neuter else ""
    return ordinal(_value(found[1]), language, case)


@cache
def _short_centuries(language: Language) -> re.Pattern[str]:
    shorts = [word for word in language.century_words if word.endswith(".")]
    return re.compile(rf"([IVX](?<!\w.)[IVX]*) ({any_of(shorts)})")


def century_edits(text: str, language: Language) -> Iterator[Edit]:
    """Yield the edits of the short word for a century behind a Roman number."""
    if not language.century_forms:
        return
    for found in _short_centuries(language).finditer(text):
        is_locative = word_before(text, found.start()) in language.locative
        said = language.century_forms["locative" if is_locative else "nominative"]
        yield Edit(found.start(2), found.end(), said)


def _value(roman: str) -> int:
    values = [_VALUES[letter] for letter in roman]
    return sum(-low if low < high else low for low, high in zip(values, [*values[1:], 0], strict=True))


def _reign(value: int, language: Language) -> str:
    """Return what a ruler's number is called."""
    said = ordinal(value, language)
    if language.code == "fr":
        return str(value)
    if language.code == "es":
        return said or str(value)
    if language.code == "en":
        return f"the {said}" if said else ""
    return "" if language.code == "de" else said


_RULES: dict[str, Callable[[str, int, Language], Found | None]] = {
    "de": _german,
    "es": _romance,
    "fr": _romance,
    "it": _romance,
    "pl": _polish,
    "uk": _ukrainian,
}
