"""Abbreviations.

Owns: where one may stand and what becomes of its full stop.
Refuses to know: the list (`language`), units behind numbers (`amounts`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

from appliance.text.offsets import Edit
from appliance.text.spoken.language import Language
from appliance.text.spoken.place import any_of, ends_sentence, word_before

_JOINED = frozenset("@/.")
_LAST_WORD = re.compile(r"[^\W\d_]+\Z")
_LONGEST_CHARS = 16
_BEFORE_NUMBER = re.compile(r",?[ ]?\d")
_BEFORE_NAME = re.compile(r" ?[^\W\d_]")
_BEHIND_NAME = re.compile(r"[^\W\d_]\Z")


def abbreviation_edits(text: str, language: Language) -> Iterator[Edit]:
    """Yield the edits of all abbreviations. Takes linear time."""
    end = 0
    for start, until in _places(text, language):
        if start < end or text[start - 1 : start] in _JOINED:
            continue
        said = _said(text, start, until, language)
        if said:
            end = until
            yield from _worded(text, start, until, said)


def _places(text: str, language: Language) -> Iterator[tuple[int, int]]:
    """Yield where abbreviations may stand: those with a stop, found by their first stop, then the others."""
    stopped = _stopped(language)
    at = text.find(".")
    while at >= 0:
        word = _LAST_WORD.search(text[max(0, at - _LONGEST_CHARS) : at])
        names = stopped.get(word[0]) if word else None
        if word and names:
            begin = at - len(word[0])
            for lead, name in names:
                found = name.match(text, begin - lead) if begin >= lead else None
                if found is not None and not text[begin - lead - 1 : begin - lead].isalnum():
                    yield found.span()
                    break
        at = text.find(".", at + 1)
    for found in _unstopped(language).finditer(text):
        yield found.span()


def _tables(language: Language) -> tuple[Mapping[str, str], ...]:
    return (
        language.short,
        language.closing,
        language.before_name,
        language.behind_name,
        language.before_number,
        language.before_hyphen,
        language.behind_locative,
    )


@cache
def _stopped(language: Language) -> dict[str, list[tuple[int, re.Pattern[str]]]]:
    """Return the names that have a stop by the word before their first one, the longest first.

    With each stands how many characters of it come before that word. Between its parts a space may stand.
    """
    stopped: dict[str, list[tuple[int, re.Pattern[str]]]] = {}
    for name in sorted(_every_name(language), key=len, reverse=True):
        word = _LAST_WORD.search(name.partition(".")[0]) if "." in name else None
        if word is not None:
            source = re.sub(r"\\\.(?=.)", r"\.[ ]?", re.escape(name))
            end = "" if name.endswith(".") else r"(?![\w.'’])"
            stopped.setdefault(word[0], []).append((word.start(), re.compile(source + end)))
    return stopped


@cache
def _unstopped(language: Language) -> re.Pattern[str]:
    names = [name for name in _every_name(language) if "." not in name]
    # Each begins with its letter, so that a search looks at few places.
    sources = (rf"{re.escape(name[0])}(?<!\w.){re.escape(name[1:])}" for name in names)
    return re.compile(rf"(?:{'|'.join(sources) or '(?!)'})(?![\w.'’])")


def _every_name(language: Language) -> set[str]:
    return {name for table in _tables(language) for name in table}


def _said(text: str, start: int, end: int, language: Language) -> str:
    """Return what an abbreviation stands for at its place, or nothing."""
    name = text[start:end]
    name = name if any(name in table for table in _tables(language)) else name.replace(" ", "")
    if text[end : end + 1].isalnum():
        return ""
    behind = _by_place(text, start, end, name, language)
    if behind:
        return behind
    if said := language.closing.get(name, ""):
        is_end = name.endswith(".") and ends_sentence(text, end, language, is_likely=True)
        return said + ("." if is_end else "")
    return language.short.get(name, "")


def _by_place(text: str, start: int, end: int, name: str, language: Language) -> str:
    """Return what an abbreviation stands for because of what stands beside it."""
    if name in language.before_number and _BEFORE_NUMBER.match(text, end):
        is_locative = word_before(text, start) in language.locative
        return (language.behind_locative.get(name) if is_locative else None) or language.before_number[name]
    if name in language.before_hyphen and text[end : end + 1] == "-":
        return language.before_hyphen[name]
    if word_before(text, start) in language.locative and name in language.behind_locative:
        return language.behind_locative[name]
    is_before_name = _BEFORE_NAME.match(text, end) is not None and text[end + 1 : end + 2].isupper()
    if name in language.before_name and (
        is_before_name or (name[0].islower() and _BEFORE_NAME.match(text, end))
    ):
        return language.before_name[name]
    if name in language.behind_name and _BEHIND_NAME.search(text[:start].rstrip()[-1:]):
        is_end = ends_sentence(text, end, language)
        return language.behind_name[name] + ("." if is_end else "")
    return ""


def _worded(text: str, start: int, end: int, said: str) -> Iterator[Edit]:
    """Yield the edits for one that is written in several words, a part of what is said for each."""
    written = list(re.compile(r"\S+").finditer(text, start, end))
    words = said.split(" ")
    if len(written) == 1 or len(words) < len(written):
        yield Edit(start, end, said)
        return
    for index, part in enumerate(written):
        is_last = index + 1 == len(written)
        yield Edit(part.start(), part.end(), " ".join(words[index:] if is_last else words[index : index + 1]))


@cache
def _endings(language: Language) -> re.Pattern[str]:
    return re.compile(rf"(?:{any_of(language.endings)})(?!\w)")


def ending_edits(text: str, language: Language) -> Iterator[Edit]:
    """Yield the edits of abbreviations at a word's end, as `Hauptstr.`."""
    if not language.endings:
        return
    for found in _endings(language).finditer(text):
        if not text[found.start() - 1 : found.start()].isalnum():
            continue
        stop = "." if ends_sentence(text, found.end(), language) else ""
        yield Edit(found.start(), found.end(), language.endings[found[0]] + stop)
