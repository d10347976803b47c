"""The cleaners that a voice can name: what is done to its text before letters or phonemes become tokens.

Owns: their names and their steps.
Refuses to know: tokens, phonemes, the voice.

A voice was trained on texts that went through its cleaner, so each does exactly what Coqui's cleaner of the
same name does. `uroman_cleaners` isn't here: it needs another package. Source: TTS.tts.utils.text.cleaners.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from appliance.engines.vits.front_end import chinese_numbers, english_numbers, italian_numbers
from appliance.engines.vits.front_end.abbreviations import write_out
from appliance.engines.vits.front_end.traced import TracedText
from appliance.errors import ModelUnsupportedError

Step = Callable[[TracedText, str | None], TracedText]
"""Takes a text and the primary subtag of its language; returns the text changed."""

_SPACES = re.compile(r"\s+")
_BRACKETS = re.compile(r"[<>()\[\]\"]+")
_AND = {"en": " and ", "fr": " et ", "it": " e ", "pt": " e ", "ca": " i "}


def _normalise(text: TracedText, _language: str | None) -> TracedText:
    return text.apply(lambda part: unicodedata.normalize("NFC", part))


def _lower(text: TracedText, _language: str | None) -> TracedText:
    return text.apply(str.lower)


def _squeeze(text: TracedText, _language: str | None) -> TracedText:
    return text.substitute(_SPACES, " ").strip()


def _drop_brackets(text: TracedText, _language: str | None) -> TracedText:
    return text.substitute(_BRACKETS, "")


def _drop_line_ends(text: TracedText, _language: str | None) -> TracedText:
    return text.replace("\n", "")


def _turkish_i(text: TracedText, _language: str | None) -> TracedText:
    return text.replace("I", "\N{LATIN SMALL LETTER DOTLESS I}")


def _replace_signs(text: TracedText, language: str | None) -> TracedText:
    """Turn signs into commas, spaces and words; a semicolon is a question mark in Greek."""
    if language != "el":
        text = text.replace(";", ",")
    text = text.replace("-", "" if language == "ca" else " ").replace(":", ",")
    if language in _AND:
        text = text.replace("&", _AND[language])
    return text.replace("'", "") if language == "ca" else text


def _english_times(text: TracedText, _language: str | None) -> TracedText:
    return english_numbers.say_times(text)


def _english_numbers(text: TracedText, _language: str | None) -> TracedText:
    return english_numbers.say_numbers(text)


def _italian_times(text: TracedText, _language: str | None) -> TracedText:
    return italian_numbers.say_times(text)


def _italian_numbers(text: TracedText, _language: str | None) -> TracedText:
    return italian_numbers.say_decimals(text)


def _chinese_numbers(text: TracedText, _language: str | None) -> TracedText:
    return chinese_numbers.say_numbers(text)


_TIDY: tuple[Step, ...] = (_replace_signs, _drop_brackets, _squeeze)
_BASIC: tuple[Step, ...] = (_normalise, _lower, _squeeze)

CLEANERS: dict[str, tuple[Step, ...]] = {
    "basic_cleaners": _BASIC,
    "basic_german_cleaners": _BASIC,
    "basic_turkish_cleaners": (_normalise, _turkish_i, _lower, _squeeze),
    "chinese_mandarin_cleaners": (_normalise, _chinese_numbers),
    "english_cleaners": (_normalise, _lower, _english_times, _english_numbers, write_out, *_TIDY),
    "french_cleaners": (_normalise, write_out, _lower, *_TIDY),
    "italian_cleaners": (_normalise, _lower, _italian_times, _italian_numbers, write_out, *_TIDY),
    "multilingual_cleaners": (_normalise, _lower, *_TIDY),
    "multilingual_phoneme_cleaners": (_normalise, *_TIDY),
    "no_cleaners": (_drop_line_ends,),
    "phoneme_cleaners": (_normalise, _english_numbers, write_out, *_TIDY),
    "portuguese_cleaners": (_normalise, _lower, *_TIDY),
    "transliteration_cleaners": _BASIC,
}
"""Name → what is done, in this order."""

SPEAKS_NUMBERS = frozenset(
    {"chinese_mandarin_cleaners", "english_cleaners", "italian_cleaners", "phoneme_cleaners"}
)
"""Cleaners that turn numbers into words themselves, or most of what belongs to one."""


def find_cleaner(name: str | None) -> tuple[Step, ...]:
    """Return the steps of a cleaner; none for a voice without one.

    Raises:
        ModelUnsupportedError: There is no cleaner of this name here.
    """
    if name is None:
        return ()
    if name not in CLEANERS:
        known = ", ".join(sorted(CLEANERS))
        raise ModelUnsupportedError(
            f"The model needs the cleaner {name!r}, which isn't there; there are {known}"
        )
    return CLEANERS[name]


def clean(text: TracedText, steps: tuple[Step, ...], language: str | None) -> TracedText:
    """Return a text after a cleaner's steps.

    Args:
        text: The text.
        steps: From `find_cleaner`.
        language: The language as the model names it; its region counts for nothing.
    """
    primary = None if language is None else language.split("-")[0]
    for step in steps:
        text = step(text, primary)
    return text
