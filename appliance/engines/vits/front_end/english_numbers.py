"""English numbers as words, exactly as the models were trained on them.

Owns: cardinals, ordinals, years, amounts of money and times of day for the English cleaners.
Refuses to know: other languages (`spelling`), and when a text needs it (`cleaners`).

The words are those that Coqui's cleaners get from the package inflect: "one thousand, two hundred and first",
commas included. Source: TTS.tts.utils.text.english; inflect 7.6, `number_to_words`.
"""

from __future__ import annotations

import re

from appliance.engines.vits.front_end.traced import TracedText

_NAMES = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen
- - twenty thirty forty fifty sixty seventy eighty ninety
- thousand million billion trillion quadrillion quintillion sextillion septillion octillion nonillion
decillion
"""
_SMALL, _TENS, _GROUPS = _NAMES.split()[:20], _NAMES.split()[20:30], _NAMES.split()[30:]
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_MONEY = {
    "$": ("cent", "cents", "dollar", "dollars"),
    "£": ("penny", "pence", "pound sterling", "pounds sterling"),
    "¥": ("sen", "sen", "yen", "yen"),
}
"""One of the small unit, several, one of the large unit, several."""

_COMMAS = re.compile(r"[0-9][0-9,]+[0-9]")
_AMOUNT = re.compile(r"([£$¥])([0-9,.]*[0-9]+)")
_DECIMAL = re.compile(r"[0-9]+\.[0-9]+")
_ORDINAL = re.compile(r"([0-9]+)(?:st|nd|rd|th)")
_NUMBER = re.compile(r"-?[0-9]+")
_TIME = re.compile(r"\b([01]?[0-9]|2[0-3]):([0-5][0-9])\s*(am|pm)?\b", re.IGNORECASE)

_HUNDRED = 100
_YEAR = re.compile(r"(?!1000)[12][0-9]{3}")
_SECOND_MILLENNIUM_END = 2000
_SPOKEN_AS_THOUSAND = 2010
"""Years before it are "two thousand five", later ones "twenty, fifteen"."""


def say_numbers(text: TracedText) -> TracedText:
    """Return a text whose numbers, ordinals and amounts of money are words."""
    text = text.substitute(_COMMAS, lambda match: match[0].replace(",", ""))
    text = text.substitute(_AMOUNT, lambda match: _amount(match[1], match[2]))
    text = text.substitute(_DECIMAL, lambda match: match[0].replace(".", " point "))
    text = text.substitute(_ORDINAL, lambda match: _ordinal(match[1]))
    return text.substitute(_NUMBER, lambda match: _number(match[0]))


def say_times(text: TracedText) -> TracedText:
    """Return a text whose times of day are words: `3:05` is "three oh five a m"."""
    return text.substitute(_TIME, _time)


def cardinal(digits: str, and_word: str = "and") -> str:
    """Return a number as words.

    Args:
        digits: ASCII digits, any number of them; from 37 on they are said one by one.
        and_word: Stands between hundreds and what follows; may be empty.
    """
    digits = digits.lstrip("0") or "0"
    if digits == "0":
        return _SMALL[0]
    if len(digits) > 3 * len(_GROUPS):
        return ", ".join(_SMALL[int(digit)] for digit in digits)
    groups = [int(digits[max(0, end - 3) : end]) for end in range(len(digits), 0, -3)]
    named = [
        (group, place, _spaced(_below_thousand(group, and_word), _GROUPS[place] if place else ""))
        for place, group in enumerate(groups)
        if group
    ]
    named.reverse()
    last, place, words = named[-1]
    is_tail = len(named) > 1 and place == 0 and last < _HUNDRED
    before = ", ".join(said for _, _, said in (named[:-1] if is_tail else named))
    return _spaced(before, and_word, words) if is_tail else before


def _below_thousand(number: int, and_word: str) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _below_hundred(rest)
    said = f"{_SMALL[hundreds]} hundred"
    return _spaced(said, and_word, _below_hundred(rest)) if rest else said


def _below_hundred(number: int) -> str:
    if number < len(_SMALL):
        return _SMALL[number]
    tens, ones = divmod(number, 10)
    return f"{_TENS[tens]}-{_SMALL[ones]}" if ones else _TENS[tens]


def _spaced(*words: str) -> str:
    return " ".join(word for word in words if word)


def _ordinal(digits: str) -> str:
    """Return the ordinal of a number; only its last word changes."""
    said = cardinal(digits)
    start = max(said.rfind(" "), said.rfind("-")) + 1
    last = said[start:]
    changed = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return said[:start] + changed


def _number(written: str) -> str:
    """Return a whole number as words; from 1001 to 2999 as a year."""
    sign, digits = ("minus ", written[1:]) if written.startswith("-") else ("", written)
    digits = digits.lstrip("0") or "0"
    if digits == "0":
        sign = ""
    if not sign and _YEAR.fullmatch(digits):
        return _year(int(digits))
    said = cardinal(digits, "")
    return sign + (said.replace(", ", " ") if len(digits) > 3 * len(_GROUPS) else said)


def _year(number: int) -> str:
    if number == _SECOND_MILLENNIUM_END:
        return "two thousand"
    if _SECOND_MILLENNIUM_END < number < _SPOKEN_AS_THOUSAND:
        return f"two thousand {_SMALL[number % 100]}"
    hundreds, rest = divmod(number, 100)
    if not rest:
        return f"{_below_hundred(hundreds)} hundred"
    oh = "oh " if rest in range(10) else ""
    return f"{_below_hundred(hundreds)} {oh}{_below_hundred(rest)}"


def _amount(sign: str, written: str) -> str:
    """Return an amount with its unit; its numbers stay digits, and are said later."""
    one_small, small, one_large, large = _MONEY[sign]
    parts = written.replace(",", "").split(".")
    if len(parts) > 2:  # noqa: PLR2004 (more than one decimal point)
        return f"{written} {large}"
    whole, fraction = parts[0].lstrip("0"), (parts[1].lstrip("0") if len(parts) > 1 else "")
    said = []
    if whole:
        said.append(f"{whole} {one_large if whole == '1' else large}")
    if fraction:
        units = {"1": one_small, "100": one_large, "200": large}  # the models heard "$1.100" so
        said.append(f"{fraction} {units.get(fraction, small)}")
    return " ".join(said) or f"zero {large}"


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    said = [cardinal(str((hour + 11) % 12 + 1))]
    if minute:
        said += ["oh"] if minute in range(10) else []
        said.append(cardinal(str(minute)))
    if match[3]:
        said += list(match[3])
    else:
        said.append("p m" if hour >= 12 else "a m")  # noqa: PLR2004 (noon)
    return " ".join(said)
