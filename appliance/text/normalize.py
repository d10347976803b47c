"""Make a text speakable: no character an engine can't take, no mark-up, words for emoji.

Owns: which characters are dropped, the order of the steps, and whether there is anything to speak.
Refuses to know: utterances.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from appliance.speech import SpokenText
from appliance.text.blocks import PARAGRAPH, BlockScanner, Region, plain_regions
from appliance.text.digits import spell_digits
from appliance.text.inline import InlineScanner, fold_spaces, white_space_edits
from appliance.text.offsets import Edit, apply_edits
from appliance.text.references import defined_labels

MAX_MARKS = 8
"""Combining marks that one letter keeps; a ninth is never writing."""

# C0 and C1 controls that are no white space, soft hyphen, zero-width space, direction marks, word joiner,
# byte order mark, surrogates, private use, noncharacters. Joiners stay: scripts and emoji need them.
_DROPPED = (
    "\\x00-\\x08\\x0e-\\x1b\\x7f-\\x84\\x86-\\x9f\\xad\\u061c\\u180e\\u200b\\u200e\\u200f\\u202a-\\u202e"
    "\\u2060-\\u206f\\ufeff\\ufff0-\\ufffb\\ufffe\\uffff\\ud800-\\udfff\\ue000-\\uf8ff\\ufdd0-\\ufdef"
)
_WORD = re.compile(r"[A-Za-z0-9]")
_SIGNS = "#%&*+/=@\\~§°©®™±×÷¬∞≤≥"


def _mark_ranges() -> str:
    """Return all combining marks as the inside of a regular expression's set."""
    marks = [code for code in range(0x300, 0x11FFF) if unicodedata.category(chr(code)).startswith("M")]
    starts = [code for code in marks if not unicodedata.category(chr(code - 1)).startswith("M")]
    ends = [code for code in marks if not unicodedata.category(chr(code + 1)).startswith("M")]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


_MARKS = _mark_ranges()
_MARK_TOWER = re.compile(f"[{_MARKS}](?<=[{_MARKS}]{{{MAX_MARKS + 1}}})[{_MARKS}]*")
_IN_PARTS = re.compile(f"[^{_MARKS}][{_MARKS}]+|[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?")
"""A letter and its marks; a syllable of Korean as its two or three letters."""
_UNSPEAKABLE = re.compile(f"[{_DROPPED}]+")


def drop_unspeakable(text: str) -> SpokenText:
    """Return a text without the characters that no engine can speak.

    Drops controls, NUL, lone surrogates, direction marks, private and noncharacters, and all combining
    marks of a letter behind the eighth. What is left can be encoded as UTF-8. Takes linear time.
    """
    spoken = SpokenText(text, ((0, 0),))
    if _UNSPEAKABLE.search(text):
        spoken = apply_edits(spoken, _deletions(_UNSPEAKABLE, text))
    if not text.isascii() and _MARK_TOWER.search(spoken.text):
        spoken = apply_edits(spoken, _deletions(_MARK_TOWER, spoken.text))
    return spoken


def compose_letters(text: SpokenText) -> SpokenText:
    """Return a text whose letters are each one character where Unicode has one, mapped as before.

    Engines know `é`, and speak an `e` with the mark behind it as `e`. Marks that make no letter stay as they
    are, in their order. Takes linear time.

    Source: Unicode Standard Annex 15, normalisation form C.
    """
    if text.text.isascii() or unicodedata.is_normalized("NFC", text.text):
        return text
    return apply_edits(text, _compositions(text.text))


def _compositions(text: str) -> Iterator[Edit]:
    for found in _IN_PARTS.finditer(text):
        letter = unicodedata.normalize("NFC", found[0])
        if len(letter) < len(found[0]):
            yield Edit(*found.span(), letter)


def _deletions(pattern: re.Pattern[str], text: str) -> Iterator[Edit]:
    for found in pattern.finditer(text):
        yield Edit(found.start(), found.end(), "")


def make_speakable(text: str, language: str, *, is_enabled: bool = True) -> SpokenText:
    """Return a text as it is to be spoken, mapped back to its original.

    Letters written as several characters become one; runs of white space become one space. A line break
    stands for a paragraph's end and nothing else.
    Takes linear time.

    Args:
        text: Any text, also with NUL or lone surrogates.
        language: BCP 47 tag of the voice, for its digits and the names of emoji.
        is_enabled: Whether markdown, HTML, addresses and emoji become words; else they stay as they are.
    """
    clean = spell_digits(compose_letters(drop_unspeakable(text)), language)
    if is_enabled:
        return fold_spaces(apply_edits(clean, _markup_edits(clean.text, language)))
    return apply_edits(clean, _region_edits(clean.text, plain_regions(clean.text)))


def _markup_edits(text: str, language: str) -> list[Edit]:
    labels = defined_labels(text)
    scanner = InlineScanner(text, language, labels)
    done = 0
    is_apart = False
    for region in BlockScanner(text, labels).regions():
        is_apart = is_apart or region.lead == PARAGRAPH
        start = max(region.start_char, scanner.hidden_until_char)
        if start < region.end_char:
            lead = PARAGRAPH if is_apart else region.lead
            scanner.edit(done, start, lead if done else "")
            scanner.scan(start, region.end_char, is_code=region.is_code, goes_on=not is_apart)
            done = region.end_char
            is_apart = False
    scanner.edit(done, len(text))
    return scanner.edits()


def _region_edits(text: str, regions: Iterator[Region]) -> Iterator[Edit]:
    done = 0
    for region in regions:
        yield Edit(done, region.start_char, region.lead if done else "")
        yield from white_space_edits(text, region.start_char, region.end_char)
        done = region.end_char
    yield Edit(done, len(text), "")


def has_something_to_speak(text: str) -> bool:
    """Return whether a text holds a letter, a digit or a sign that is read by its name, as % or €."""
    if _WORD.search(text):
        return True
    return any(char.isalnum() or char in _SIGNS or unicodedata.category(char) == "Sc" for char in text)
