"""Times of day.

Owns: how each language writes and says them.
Refuses to know: durations (`amounts`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from appliance.text.spoken.language import Language, Noun
from appliance.text.spoken.numbers import Number, cardinal, form_of, inflected, ordinal, say_number
from appliance.text.spoken.place import Found, Part, ends_sentence, rewritten, word_before

_MAX_HOUR, _MAX_MINUTE = 24, 59
_CLOCK = re.compile(r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?![\w:]|[.,]\d)")
_DOTTED = re.compile(r"(?P<hour>\d{1,2})\.(?P<minute>\d\d)(?![\w:]|[.,]\d)")
_UHR = re.compile(r" Uhr\b")
_FRENCH = re.compile(r"(?P<hour>\d{1,2})(?:(?P<space> ?)h ?|:)(?P<minute>\d\d)?(?![\w:]|[.,/]\d)")
_AMERICAN = re.compile(
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?(?P<space> ?)(?P<half>[ap])(?:\.m\.|m\b)(?!\w)", re.IGNORECASE
)
_HOUR = re.compile(r"\d{1,2}(?!\w|[.,:]\d)")
_RANGE = re.compile(r" ?[–—-] ?(?=\d)")
_ITALIAN_BEFORE = frozenset({"alle", "ore", "dalle", "le"})
_DECIMAL = 10


def time_at(text: str, start: int, language: Language) -> Found | None:
    """Return what is to be said for a time that begins at a digit, or None."""
    return _RULES[language.code](text, start, language)


def _clock(text: str, start: int, *patterns: re.Pattern[str]) -> tuple[int, int, int] | None:
    """Return hour, minute and end of a time."""
    for pattern in patterns:
        if found := pattern.match(text, start):
            hour, minute = int(found["hour"]), int(found["minute"] or 0)
            return (hour, minute, found.end()) if hour <= _MAX_HOUR and minute <= _MAX_MINUTE else None
    return None


def _english(text: str, start: int, language: Language) -> Found | None:
    half_day = _american(text, start, language)
    if half_day is not None:
        return half_day
    clock = _clock(text, start, _CLOCK)
    if clock is None:
        return None
    hour, minute, end = clock
    if not minute and hour % _MAX_HOUR == 0:
        said = "midnight"
    elif not minute and hour <= _MAX_HOUR // 2:
        said = f"{hour} o'clock"
    elif minute < _DECIMAL:
        said = f"{hour} oh {minute}" if minute else f"{hour} hundred hours"
    else:
        said = text[start:end]
    return Found(rewritten(text, [Part(start, end, said)]), end)


def _american(text: str, start: int, language: Language) -> Found | None:
    """Return the edits of `10:30 a.m.`, and of a range of two such times."""
    found = _AMERICAN.match(text, start)
    if found is None or int(found["hour"]) > _MAX_HOUR // 2:
        return None
    minute = found["minute"] or "00"
    clock = found["hour"] if minute == "00" else f"{found['hour']}:{minute}"
    half = found["half"].upper() + "M"
    end = found.end()
    stop = "." if text[end - 1] == "." and ends_sentence(text, end, language) else ""
    half_start = found.start("half")
    parts = [Part(start, found.start("space"), clock), Part(half_start, end, half + stop)]
    dash = _RANGE.match(text, end)
    if dash is not None and _AMERICAN.match(text, dash.end()):
        sign = dash.start() + len(dash[0]) - len(dash[0].lstrip())
        parts.append(Part(sign, sign + 1, language.range + ("" if dash[0].endswith(" ") else " ")))
        return Found(rewritten(text, parts), dash.end())
    return Found(rewritten(text, parts), end)


def _german(text: str, start: int, _language: Language) -> Found | None:
    clock = _clock(text, start, _CLOCK)
    dotted = _clock(text, start, _DOTTED)
    if clock is None and dotted is not None and _UHR.match(text, dotted[2]):
        clock = dotted
    if clock is None:
        return None
    hour, minute, end = clock
    said_hour = "ein" if hour == 1 else str(hour)
    uhr = _UHR.match(text, end)
    parts = [Part(start, end, said_hour if uhr else f"{said_hour} Uhr" + (f" {minute}" if minute else ""))]
    if uhr is not None and minute:
        parts.append(Part(uhr.start() + 1, uhr.end(), f"Uhr {minute}"))
    end = uhr.end() if uhr else end
    return Found(rewritten(text, parts), end)


def _french(text: str, start: int, language: Language) -> Found | None:
    clock = _clock(text, start, _FRENCH)
    if clock is None:
        return None
    hour, minute, end = clock
    number = Number(start, end, str(hour), "")
    hours = form_of(Noun("f", ("heure", "heures")), number, language)
    minutes = f" {say_number(Number(0, 0, str(minute), ''), language, 'f')}" if minute else ""
    return Found(
        rewritten(text, [Part(start, end, f"{say_number(number, language, 'f')} {hours}{minutes}")]), end
    )


def _spanish(text: str, start: int, language: Language) -> Found | None:
    clock = _clock(text, start, _CLOCK)
    if clock is None:
        return None
    hour, minute, end = clock
    said = say_number(Number(0, 0, str(hour), ""), language, "f")
    said += f" y {minute}" if minute else ""
    return Found(rewritten(text, [Part(start, end, said)]), end)


def _italian(text: str, start: int, language: Language) -> Found | None:
    is_announced = word_before(text, start) in _ITALIAN_BEFORE
    clock = _clock(text, start, *((_CLOCK, _DOTTED) if is_announced else (_CLOCK,)))
    if clock is None:
        return None
    hour, minute, end = clock
    said = say_number(Number(0, 0, str(hour), ""), language, "f") + (f" e {minute}" if minute else "")
    return Found(rewritten(text, [Part(start, end, said)]), end)


def _slavic(text: str, start: int, language: Language) -> Found | None:
    """Return the edit of a time whose hour is an ordinal, in the case that the word before asks for."""
    clock = _clock(text, start, _CLOCK)
    found = _HOUR.match(text, start)
    before = word_before(text, start) if clock or found else ""
    if clock is None and found is not None and before in language.hour_words:
        clock = int(found[0]), 0, found.end()
    if clock is None or clock[0] > _MAX_HOUR:
        return None
    if f"{before}." in language.before_number:
        return None  # said in full first, in a case that the hour agrees with
    hour, minute, end = clock
    case = "feminine"
    if before in language.locative or before in language.hour_words:
        case = "feminine_locative"
    elif before in language.time_genitive:
        case = "feminine_genitive" if "feminine_genitive" in language.endings_of else "feminine_locative"
    said = ordinal(hour, language, case) if hour else inflected(language.midnight, language, case)
    if minute:
        zero = f"{language.small_numbers[0]} " if minute < _DECIMAL else ""
        said += f" {zero}{cardinal(minute, language)}"
    return Found(rewritten(text, [Part(start, end, said)]), end)


_RULES: dict[str, Callable[[str, int, Language], Found | None]] = {
    "de": _german,
    "en": _english,
    "es": _spanish,
    "fr": _french,
    "it": _italian,
    "pl": _slavic,
    "uk": _slavic,
}
