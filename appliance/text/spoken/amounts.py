"""Numbers with what they count: units, money, per cent, a range of them, and plain ones.

Owns: how an amount is written and in which order it is said.
Refuses to know: the words (`language`), dates and times.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from appliance.text.offsets import Edit
from appliance.text.spoken.language import Currency, Language, Noun
from appliance.text.spoken.numbers import Number, form_of, number_at, say_number
from appliance.text.spoken.place import Found, Part, any_of, ends_sentence, rewritten, word_before

_BEHIND = r"(?![\w²³°/’'·]|[-.]\w)"
"""What may not follow a unit's symbol: it is another one then."""
_RANGE = re.compile(r" ?[–—-] ?(?=\d)")
_MINUS = frozenset("-−")
_BEFORE_MINUS = frozenset(' \n(„“"«')
_NO_CENTS = re.compile(r",[-–—]{1,2}")
_LONGEST_SYMBOL_CHARS = 4
_CENTS_DIGITS = 2
_MONEY_SIGNS = "$€£¥₴"
_MILLION, _FIVE = Number(0, 0, "1000000", ""), Number(0, 0, "5", "")
"""Numbers behind which a noun stands in its form for many."""
_APART = re.compile(r"(?![\w%/]|[.,:-]\w)")
"""Where nothing goes on behind a number."""
_DASH = re.compile("[–—-]")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")


class _Magnitude(NamedTuple):
    """A million behind a number."""

    start_char: int
    end_char: int
    noun: Noun
    said: str


class _Counted(NamedTuple):
    """What stands behind a number; a unit or money, or neither behind a million."""

    magnitude: _Magnitude | None
    noun: Noun | None
    currency: Currency | None
    place: tuple[int, int]
    """Where unit or money stand."""


def amount_at(text: str, start: int, language: Language) -> Found | None:
    """Return what is to be said for an amount whose number begins at a digit, or None.

    Args:
        text: The whole text.
        start: Where the digit stands.
        language: Whose words.
    """
    number = number_at(text, start, language)
    if number is None:
        return None
    before = _currency_before(text, start, language)
    if before is not None:
        return _money_behind_sign(text, before, number, language)
    last = _range_end(text, number, language)
    counted = _counted(text, last or number, language)
    if counted is not None:
        return _with_unit(text, number, last, counted, language)
    if last is not None:
        return _bare_range(text, number, last, language)
    return _bare(text, number, language)


def _currency_before(text: str, start: int, language: Language) -> tuple[int, Currency] | None:
    """Return where a sign of money stands before a number, and which."""
    last = text[start - 2 : start - 1] if text[start - 1 : start] == " " else text[start - 1 : start]
    if last not in _money_ends(language):
        return None
    found = _money_before(language).search(text[max(0, start - _LONGEST_SYMBOL_CHARS - 1) : start])
    if found is None:
        return None
    at = start - len(found[0])
    if at and _LETTER_OR_DIGIT.match(text[at - 1]):
        return None
    return at, language.currencies[found[1]]


@cache
def _money_before(language: Language) -> re.Pattern[str]:
    """Return what finds money before a number, whose names aren't in small letters then."""
    names = [name for name in language.currencies if not name.rstrip(".").islower() and name != "¢"]
    return re.compile(rf"({any_of(names)})[ ]?\Z")


def _money_behind_sign(
    text: str, before: tuple[int, Currency], number: Number, language: Language
) -> Found | None:
    """Return the edits of money whose sign stands before the number, but is said behind it."""
    at, currency = before
    magnitude = _magnitude(text, number, language, has_currency=True)
    if magnitude is not None:
        said = [say_number(number, language, magnitude.noun.gender)]
        said.append(f"{magnitude.said} {_many(currency.major, language)}")
        parts = [Part(at, number.end_char, said[0]), Part(magnitude.start_char, magnitude.end_char, said[1])]
    elif not _APART.match(text, number.end_char):
        return None
    elif text[number.start_char - 1] == " ":
        first, second = _money(number, currency, language)
        parts = [Part(at, number.start_char - 1, first), Part(number.start_char, number.end_char, second)]
    else:
        parts = [Part(at, number.end_char, " ".join(_money(number, currency, language)))]
    return Found(rewritten(text, parts), parts[-1].end_char)


def _many(noun: Noun, language: Language) -> str:
    """Return money as it stands behind a million."""
    form = form_of(noun, _MILLION, language)
    if language.of == "de" and language.code == "fr" and form[0] in "aeiouéh":
        return f"d'{form}"
    return f"{language.of} {form}" if language.of else form


def _money(number: Number, currency: Currency, language: Language) -> tuple[str, str]:
    """Return an amount of money in two halves that follow each other."""
    major, minor = currency
    cents = number.fraction
    if not cents.strip("0"):
        number = number._replace(fraction="")
        cents = ""
    if not cents or minor is None or len(cents) != _CENTS_DIGITS:
        return say_number(number, language, major.gender), form_of(major, number, language)
    whole = number._replace(fraction="")
    change = Number(0, 0, cents.lstrip("0"), "")
    if not whole.value:
        return say_number(change, language, minor.gender), form_of(minor, change, language)
    first = f"{say_number(whole, language, major.gender)} {form_of(major, whole, language)}"
    second = f"{say_number(change, language, minor.gender)} {form_of(minor, change, language)}"
    return first, f"{language.money_and} {second}".lstrip()


def _range_end(text: str, number: Number, language: Language) -> Number | None:
    """Return the upper end of a range, or None."""
    found = _RANGE.match(text, number.end_char)
    last = number_at(text, found.end(), language) if found else None
    if last is None or number.is_code or last.is_code:
        return None
    is_rising = (last.value, last.fraction) > (number.value, number.fraction)
    return last if is_rising else None


def _counted(text: str, number: Number, language: Language) -> _Counted | None:
    """Return the unit, the money or the million behind a number, or None."""
    magnitude = _magnitude(text, number, language, has_currency=False)
    at = magnitude.end_char if magnitude else number.end_char
    dashes = _NO_CENTS.match(text, at)
    found = _symbols(language).match(text, dashes.end() if dashes else at)
    if found is None:
        is_word = magnitude is not None and not text.startswith(".", at)
        return _Counted(magnitude, None, None, (at, at)) if is_word else None
    symbol = found["symbol"]
    currency = language.currencies.get(symbol)
    if dashes and currency is None:
        return None
    place = dashes.start() if dashes else found.start("symbol"), found.end("symbol")
    return _Counted(magnitude, language.units.get(symbol), currency, place)


@cache
def _money_ends(language: Language) -> frozenset[str]:
    """Return the last characters of all names of money."""
    return frozenset(name[-1] for name in language.currencies)


@cache
def _symbols(language: Language) -> re.Pattern[str]:
    return re.compile(rf"[ ]?(?P<symbol>{any_of({*language.units, *language.currencies})}){_BEHIND}")


@cache
def _magnitudes(language: Language) -> re.Pattern[str]:
    return re.compile(rf"[ ]?({any_of(language.magnitudes)})(?![^\W_]|[²³/’'-])")


def _magnitude(text: str, number: Number, language: Language, *, has_currency: bool) -> _Magnitude | None:
    """Return the million behind a number; one letter means one only beside money, as in `3 M€`."""
    found = _magnitudes(language).match(text, number.end_char)
    if found is None:
        return None
    is_letter = len(found[1]) == 1
    if is_letter and not (has_currency or text[found.end() : found.end() + 1] in _MONEY_SIGNS):
        return None
    noun = language.magnitudes[found[1]]
    said = found[1] if found[1] in noun.forms else form_of(noun, number, language)
    return _Magnitude(found.start(1), found.end(), noun, said)


def _with_unit(
    text: str, number: Number, last: Number | None, counted: _Counted, language: Language
) -> Found | None:
    """Return the edits of an amount with what it counts."""
    is_genitive = word_before(text, number.start_char) in language.genitive_words
    top = last or number
    gender, said = _said(top, counted, language, is_genitive=is_genitive)
    places = [(top.start_char, top.end_char)]
    if counted.magnitude is not None:
        places.append((counted.magnitude.start_char, counted.magnitude.end_char))
    if counted.noun or counted.currency:
        places.append(counted.place)
    end = places[-1][1]
    said[-1] += "." if text[end - 1] == "." and ends_sentence(text, end, language) else ""
    edits = rewritten(text, [Part(*place, words) for place, words in zip(places, said, strict=True)])
    if last is not None:
        low = say_number(number, language, gender, is_genitive=is_genitive)
        edits = _joined(text, number, last, low, language) + edits
    return Found(_minus(text, number, language) + edits, end)


def _said(
    number: Number, counted: _Counted, language: Language, *, is_genitive: bool
) -> tuple[str, list[str]]:
    """Return what agrees with the number, and the words for it and for each thing behind it."""
    magnitude, noun, currency, _ = counted
    if magnitude is not None:
        counted_noun = currency.major if currency else noun
        words = [say_number(number, language, magnitude.noun.gender), magnitude.said]
        return magnitude.noun.gender, words + ([_many(counted_noun, language)] if counted_noun else [])
    if currency is not None:
        return currency.major.gender, list(_money(number, currency, language))
    assert noun is not None
    is_many = is_genitive and number.value > 1 and not number.fraction
    unit = form_of(noun, _FIVE if is_many else number, language)
    return noun.gender, [say_number(number, language, noun.gender, is_genitive=is_genitive), unit]


def _minus(text: str, number: Number, language: Language) -> list[Edit]:
    at = number.start_char
    if text[at - 1 : at] not in _MINUS or (at > 1 and text[at - 2] not in _BEFORE_MINUS):
        return []
    return [Edit(at - 1, at, f"{language.minus} ")]


def _joined(text: str, number: Number, last: Number, low: str, language: Language) -> list[Edit]:
    """Return the edits of a range's lower end and of what stands between the two."""
    edits = rewritten(text, [Part(number.start_char, number.end_char, low)])
    dash = _DASH.search(text, number.end_char)
    assert dash is not None
    lead = " " if dash.start() == number.end_char else ""
    trail = " " if dash.end() == last.start_char else ""
    return [*edits, Edit(dash.start(), dash.end(), f"{lead}{language.range}{trail}")]


def _bare_range(text: str, number: Number, last: Number, language: Language) -> Found | None:
    """Return the edits of a range without a unit: only a dash, not a hyphen, makes one."""
    is_dash = any(dash in text[number.end_char : last.start_char] for dash in "–—")
    if not is_dash or not _APART.match(text, last.end_char):
        return _bare(text, number, language)
    edits = _joined(text, number, last, _plain(text, number, language), language)
    edits += rewritten(text, [Part(last.start_char, last.end_char, _plain(text, last, language))])
    return Found(edits, last.end_char)


def _plain(text: str, number: Number, language: Language) -> str:
    written = text[number.start_char : number.end_char]
    is_code = number.is_code and not number.fraction
    return written if is_code else say_number(number, language)


def _bare(text: str, number: Number, language: Language) -> Found | None:
    """Return the edits of a number that counts nothing: groups are joined, a true minus sign is said."""
    if not _APART.match(text, number.end_char) or _is_in_series(text, number):
        return None
    edits = rewritten(text, [Part(number.start_char, number.end_char, _plain(text, number, language))])
    is_signed = text[number.start_char - 1 : number.start_char] == "−" or edits
    return Found((_minus(text, number, language) if is_signed else []) + edits, number.end_char)


def _is_in_series(text: str, number: Number) -> bool:
    """Return whether other digits stand beside a number, as in that of a telephone."""
    start, end = number.start_char, number.end_char
    is_behind = text[start - 1 : start] == " " and text[start - 2 : start - 1].isdigit()
    return is_behind or (text[end : end + 1] == " " and text[end + 1 : end + 2].isdigit())
