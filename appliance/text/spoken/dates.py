"""Dates and years.

Owns: how dates are written, which numbers can be one, and how they are said.
Refuses to know: the names of months (`language`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from appliance.text.spoken.language import Language
from appliance.text.spoken.numbers import cardinal, ordinal, year
from appliance.text.spoken.place import Found, Part, any_of, ends_sentence, rewritten, word_before

_MAX_DAY = 31
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""The most that each month can have."""
_DAY_DIGITS, _YEAR_DIGITS = 2, 4
_DIGITS = re.compile(r"\d{1,5}")
_DATE_SIGNS = frozenset("./-")
_ISO = re.compile(r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?![\w-])")
_NUMERIC = re.compile(
    r"(?P<first>\d{1,2})(?P<sign>[./-])(?P<second>\d{1,2})(?P=sign)(?P<year>\d{4})(?![\w/-]|\.\d)"
)
_SHORT = re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?!\d)")
_DAY = re.compile(r"(\d{1,2})(?![\w/:%]|[.,-]\d| (?:o'clock|oh|hundred)\b)")
"""None is a time, also as it is said."""
_FOUR_DIGITS = re.compile(r"\d{4}(?!\w)")
_GERMAN_YEAR = re.compile(r"\d{4}(?![\w%/°]|[.,:'’-]\d| [\d%€$°])")
_DECADE = re.compile(r"(1[1-9]|20)([2-9])0s(?!\w)")
_SHORT_DECADE = re.compile(r"([2-9])0s(?!\w)")
_BEFORE_DECADE = frozenset({"the", "early", "mid", "late", "his", "her", "their", "my", "your", "our"})
"""Words behind which `90s` is no time in seconds."""
_MONTH_BEFORE_CHARS = 12
_HUNDREDS_YEARS = range(1100, 2000)
_TEEN_DAYS = (11, 12, 13)


class _Date(NamedTuple):
    day: int
    month: int
    year: int | None


def date_at(text: str, start: int, language: Language) -> Found | None:
    """Return what is to be said for a date or a year that begins at a digit, or None."""
    digits = _DIGITS.match(text, start)
    length = digits.end() - start if digits else 0
    if length > _YEAR_DIGITS:
        return None
    rules = _DAY_RULES if length <= _DAY_DIGITS else _YEAR_RULES
    if text[start + length : start + length + 1] in _DATE_SIGNS:
        rules = (_numeric, *rules)
    for rule in rules:
        if found := rule(text, start, language):
            return found
    return None


def _numeric(text: str, start: int, language: Language) -> Found | None:
    """Return the edit of a date in digits; one that could be two dates is read as the region does."""
    if found := _ISO.match(text, start):
        date = _Date(int(found["day"]), int(found["month"]), int(found["year"]))
    elif found := _NUMERIC.match(text, start):
        numbers = (int(found["first"]), int(found["second"]))
        is_month_first = language.date_order == "mdy" and found["sign"] == "/"
        day, month = numbers[::-1] if is_month_first else numbers
        date = _Date(day, month, int(found["year"]))
    elif (found := _SHORT.match(text, start)) and word_before(text, start) in language.ordinal_endings:
        date = _Date(int(found["day"]), int(found["month"]), None)
    else:
        return None
    if not _is_date(date):
        return None
    end = found.end()
    stop = "." if text[end - 1] == "." and ends_sentence(text, end, language) else ""
    parts = [Part(start, end, _said(date, word_before(text, start), language, has_word=False) + stop)]
    behind = _year_word(text, end, language) if date.year is not None else None
    if behind is not None:
        said = _said(date, word_before(text, start), language, has_word=True)
        parts = [Part(start, end, said), behind]
    return Found(rewritten(text, parts), parts[-1].end_char)


def _is_date(date: _Date) -> bool:
    return 1 <= date.month <= len(_DAYS) and 1 <= date.day <= _DAYS[date.month - 1]


def _said(date: _Date, before: str, language: Language, *, has_word: bool) -> str:
    """Return a date in words; a year's digits stay where they are read right."""
    day, month = _day(date.day, before, language), language.months[date.month - 1]
    said_year = ""
    if date.year is not None:
        said_year = _said_year(date.year, language, "genitive")
        if language.year_forms and not has_word:
            said_year += f" {language.year_forms['genitive']}"
    if language.code == "en":
        is_american = language.date_order == "mdy"
        head = f"{month} {day}" if is_american else f"{day} of {month}"
        return f"{head}, {said_year}" if said_year and is_american else f"{head} {said_year}".rstrip()
    joint = f" {language.date_of} " if language.date_of else " "
    return joint.join(part for part in (day, month, said_year) if part)


def _day(day: int, before: str, language: Language) -> str:
    """Return the day of a month as it is said."""
    if day == 1 and language.first_day:
        return language.first_day
    if language.code == "en":
        suffix = "th" if day in _TEEN_DAYS else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
        return f"{day}{suffix}"
    if language.code == "de":
        return ordinal(day, language) + language.ordinal_endings.get(before, "er")
    return ordinal(day, language, "genitive") if language.year_forms else str(day)


def _said_year(value: int, language: Language, case: str) -> str:
    if language.code == "de" and value in _HUNDREDS_YEARS:
        return _german_year(value, language)
    return year(value, language, case) or str(value)


def _german_year(value: int, language: Language) -> str:
    """Return a year in hundreds, as Germans say it."""
    tens, ones = divmod(value % 100, 10)
    small, names = language.small_numbers, language.tens
    if value % 100 < len(small):
        rest = "" if not value % 100 else "eins" if value % 100 == 1 else small[value % 100]
    else:
        rest = f"{small[ones]}und{names[tens - 2]}" if ones else names[tens - 2]
    return f"{small[value // 100]}hundert{rest}"


@cache
def _year_words(language: Language) -> re.Pattern[str]:
    return re.compile(rf"[ ]?({any_of(language.year_words)})(?!\w)")


def _year_word(text: str, start: int, language: Language, case: str = "genitive") -> Part | None:
    """Return the word for a year behind one, written short or not."""
    if not language.year_words:
        return None
    found = _year_words(language).match(text, start)
    if found is None:
        return None
    stop = "." if found[1].endswith(".") and ends_sentence(text, found.end(), language) else ""
    is_short = found[1].rstrip(".") in {"r", "р"}
    return Part(found.start(1), found.end(), (language.year_forms[case] if is_short else found[1]) + stop)


def _day_and_month(text: str, start: int, language: Language) -> Found | None:
    """Return the edits of a day before its month, as `3. Mai 2024`."""
    found = _days_and_months(language).match(text, start)
    if found is None:
        return None
    date = _Date(int(found["day"]), _month(found["month"], language), None)
    is_marked = found["mark"] is not None
    if not _is_date(date) or (language.code == "de" and not is_marked):
        return None
    day_end = found.end("mark") if is_marked else found.end("day")
    parts = [Part(start, day_end, _day_before_month(date.day, text, start, language))]
    if found["more"]:
        return Found(rewritten(text, parts), day_end)
    parts.append(_month_part(found, date, language))
    end = found.end("month")
    if found["year"]:
        parts += _year_parts(text, found.start("year"), language)
        end = parts[-1].end_char
    return Found(rewritten(text, parts), end)


@cache
def _days_and_months(language: Language) -> re.Pattern[str]:
    joint = rf"(?:{language.date_of} )?" if language.date_of else ""
    return re.compile(
        r"(?P<day>\d{1,2})(?P<mark>\.|er|°|º|st|nd|rd|th)?(?P<more> (?:bis|und|oder) \d{1,2}\.)?"
        rf" {joint}(?P<month>(?i:{any_of(language.month_numbers)})\b\.?)"
        rf"(?P<joint>,? {joint})?(?(joint)(?P<year>\d{{4}})?)(?!\d)"
    )


def _day_before_month(day: int, text: str, start: int, language: Language) -> str:
    said = _day(day, word_before(text, start), language)
    is_the = language.code == "en" and word_before(text, start) != "the"
    return f"the {said} of" if is_the else f"{said} of" if language.code == "en" else said


def _month(written: str, language: Language) -> int:
    return language.month_numbers[written.rstrip(".").lower()]


def _month_part(found: re.Match[str], date: _Date, language: Language) -> Part:
    """Return a month's full name, in the place of a short one too; its stop may be the sentence's."""
    written = found["month"]
    full = language.months[date.month - 1]
    is_full = written.rstrip(".").lower() == full.lower()
    is_last = not found.groupdict().get("year")
    keeps_stop = written.endswith(".") and (
        is_full or (is_last and ends_sentence(found.string, found.end("month"), language))
    )
    said = written.rstrip(".") if is_full else full
    return Part(found.start("month"), found.end("month"), said + ("." if keeps_stop else ""))


def _year_parts(text: str, start: int, language: Language) -> list[Part]:
    """Return a year behind a month, and its word."""
    end = start + 4
    said = _said_year(int(text[start:end]), language, "genitive")
    word = _year_word(text, end, language)
    if word is None and language.year_forms:
        return [Part(start, end, f"{said} {language.year_forms['genitive']}")]
    return [Part(start, end, said), *([word] if word else [])]


@cache
def _month_before(language: Language) -> re.Pattern[str]:
    return re.compile(rf"\b(?i:{any_of(language.month_numbers)})\b\.? \Z")


def _month_and_day(text: str, start: int, language: Language) -> Found | None:
    """Return the edits of a day behind its month, as `May 3`; English alone writes so."""
    if language.code != "en":
        return None
    before = text[max(0, start - _MONTH_BEFORE_CHARS) : start]
    month, day = _month_before(language).search(before), _DAY.match(text, start)
    if (
        month is None
        or day is None
        or not 1 <= int(day[1]) <= _MAX_DAY
        or not before[month.start()].isupper()
    ):
        return None
    return Found(rewritten(text, [Part(start, day.end(), _day(int(day[1]), "", language))]), day.end())


def _year_alone(text: str, start: int, language: Language) -> Found | None:
    rule = _YEARS.get(language.code)
    return rule(text, start, language) if rule else None


def _slavic_year(text: str, start: int, language: Language) -> Found | None:
    """Return the edits of a year with its word, in the case that the word before asks for."""
    found = _FOUR_DIGITS.match(text, start)
    if found is None:
        return None
    is_locative = word_before(text, start) in language.locative
    case = "locative" if is_locative else "genitive"
    word = _year_word(text, found.end(), language, case)
    said = year(int(found[0]), language, case)
    if word is None or not said:
        return None
    return Found(rewritten(text, [Part(start, found.end(), said), word]), word.end_char)


@cache
def _counted(language: Language) -> re.Pattern[str]:
    """Return what finds money or a unit behind a number, written short or in full."""
    nouns = [*language.units.values(), *(currency.major for currency in language.currencies.values())]
    names = {*language.units, *language.currencies, *(form for noun in nouns for form in noun.forms)}
    return re.compile(rf" (?:{any_of(names)})(?!\w)")


def _hundreds_year(text: str, start: int, language: Language) -> Found | None:
    """Return the edit of a number that Germans say in hundreds, if it counts neither money nor a unit."""
    found = _GERMAN_YEAR.match(text, start)
    if found is None or int(found[0]) not in _HUNDREDS_YEARS or _counted(language).match(text, found.end()):
        return None
    return Found(
        rewritten(text, [Part(start, found.end(), _german_year(int(found[0]), language))]), found.end()
    )


def _decade(text: str, start: int, language: Language) -> Found | None:
    """Return the edit of `1980s`."""
    found = _DECADE.match(text, start)
    if found is None:
        return None
    tens = _decade_name(found[2], language)
    century = int(found[1])
    first = cardinal(century, language) if century < len(language.small_numbers) else language.tens[0]
    said = f"{first} {tens}"
    return Found(rewritten(text, [Part(start, found.end(), said)]), found.end())


def _decade_name(tens: str, language: Language) -> str:
    return language.tens[int(tens) - 2].removesuffix("y") + "ies"


def _short_decade(text: str, start: int, language: Language) -> Found | None:
    """Return the edit of `'90s` and `the 90s`."""
    found = _SHORT_DECADE.match(text, start) if language.code == "en" else None
    is_cut = text[start - 1 : start] in {"'", "’"} and not text[start - 2 : start - 1].isalnum()
    if found is None or not (is_cut or word_before(text, start) in _BEFORE_DECADE):
        return None
    begin = start - 1 if is_cut else start
    return Found(rewritten(text, [Part(begin, found.end(), _decade_name(found[1], language))]), found.end())


_YEARS: dict[str, Callable[[str, int, Language], Found | None]] = {
    "de": _hundreds_year,
    "en": _decade,
    "pl": _slavic_year,
    "uk": _slavic_year,
}
_DAY_RULES = (_day_and_month, _month_and_day, _short_decade)
_YEAR_RULES = (_year_alone,)
