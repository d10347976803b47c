"""Times, decimals and units in Italian texts.

Owns: what the Italian cleaner turns into words.
Refuses to know: whole numbers, which stay digits, and when a text needs it (`cleaners`).

Source: TTS.tts.utils.text.italian, time_norm and number_norm.
"""

from __future__ import annotations

import re
from functools import partial

from appliance.engines.vits.front_end.traced import TracedText

_NAMES = """
zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici
diciassette diciotto diciannove
- - venti trenta quaranta cinquanta
"""
_SMALL, _TENS = _NAMES.split()[:20], _NAMES.split()[20:]

_TIME = re.compile(r"\b([01]?\d|2[0-3])[:.]([0-5]\d)\b")
_THOUSANDS = re.compile(r"\b\d{1,3}(?:\.\d{3})+\b")
_AMOUNT = r"(\d+(?:[.,]\d+)?)"
_UNITS = (
    (re.compile(r"(\d)\s*%"), " percento"),
    (re.compile(rf"€\s*{_AMOUNT}"), " euro"),
    (re.compile(rf"{_AMOUNT}\s*€"), " euro"),
    (re.compile(rf"{_AMOUNT}\s*°C\b", re.IGNORECASE), " gradi celsius"),
    (re.compile(rf"{_AMOUNT}\s*°\b"), " gradi"),
)
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
_DECIMAL_POINT = re.compile(r"(?<=\d)\.(?=\d)")


def say_times(text: TracedText) -> TracedText:
    """Return a text whose times of day are said: `14:30` is "14 e trenta", `14:00` is "14"."""
    return text.substitute(_TIME, _time)


def say_decimals(text: TracedText) -> TracedText:
    """Return a text whose decimal signs and units are words."""
    text = text.substitute(_THOUSANDS, lambda match: match[0].replace(".", ""))
    for pattern, unit in _UNITS:
        text = text.substitute(pattern, partial(_amount, unit))
    return text.substitute(_DECIMAL_COMMA, " virgola ").substitute(_DECIMAL_POINT, " virgola ")


def _amount(unit: str, match: re.Match[str]) -> str:
    return f"{match[1]}{unit}"


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if not minute:
        return str(hour)
    tens, ones = divmod(minute, 10)
    if minute < len(_SMALL):
        said = _SMALL[minute]
    else:
        said = f"{_TENS[tens]} {_SMALL[ones]}" if ones else _TENS[tens]
    return f"{hour} e {said}"
