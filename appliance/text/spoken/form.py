"""A text's spoken form.

Owns: which rule comes first where several fit, and that a text in spoken form stays as it is.
Refuses to know: the rules.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from heapq import merge

from appliance.speech import SpokenText
from appliance.text.offsets import Edit, apply_edits
from appliance.text.spoken.abbreviations import abbreviation_edits, ending_edits
from appliance.text.spoken.amounts import amount_at
from appliance.text.spoken.dates import date_at
from appliance.text.spoken.language import Language, find_language
from appliance.text.spoken.ordinals import century_edits, ordinal_at, roman_edits, vulgar_edits
from appliance.text.spoken.signs import address_edits, sign_edits
from appliance.text.spoken.times import time_at

MAX_ROUNDS = 8
"""What one round has said may let another rule fit, as a year before a unit. Texts that people write need one
round, and one more that finds nothing."""

_DIGITS = re.compile(r"\d+(?:[.,:/'’-]\w+)*")
_ATTACHED = "_.,:/'’@-"


def spell_out(text: SpokenText, tag: str) -> SpokenText:
    """Return a text with numbers, units, dates, abbreviations and signs as they are said.

    What is doubtful stays as it is, and so does all of a language that nothing is known of. Done twice it is
    as done once. Takes linear time.

    Args:
        text: A text without mark-up.
        tag: BCP 47 tag of the voice.
    """
    language = find_language(tag)
    if language is None:
        return text
    plain = SpokenText(text.text, ((0, 0),))
    is_plain = text.origins in {(), plain.origins}
    said, mapped = plain, text
    for _ in range(MAX_ROUNDS):
        edits = list(_edits(said.text, language))
        if not is_plain:
            edits = [edit for edit in edits if _is_whole(text, said, edit)]
        if not edits:
            break
        if said is not plain:
            edits = _widened(text.text, said, edits)
        mapped = mapped if is_plain else apply_edits(mapped, edits)
        said = apply_edits(said, edits)
    return said if is_plain else mapped


def _is_whole(source: SpokenText, said: SpokenText, edit: Edit) -> bool:
    """Return whether a run stands in the original as it stood in the text, without mark-up inside it."""
    start, last = said.original_offset(edit.start_char), said.original_offset(edit.end_char - 1)
    return source.original_offset(last) - source.original_offset(start) == last - start


def _widened(written: str, said: SpokenText, edits: list[Edit]) -> list[Edit]:
    """Return edits that touch what stands for something else as edits of all of that.

    So it keeps one way back: `10:00` isn't parted into what stands for its `10` and what for the rest.
    """
    wide: list[Edit] = []
    for start, end, instead in edits:
        begin, until = _run_around(written, said, start)[0], _run_around(written, said, end - 1)[1]
        begin, until = min(begin, start), max(until, end)
        if wide and begin < wide[-1].end_char:
            former = wide.pop()
            # The former one ends with the run's rest, as it was said, from its own end on.
            kept = former.replacement[: len(former.replacement) - (former.end_char - start)]
            begin, head = former.start_char, kept
        else:
            head = said.text[begin:start]
        wide.append(Edit(begin, until, head + instead + said.text[end:until]))
    return wide


def _run_around(written: str, said: SpokenText, offset: int) -> tuple[int, int]:
    """Return where what stands for something else begins and ends around a place, else that place."""
    pairs = said.origins
    place = bisect_right(pairs, (offset, len(written)))
    if not 0 < place < len(pairs):
        return offset, offset + 1
    (start, begin), (end, until) = pairs[place - 1], pairs[place]
    return (offset, offset + 1) if said.text[start:end] == written[begin:until] else (start, end)


def _edits(text: str, language: Language) -> Iterator[Edit]:
    """Yield the edits of one round, ascending and without overlap; numbers come before all else."""
    numbers = list(_number_edits(text, language))
    others = [address_edits(text, language), abbreviation_edits(text, language), sign_edits(text, language)]
    others += [roman_edits(text, language), century_edits(text, language), vulgar_edits(text, language)]
    others.append(ending_edits(text, language))
    end = 0
    for edit in merge(numbers, *map(sorted, others), key=_start):
        if edit.start_char >= end:
            yield edit
            end = max(end, edit.end_char)


def _start(edit: Edit) -> int:
    return edit.start_char


def _number_edits(text: str, language: Language) -> Iterator[Edit]:
    """Yield the edits of everything that begins with a digit, or with a sign before one."""
    end = 0
    for found in _DIGITS.finditer(text):
        start = found.start()
        if start < end or not _stands_alone(text, start):
            continue
        for rule in (date_at, time_at, ordinal_at, amount_at):
            if said := rule(text, start, language):
                yield from said.edits
                end = said.end_char
                break


def _stands_alone(text: str, start: int) -> bool:
    """Return whether a number isn't the rest of something longer."""
    before = text[start - 1 : start]
    if not before or not (before.isalnum() or before in _ATTACHED):
        return True
    if before == "-":
        return start == 1 or not text[start - 2].isalnum()
    return before in "'’" and (start == 1 or not text[start - 2].isdigit())
