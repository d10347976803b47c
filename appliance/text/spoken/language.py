"""What there is to know of a language, read from its file.

Owns: the files of `appliance/text/languages` and what their keys mean: the fields of `Language`. Names with a
space between them stand for the same, `|` parts a noun's forms in the order of `PLURALS`.
Refuses to know: texts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from importlib import resources
from typing import Any, NamedTuple

FRACTION = 3
"""Which form of a Slavic noun stands behind a decimal."""
_PREFIXED = """
km cm mm dm µm µs µl nm kg hg mg µg ml cl dl hl kW MW GW kWh MWh GWh mV kV mAh kHz MHz GHz kB MB GB TB ko Mo
Go To hPa kPa MPa ms kJ MJ kcal
км см мм дм кг мг мл кВт МВт ГВт кГц МГц ГГц КБ МБ ГБ ТБ гПа кПа МПа кДж ккал кВ мс
"""
"""Units with a prefix that are in use; another one is more likely a name."""
_UPPER_KILO, _KILO = "Кк"
_MICRO, _MU = "\u00b5\u03bc"
"""The sign of a millionth, and the Greek letter that many keyboards give for it."""


Abbreviations = Mapping[str, str]
"""What stands for an abbreviation; a space may stand behind each of its stops but the last."""


class Noun(NamedTuple):
    """A noun that is counted."""

    gender: str
    """`m`, `f`, `n`, or empty where numbers don't care."""
    forms: tuple[str, ...]


class Currency(NamedTuple):
    """What money is called."""

    major: Noun
    minor: Noun | None
    """A hundredth."""


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """A language's words and habits; there is one of each, so that patterns are kept by it."""

    code: str
    decimal: str
    """What stands before a number's fraction."""
    thousands: str
    """Characters that may part groups of three digits, beside a space."""
    plural: str
    """Name in `PLURALS`."""
    minus: str
    range: str
    """Word between the two ends of a range."""
    point: str
    """Word for `decimal`."""
    dot: str
    """Word for the full stop in an address."""
    at: str
    months: tuple[str, ...]
    """As they stand behind a day."""
    month_numbers: Mapping[str, int]
    """All ways a month is written, in lower case, without a stop."""
    date_order: str
    """`dmy` or `mdy`, for dates of numbers alone."""
    money_and: str
    """What stands between euros and cents."""
    of: str
    """What stands between a million and what it counts."""
    date_of: str
    """What stands between a date's parts."""
    first_day: str
    """What the first of a month is called, where it is no number."""
    units: Mapping[str, Noun]
    currencies: Mapping[str, Currency]
    magnitudes: Mapping[str, Noun]
    signs: Mapping[str, str]
    fractions: Mapping[str, str]
    exact: Mapping[str, Mapping[int, str]]
    """Gender or case → numbers that agree with it, in words."""
    agree: Mapping[str, Mapping[str, str]]
    """Gender → what a number's last word becomes."""
    endings_of: Mapping[str, Mapping[str, str]]
    """Case of an ordinal → endings and what they become; the first that fits counts."""
    ordinal_endings: Mapping[str, str]
    """Word before an ordinal → what is put behind its stem."""
    ordinal_cases: Mapping[str, str]
    """Letters behind a number's hyphen → case."""
    small_numbers: tuple[str, ...]
    """0 to 19."""
    tens: tuple[str, ...]
    """20 to 90."""
    hundreds: tuple[str, ...]
    """100 to 900."""
    scales: tuple[Noun, ...]
    """Thousand, million, milliard."""
    ordinals: tuple[str, ...]
    """From the first on."""
    ordinal_tens: tuple[str, ...]
    """20th to 90th."""
    has_ordinal_pairs: bool
    """Whether both words of the 21st are ordinals."""
    ordinal_suffixes: tuple[str, ...]
    thousand_years: tuple[str, ...]
    """1000 and 2000, before hundreds or an ordinal."""
    century_years: Mapping[int, str]
    """Ordinals of years that end a century."""
    year_words: frozenset[str]
    year_forms: Mapping[str, str]
    """Case → the word for a year."""
    century_words: frozenset[str]
    century_forms: Mapping[str, str]
    midnight: str
    """Ordinal of the hour 0."""
    locative: frozenset[str]
    """Words before a locative."""
    genitive_words: frozenset[str]
    """Words before a genitive."""
    time_genitive: frozenset[str]
    """Words before the genitive of a time of day."""
    hour_words: frozenset[str]
    """The word for an hour, behind which a number is a time of day."""
    roman_plain: frozenset[str]
    """Words behind which a Roman number is a cardinal, in lower case."""
    roman_ordinals: frozenset[str]
    """What stands behind a Roman number that is an ordinal."""
    short: Abbreviations
    closing: Abbreviations
    """Abbreviations that may end a sentence."""
    before_name: Abbreviations
    behind_name: Abbreviations
    before_number: Abbreviations
    before_hyphen: Abbreviations
    behind_locative: Abbreviations
    """Abbreviations behind a word of `locative`."""
    endings: Mapping[str, str]
    """Abbreviations at a word's end."""
    has_noun_capitals: bool
    """Whether a capital letter says little of a sentence's beginning."""
    has_spelled_numbers: bool
    """Whether engines go wrong about plain numbers, too, so that all are words."""


def find_language(tag: str) -> Language | None:
    """Return a voice's language, or None where nothing is known of it.

    Args:
        tag: BCP 47, as `de` or `en-gb`.
    """
    return _found(tag.lower())


@lru_cache(maxsize=256)
def _found(tag: str) -> Language | None:
    primary = tag.partition("-")[0]
    if primary not in _FILES:
        return None
    is_british = primary == "en" and tag not in {"en", "en-us"} and not tag.startswith("en-us-")
    return _language(primary, is_british=is_british)


@cache
def _language(code: str, *, is_british: bool) -> Language:
    values = {"code": code, "money_and": _FILES[code]["and"]} | _FILES[code]
    if is_british:
        values["date_order"] = "dmy"
    values["month_numbers"] = _months(values)
    values["units"] = _units(values["units"], values["prefixes"])
    wanted = fields(Language)
    return Language(**{each.name: _READERS[str(each.type)](values.get(each.name)) for each in wanted})


def _words(text: str | None) -> tuple[str, ...]:
    """Return a list's words or a key's names; `_` is a space inside of one."""
    return tuple(word.replace("_", " ") for word in (text or "").split())


def _spread(table: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a table with a line for each name."""
    return {name: text for names, text in (table or {}).items() for name in _words(names)}


def _abbreviations(table: Mapping[str, str] | None) -> dict[str, str]:
    """Return a table that holds abbreviations as at a sentence's beginning, too."""
    spread = _spread(table)
    return {name[0].upper() + name[1:]: text[0].upper() + text[1:] for name, text in spread.items()} | spread


def _noun(text: str) -> Noun:
    gender, colon, forms = text.strip().rpartition(":")
    return Noun(gender if colon else "", tuple(forms.split("|")))


def _nouns(table: Mapping[str, str]) -> dict[str, Noun]:
    return {name: _noun(text) for name, text in _spread(table).items()}


def _currency(text: str) -> Currency:
    major, _, minor = text.partition(";")
    return Currency(_noun(major), _noun(minor) if minor else None)


def _units(table: Mapping[str, str], prefixes: Mapping[str, str]) -> dict[str, str]:
    """Return the units by symbol, those with a prefix too; `~` marks what is none without one."""
    named = _spread(table)
    bare = {name.lstrip("~"): text for name, text in named.items()}
    units = {}
    for symbol in _PREFIXED.split():
        prefix, base = symbol[0].replace(_UPPER_KILO, _KILO), symbol[1:]
        if base in bare and prefix in prefixes:
            noun = _noun(bare[base])
            forms = "|".join(prefixes[prefix] + form[0].lower() + form[1:] for form in noun.forms)
            units[symbol] = f"{noun.gender}:{forms}"
    units |= {symbol.replace(_MICRO, _MU): noun for symbol, noun in units.items() if _MICRO in symbol}
    return units | {name: text for name, text in named.items() if not name.startswith("~")}


def _months(values: Mapping[str, Any]) -> dict[str, int]:
    names = [*enumerate(values["months"].split(), 1), *enumerate(values["month_shorts"].split(), 1)]
    return {name.lower(): number for number, name in names if name != "-"}


def _by_number(table: Mapping[str, str] | None) -> dict[int, str]:
    return {int(number): word for number, word in (table or {}).items()}


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "Abbreviations": _abbreviations,
    "Mapping[int, str]": _by_number,
    "Mapping[str, Currency]": lambda table: {name: _currency(text) for name, text in _spread(table).items()},
    "Mapping[str, Mapping[int, str]]": lambda table: {
        name: _by_number(inner) for name, inner in (table or {}).items()
    },
    "Mapping[str, Mapping[str, str]]": lambda table: table or {},
    "Mapping[str, Noun]": _nouns,
    "Mapping[str, int]": lambda table: table,
    "Mapping[str, str]": _spread,
    "bool": bool,
    "frozenset[str]": lambda text: frozenset(_words(text)),
    "str": lambda text: text or "",
    "tuple[Noun, ...]": lambda texts: tuple(_noun(text) for text in texts or ()),
    "tuple[str, ...]": _words,
}
"""How a field of `Language` is read, by its type."""


def _read_files() -> dict[str, dict[str, Any]]:
    folder = resources.files("appliance.text").joinpath("languages")
    files = [each for each in folder.iterdir() if each.name.endswith(".toml")]
    return {each.name.removesuffix(".toml"): tomllib.loads(each.read_text("utf-8")) for each in files}


_FILES = _read_files()
"""Read once, when the program starts: no request waits for a disk."""
LANGUAGES = tuple(sorted(_FILES))
"""The languages that something is known of."""
