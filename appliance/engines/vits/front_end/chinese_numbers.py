"""Chinese numbers as characters, for the cleaner of Mandarin voices.

Owns: whole numbers in simplified characters.
Refuses to know: decimals, signs, and when a text needs it.

Source: TTS.tts.utils.text.chinese_mandarin.numbers, of which the results are kept, a doubled zero included.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from appliance.engines.vits.front_end.traced import TracedText

_DIGITS = "零一二三四五六七八九"
_INSIDE = ("", "十", "百", "千")
_GROUPS: tuple[str, ...] = ("", *"万亿兆京垓秭穰沟涧正载")
_NUMBER = re.compile(r"[0-9]+")


def say_numbers(text: TracedText) -> TracedText:
    """Return a text whose whole numbers are Chinese characters."""
    return text.substitute(_NUMBER, lambda match: cardinal(str(match[0])))


def cardinal(digits: str) -> str:
    """Return a number as characters; from 49 digits on they are said one by one."""
    digits = digits.lstrip("0")
    if not digits:
        return _DIGITS[0]
    if len(digits) > 4 * len(_GROUPS):
        return "".join(_DIGITS[int(digit)] for digit in digits)
    groups = [digits[max(0, end - 4) : end].zfill(4) for end in range(len(digits), 0, -4)]
    said = [_group(group, place) for place, group in enumerate(groups)]
    return _backwards(said).strip("零")


def _group(group: str, place: int) -> str:
    """Return four digits with the name of their group; a zero stands for every group of zeros."""
    if group == "0000":
        return _DIGITS[0]
    if group == "0002" and place:
        return _DIGITS[2] + _GROUPS[place]
    said: list[str] = []
    for position, digit in enumerate(reversed(group)):
        if digit == "0":
            said += [_DIGITS[0]] if said else []
        elif position == 1 and digit == "1" and group[1] == "0":
            said.append(_INSIDE[1])
        else:
            said.append(_DIGITS[int(digit)] + _INSIDE[position])
    return _backwards(said) + _GROUPS[place]


def _backwards(parts: Iterable[str]) -> str:
    """Join the parts from the last to the first; equal neighbours count once."""
    ordered = reversed(list(parts))
    return "".join(part for part, _ in itertools.groupby(ordered))
