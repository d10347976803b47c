"""The words of a text as a reader sees them, found again behind what is spoken for them.

Owns: what a word of the original is: a run without white space, in scripts without spaces a character, with
the signs around it and without mark-up.
Refuses to know: when a word sounds, and how a text became what is spoken.

Everything follows from the map of a `SpokenText`, pair by pair: what is spoken as it stands is seen, what is
spoken as something else is seen too unless only signs are spoken for it (`- ` at a line's beginning, `<br>`),
and what isn't spoken is mark-up.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from appliance.speech import SpokenText, WrittenWord
from appliance.text.normalize import has_something_to_speak

UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Kana and Chinese characters, which are written without spaces."""
_RUN = re.compile(r"\s+|\S+")
_WORD = re.compile(r"\S+")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_TAG = re.compile(r"</?([A-Za-z:-]*)")
_BEFORE_HOST = re.compile(r"(?:https?|ftp)://(?:[^\s/@]*@)?(?:www\.)?", re.IGNORECASE)
_BEHIND_HOST = re.compile(r"[/?#'()*:](?=.*[^*_~`])\S*|/")
_LEFTOVERS = re.compile("[\ufe0e\ufe0f\u20e3]+")
"""What makes a key of a digit, and an emoji of a sign."""
_NUMBER_END = re.compile(r"([.)])\s+")
"""What ends the number of a list's item."""
_SEPARATING = frozenset({"break", "p", "s", "speak"})
_OPENING = frozenset({"Ps", "Pi"})


@dataclass(slots=True)
class _Part:
    """Characters of a word that stand side by side."""

    text: str
    start_char: int
    end_char: int
    spoken_char: int
    steps: int = 1
    """Characters of the original for a character of `text`; 0 where all of them are one thing."""


@dataclass(slots=True)
class _Collector:
    """Puts parts together until white space comes."""

    words: list[WrittenWord] = field(default_factory=list)
    _parts: list[_Part] = field(default_factory=list)
    _is_apart: bool = True

    def see(self, part: _Part) -> None:
        self._parts.append(part)

    def separate(self) -> None:
        """End the word."""
        for index, parts in enumerate(_cut(self._parts)):
            self.words.append(
                WrittenWord(
                    "".join(part.text for part in parts),
                    parts[0].start_char,
                    parts[-1].end_char,
                    parts[0].spoken_char,
                    is_apart=self._is_apart or not self.words if not index else False,
                )
            )
        self._is_apart = True
        self._parts = []


class Stretch(NamedTuple):
    """A part of a text that was made speakable, all offsets in characters of that."""

    start_char: int
    end_char: int
    spoken_from: int
    """Where in it begins what an utterance speaks."""
    spoken_chars: int
    """How much that is."""
    is_last: bool
    """Whether what isn't spoken behind its end belongs to it."""


def written_words(
    original: str, seen: SpokenText, stretch: Stretch, *, is_ssml: bool = False
) -> tuple[WrittenWord, ...]:
    """Return the words of a stretch of the original, in order.

    Takes linear time.

    Args:
        original: The whole text.
        seen: It made speakable, mapped to `original`.
        stretch: Which part of `seen`.
        is_ssml: Whether `seen` is a document.
    """
    collector = _Collector()
    is_address = False
    for start, begin, until, spoken in _runs(original, seen, stretch):
        written = original[begin:until]
        spoken_char = min(max(start - stretch.spoken_from, 0), stretch.spoken_chars)
        if not spoken:
            is_address = _see_unspoken(collector, written, begin, spoken_char, is_behind=is_address)
        elif is_ssml and (tag := _TAG.match(spoken)):
            if tag[1] in _SEPARATING:
                collector.separate()
        else:
            said = html.unescape(spoken) if is_ssml else spoken
            _see_spoken(collector, written, said, begin, spoken_char)
    collector.separate()
    return tuple(collector.words)


def _runs(original: str, seen: SpokenText, stretch: Stretch) -> Iterator[tuple[int, int, int, str]]:
    """Yield what is spoken and where it stems from: its offset, the original's from and to, and the text.

    What stands for something else and begins before the stretch belongs to the one before as a whole.
    """
    pairs = seen.origins
    place = max(0, bisect_left(pairs, (stretch.start_char,)) - 1)
    for (start, begin), (end, until) in pairwise(pairs[place:]):
        if start > stretch.end_char or (start == stretch.end_char and not stretch.is_last):
            return
        last = min(end, stretch.end_char)
        missed = max(0, stretch.start_char - start)
        is_as_written = original.startswith(seen.text[start:end], begin)
        if not missed or is_as_written:
            is_cut = last < end and is_as_written
            seen_until = min(until, begin + last - start) if is_cut else until
            yield start + missed, begin + missed, seen_until, seen.text[start + missed : last]


def _see_unspoken(
    collector: _Collector, written: str, begin: int, spoken_char: int, *, is_behind: bool
) -> bool:
    """See what isn't spoken of an address or an emoji; return whether this is what stands before a host.

    Args:
        collector: Gets it.
        written: Anything that isn't spoken, mostly mark-up.
        begin: Where it stands in the original.
        spoken_char: Where it would be spoken.
        is_behind: Whether it stands behind a host.
    """
    is_before = _BEFORE_HOST.fullmatch(written) is not None
    if is_before or _LEFTOVERS.fullmatch(written) or (is_behind and _BEHIND_HOST.fullmatch(written)):
        collector.see(_Part(written, begin, begin + len(written), spoken_char, 0))
    return is_before


def _see_spoken(collector: _Collector, written: str, spoken: str, begin: int, spoken_char: int) -> None:
    """See what is spoken as it stands, or what something else is spoken for."""
    if _stands(written, spoken):
        for run in _RUN.finditer(spoken):
            if run[0].isspace():
                collector.separate()
            else:
                start = begin + run.start()
                collector.see(_Part(run[0], start, start + len(run[0]), spoken_char + run.start()))
        return
    if not _is_entity(written) and has_something_to_speak(spoken) and len(written.split()) > 1:
        _see_several(collector, written, spoken, begin, spoken_char)
    else:
        _see_instead(collector, written, spoken, begin, spoken_char)


def _stands(written: str, spoken: str) -> bool:
    """Return whether something is spoken as it stands; a comment may follow, but `10:30` isn't `10`."""
    if not written.startswith(spoken) or _is_entity(written):
        return False
    return not has_something_to_speak(written[len(spoken) :].partition("<")[0])


def _see_instead(collector: _Collector, written: str, spoken: str, begin: int, spoken_char: int) -> None:
    """See one thing that something else is spoken for; where only signs are, it was mark-up."""
    text = html.unescape(written) if _is_entity(written) else written
    is_sign = text == written and not has_something_to_speak(spoken)
    number_end = _NUMBER_END.fullmatch(written) if is_sign else None
    if number_end:
        text = number_end[1]
    elif is_sign or text.isspace():
        text = ""
    if text:
        collector.see(
            _Part(text, begin, begin + len(number_end[1] if number_end else written), spoken_char, 0)
        )
    if written and (number_end or not text):
        collector.separate()


def _see_several(collector: _Collector, written: str, spoken: str, begin: int, spoken_char: int) -> None:
    """See words that something else is spoken for together, as `10 000`: each has its share of that."""
    words = list(_WORD.finditer(written))
    said = [found.start() for found in _WORD.finditer(spoken)]
    for index, word in enumerate(words):
        if index:
            collector.separate()
        at = spoken_char + said[index * len(said) // len(words)]
        collector.see(_Part(word[0], begin + word.start(), begin + word.end(), at, 0))


def _is_entity(written: str) -> bool:
    return written.startswith("&") and written.endswith(";") and html.unescape(written) != written


def _cut(parts: list[_Part]) -> list[list[_Part]]:
    """Return the words in a run without white space: one, but for scripts that are written without."""
    if not parts:
        return []
    if not any(_UNSPACED.search(part.text) for part in parts):
        return [parts]
    words: list[list[_Part]] = [[]]
    last = ""
    """The last letter of the word: `u` for one that is a word of its own, `l` for another one."""
    for part in (char for each in parts for char in _characters(each)):
        kind = _kind(part)
        if kind and last and not kind == last == "l":
            words.append([])
            last = ""
        words[-1].append(part)
        last = kind if kind in {"u", "l"} else last
    return words


def _characters(part: _Part) -> list[_Part]:
    if not part.steps:
        return [part]
    return [
        _Part(char, part.start_char + at, part.start_char + at + 1, part.spoken_char + at)
        for at, char in enumerate(part.text)
    ]


def _kind(part: _Part) -> str:
    """Return `u` for a character that is a word, `l` for one of a longer word, `(` for one that opens."""
    if _UNSPACED.match(part.text):
        return "u"
    if unicodedata.category(part.text[0]) in _OPENING:
        return "("
    return "l" if not part.steps or has_something_to_speak(part.text) else ""
