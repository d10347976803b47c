"""Signs that have a name, and addresses.

Owns: where a sign is read by its name.
Refuses to know: the names (`language`), signs beside numbers that are units (`amounts`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from appliance.text.offsets import Edit
from appliance.text.spoken.language import Language
from appliance.text.spoken.place import any_of

_ADDRESS = re.compile(
    r"\b(?:[A-Za-z0-9][\w.+-]{0,63}@)?(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}"
    r"([A-Za-z]{2,18})\b(?![@-])"
)
_MAX_ADDRESS_CHARS = 200
_INNER_STOP = re.compile(r"\.(?=[A-Za-z0-9-]{2})(?<=[A-Za-z0-9]\.)")
_ADDRESS_SIGNS = re.compile("[.@]")
_ENDS = """
com org net edu gov mil int info biz io ai app dev eu de at ch fr be lu nl es pt it uk ie us ca au nz pl cz sk
ua ru jp cn in br mx ar se no dk fi is ee lv lt hu ro bg gr hr si rs tr il kr tv me co local lan arpa
"""
_TOP_DOMAINS = frozenset(_ENDS.split())
_BEFORE_NUMBER = ("§", "№", "#", "n°", "N°", "n.º", "N.º", "n.°")
_BETWEEN_SPACES = "&+=×÷"


def sign_edits(text: str, language: Language) -> Iterator[Edit]:
    """Yield the edits of signs, ascending: between words or numbers, and before a number."""
    for found in _signs(language).finditer(text):
        if found["between"]:
            yield Edit(*found.span("between"), language.signs[found["between"]])
        else:
            trail = "" if found["space"] else " "
            yield Edit(*found.span("before"), language.signs[found["before"]] + trail)


@cache
def _signs(language: Language) -> re.Pattern[str]:
    before = any_of(sign for sign in language.signs if sign.startswith(_BEFORE_NUMBER))
    between = any_of(sign for sign in language.signs if sign in _BETWEEN_SPACES)
    return re.compile(
        rf"(?P<between>{between})(?<=[\w)\"”»] .)(?= [\w(\"“„«−-])"
        rf"|(?P<before>{before})(?<!\w[#§№])(?P<space> ?)(?=\d)"
    )


def address_edits(text: str, language: Language) -> Iterator[Edit]:
    """Yield the edits of the stops and the `@` in hosts and mail addresses."""
    end = 0
    for sign in _INNER_STOP.finditer(text):
        if sign.start() < end:
            continue
        begin = max(end, text.rfind(" ", max(0, sign.start() - _MAX_ADDRESS_CHARS), sign.start()) + 1)
        found = _ADDRESS.search(text, begin, sign.start() + _MAX_ADDRESS_CHARS)
        if found is None or found.end() <= sign.start():
            continue
        end = found.end()
        is_host = found[1] in _TOP_DOMAINS or found[0].isupper()
        if is_host or "@" in found[0]:
            for each in _ADDRESS_SIGNS.finditer(text, *found.span()):
                yield Edit(each.start(), each.end(), f" {language.at if each[0] == '@' else language.dot} ")
