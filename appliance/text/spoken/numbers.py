"""Numbers: found in a text, counted with, said in words where digits would be read wrong.

Owns: what a number is in a language, which form of a noun stands behind it, cardinals, ordinals and years.
Refuses to know: what is counted.

A number stays in digits wherever every engine reads it right; words come where gender or case show.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from appliance.text.spoken.language import FRACTION, Language, Noun

MAX_DIGITS = 12
"""A longer number is a code."""
_FIRST_YEAR, _LAST_YEAR = 1000, 2199
_SMALL, _HUNDRED, _THOUSAND = 20, 100, 1000
_TEEN = 10
_FEW = range(2, 5)
_READ_AS_ONE = 2
"""Digits of a fraction that are one number."""


class Number(NamedTuple):
    """A number in a text."""

    start_char: int
    end_char: int
    whole: str
    """Its digits before the decimal sign, without what parts groups."""
    fraction: str
    """Those behind it."""

    @property
    def value(self) -> int:
        """The whole part."""
        return int(self.whole)

    @property
    def is_code(self) -> bool:
        """Whether its digits are rather a name, as `007`."""
        return len(self.whole) > MAX_DIGITS or (len(self.whole) > 1 and self.whole.startswith("0"))


def number_at(text: str, start: int, language: Language) -> Number | None:
    """Return the number that begins at a digit, or None if it is part of something longer.

    Args:
        text: The whole text.
        start: Where a digit stands.
        language: Says how groups and fractions are written.
    """
    is_behind_digits = start > 1 and text[start - 1] == " " and text[start - 2].isdigit()
    found = _pattern(language, is_spaced=not is_behind_digits).match(text, start)
    if found is None:
        return None
    whole, _, fraction = found[0].partition(language.decimal)
    return Number(start, found.end(), re.sub(r"\D", "", whole), fraction)


@cache
def _pattern(language: Language, *, is_spaced: bool) -> re.Pattern[str]:
    separators = re.escape(language.thousands)
    tight = rf"[1-9]\d{{0,2}}(?:[{separators}]\d{{3}})+(?!\d)|" if separators else ""
    spaced = r"[1-9]\d{0,2}(?: \d{3})+(?![ ]?\d)|" if is_spaced else ""
    return re.compile(rf"(?:{spaced}{tight}\d+)(?:{re.escape(language.decimal)}\d+)?(?!\d)")


def form_of(noun: Noun, number: Number, language: Language) -> str:
    """Return the form of a noun that stands behind a number."""
    is_like_whole = not number.fraction or language.plural == "below_two"
    form = _FORMS[language.plural](number.value) if is_like_whole else FRACTION
    return noun.forms[min(form, len(noun.forms) - 1)]


def _one(value: int) -> int:
    return 0 if value == 1 else 1


def _below_two(value: int) -> int:
    return 0 if value < 2 else 1  # noqa: PLR2004 (a rule of French)


def _polish(value: int) -> int:
    if value == 1:
        return 0
    return 1 if _east_slavic(value) == 1 else 2


def _east_slavic(value: int) -> int:
    last, is_teen = value % 10, _TEEN <= value % _HUNDRED < _SMALL
    if is_teen:
        return 2
    return 0 if last == 1 else 1 if last in _FEW else 2


_FORMS = {"one": _one, "below_two": _below_two, "polish": _polish, "east_slavic": _east_slavic}
PLURALS = tuple(_FORMS)
"""Which form of a noun stands behind 1, 2, 5: singular and plural, or one, few and many."""


def say_number(number: Number, language: Language, gender: str = "", *, is_genitive: bool = False) -> str:
    """Return a number as it is to be written for engines: words where digits would be read wrong.

    Args:
        number: A number.
        language: Whose words.
        gender: Of what is counted; `m`, `f`, `n` or empty.
        is_genitive: Whether it stands in the genitive.
    """
    if number.is_code or (number.fraction and not language.has_spelled_numbers):
        return number.whole + (language.decimal + number.fraction if number.fraction else "")
    if number.fraction:
        return f"{cardinal(number.value, language)} {language.point} {_digits(number.fraction, language)}"
    if is_genitive and (said := _genitive(number.value, language)):
        return said
    exact = language.exact.get(gender, {}).get(number.value)
    return exact or _agreeing(number, language, gender)


def _agreeing(number: Number, language: Language, gender: str) -> str:
    is_small = number.value < _THOUSAND and bool(language.hundreds)
    if language.has_spelled_numbers:
        return cardinal(number.value, language, gender)
    if gender in language.agree and is_small:
        said = cardinal(number.value, language, gender)
        return said if said != cardinal(number.value, language) else number.whole
    return number.whole


def _digits(fraction: str, language: Language) -> str:
    """Return a fraction's digits in words, as one number where there are few."""
    if len(fraction) <= _READ_AS_ONE and not fraction.startswith("0"):
        return cardinal(int(fraction), language)
    return " ".join(language.small_numbers[int(digit)] for digit in fraction)


def _genitive(value: int, language: Language) -> str:
    exact = language.exact.get("genitive", {})
    if value in exact or value >= _HUNDRED:
        return exact.get(value, "")
    tens, ones = exact.get(value - value % 10), exact.get(value % 10)
    return f"{tens} {ones}" if tens and ones else ""


def cardinal(value: int, language: Language, gender: str = "") -> str:
    """Return a whole number in words; a language with `hundreds` and `scales` has them all.

    Args:
        value: 0 ≤ value < 10 ** MAX_DIGITS.
        language: Whose words.
        gender: What its last word agrees with.
    """
    if value < _THOUSAND:
        return _below_thousand(value, language, gender)
    words: list[str] = []
    for power in range(len(language.scales), 0, -1):
        count = value // _THOUSAND**power % _THOUSAND
        noun = language.scales[power - 1]
        if count > 1:
            words.append(_below_thousand(count, language, noun.gender))
        if count:
            words.append(noun.forms[_FORMS[language.plural](count)])
    rest = value % _THOUSAND
    return " ".join([*words, _below_thousand(rest, language, gender)] if rest else words)


def _below_thousand(value: int, language: Language, gender: str) -> str:
    words = []
    if value >= _HUNDRED:
        words.append(language.hundreds[value // _HUNDRED - 1])
    rest = value % _HUNDRED
    if rest >= _SMALL:
        words.append(language.tens[rest // 10 - 2])
        rest %= 10
    if rest or not words:
        words.append(language.small_numbers[rest])
    words[-1] = language.agree.get(gender, {}).get(words[-1], words[-1])
    return " ".join(words)


def ordinal(value: int, language: Language, case: str = "") -> str:
    """Return an ordinal in words, or nothing where the language's file doesn't know it.

    Args:
        value: 1 or more.
        language: Whose words.
        case: Name in the language's `endings_of`; the dictionary form where there is none.
    """
    if 0 < value <= len(language.ordinals):
        return inflected(language.ordinals[value - 1], language, case)
    if not language.ordinal_tens or not _SMALL <= value < _HUNDRED:
        return ""
    tens, ones = divmod(value, 10)
    if not ones:
        return inflected(language.ordinal_tens[tens - 2], language, case)
    last = inflected(language.ordinals[ones - 1], language, case)
    if language.has_ordinal_pairs:
        return f"{inflected(language.ordinal_tens[tens - 2], language, case)} {last}"
    return f"{language.tens[tens - 2]} {last}"


def inflected(word: str, language: Language, case: str) -> str:
    """Return an ordinal's word in a case; the dictionary form where the language's file has no endings."""
    for ending, instead in language.endings_of.get(case, {}).items():
        if word.endswith(ending):
            return word.removesuffix(ending) + instead
    return word


def year(value: int, language: Language, case: str) -> str:
    """Return a year as an ordinal, or nothing where the language has none."""
    if not language.century_years or not _FIRST_YEAR <= value <= _LAST_YEAR:
        return ""
    if value % _HUNDRED == 0:
        return inflected(language.century_years.get(value, ""), language, case)
    words = [language.thousand_years[value // _THOUSAND - 1]]
    if hundreds := value % _THOUSAND // _HUNDRED:
        words.append(language.hundreds[hundreds - 1])
    return " ".join([*words, ordinal(value % _HUNDRED, language, case)])
