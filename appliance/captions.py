"""Captions: timed words become SubRip, WebVTT or JSON, cue by cue.

Owns: where a cue ends, how its lines are broken, how times and signs are written.
Refuses to know: where the words come from, and how long the whole is: one cue is in memory at a time.

A cue has at most two lines of 42 columns and lasts 1 to 7 s. It ends with a sentence; where there is no room
for one, with a clause, else with a word. A Chinese character takes two columns.

Source: the usual measures of subtitling, as in Netflix's "Timed Text Style Guide" and the BBC's guidelines.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from appliance.speech import TimedWord

MAX_COLUMNS = 42
"""Of a line; a longer word stands on a line of its own, whole."""
MAX_LINES = 2
MIN_CUE_S = 1.0
"""A shorter cue stays until then, unless the next one begins."""
MAX_CUE_S = 7.0
PAUSE_S = 0.3
"""Silence between two words that ends a sentence, whatever stands there."""

_CLOSING = "\"'”’»)]}」』\uff09*_"
_SENTENCE_END = re.compile("[.!?…。।؟\uff01\uff1f]\\Z")
_CLAUSE_END = re.compile("[,;:–—、؛،)\uff0c\uff1b\uff1a]\\Z")
_VTT_NAMES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class CaptionFormat(StrEnum):
    """What captions are written in."""

    SRT = "srt"
    VTT = "vtt"
    JSON = "json"


CAPTION_TYPES = {
    CaptionFormat.SRT: "application/x-subrip",
    CaptionFormat.VTT: "text/vtt",
    CaptionFormat.JSON: "application/json",
}
"""Content-Type of each, always in UTF-8."""


class _Break(IntEnum):
    """How well a cue may end behind a word."""

    WORD = 0
    CLAUSE = 1
    SENTENCE = 2


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown at a time."""

    start_ms: int
    """Milliseconds from the beginning of the audio, as all formats write them."""
    end_ms: int
    """Milliseconds; after the start, and not after the next cue's start."""
    lines: tuple[str, ...]
    words: tuple[TimedWord, ...]


def write_captions(caption_format: CaptionFormat, words: Iterable[TimedWord]) -> Iterator[str]:
    """Yield captions piece by piece, as words come.

    Args:
        caption_format: How they are written.
        words: In order.
    """
    cues = make_cues(words)
    match caption_format:
        case CaptionFormat.SRT:
            for number, cue in enumerate(cues, 1):
                yield f"{number}\n{_span(cue, ',')}\n{_lines(cue)}\n\n"
        case CaptionFormat.VTT:
            yield "WEBVTT\n\n"
            for cue in cues:
                yield f"{_span(cue, '.')}\n{_lines(cue).translate(_VTT_NAMES)}\n\n"
        case CaptionFormat.JSON:
            lead = '{"cues":['
            for cue in cues:
                yield lead + json.dumps(_cue_values(cue), ensure_ascii=False, separators=(",", ":"))
                lead = ","
            yield "]}" if lead == "," else f"{lead}]}}"


def word_values(word: TimedWord) -> dict[str, Any]:
    """Return a word as JSON-ready values; times are seconds, rounded to milliseconds."""
    return {
        "word": word.text,
        "start": round(word.start_s, 3),
        "end": round(word.end_s, 3),
        "start_char": word.start_char,
        "end_char": word.end_char,
    }


def make_cues(words: Iterable[TimedWord]) -> Iterator[Cue]:
    """Yield cues as soon as their words and the first one behind them have come."""
    waiting: list[TimedWord] = []
    shown_until_ms = 0
    for word in words:
        while waiting and (count := _due(waiting, word)):
            after = waiting[count] if count < len(waiting) else word
            cue = _cue(waiting[:count], shown_until_ms, after)
            yield cue
            shown_until_ms = cue.end_ms
            del waiting[:count]
        waiting.append(word)
    if waiting:
        yield _cue(waiting, shown_until_ms, None)


def _due(waiting: Sequence[TimedWord], word: TimedWord) -> int:
    """Return how many of the waiting words are a cue now that another one comes; 0 for none."""
    if _break_behind(waiting[-1], word) is _Break.SENTENCE and _lasts_s(waiting) >= MIN_CUE_S:
        return len(waiting)
    if _fits([*waiting, word]):
        return 0
    best = len(waiting)
    best_break = _Break.WORD
    for count in range(len(waiting), 0, -1):
        after = waiting[count] if count < len(waiting) else word
        found = _break_behind(waiting[count - 1], after)
        if found > best_break and _lasts_s(waiting[:count]) >= MIN_CUE_S:
            best, best_break = count, found
    return best


def _fits(words: Sequence[TimedWord]) -> bool:
    return _lasts_s(words) <= MAX_CUE_S and len(_broken(words)) <= MAX_LINES


def _lasts_s(words: Sequence[TimedWord]) -> float:
    return words[-1].end_s - words[0].start_s


def _break_behind(word: TimedWord, after: TimedWord) -> _Break:
    """Return how well a cue may end between two words."""
    text = word.text.rstrip(_CLOSING) or word.text
    if after.start_s - word.end_s >= PAUSE_S or _SENTENCE_END.search(text):
        return _Break.SENTENCE
    return _Break.CLAUSE if _CLAUSE_END.search(word.text) or _CLAUSE_END.search(text) else _Break.WORD


def _cue(words: Sequence[TimedWord], shown_until_ms: int, after: TimedWord | None) -> Cue:
    """Return a cue that neither overlaps the one before nor the next."""
    start_ms = max(_milliseconds(words[0].start_s), shown_until_ms)
    shown_s = min(max(words[-1].end_s, words[0].start_s + MIN_CUE_S), words[0].start_s + MAX_CUE_S)
    end_ms = _milliseconds(shown_s if after is None else min(shown_s, after.start_s))
    return Cue(start_ms, max(start_ms + 1, end_ms), tuple(_balanced(words)), tuple(words))


def _broken(words: Sequence[TimedWord]) -> list[str]:
    """Break words into lines, each as full as it may be."""
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]}{_joint(word)}{word.text}" if lines else ""
        if lines and _columns(longer) <= MAX_COLUMNS:
            lines[-1] = longer
        else:
            lines.append(word.text)
    return lines


def _balanced(words: Sequence[TimedWord]) -> list[str]:
    """Break words into one line, or into two of which the longer one is as short as it can be."""
    if len(_broken(words)) == 1:
        return _broken(words)
    halves = ((_joined(words[:count]), _joined(words[count:])) for count in range(1, len(words)))
    return list(min(halves, key=lambda half: max(map(_columns, half)), default=(_joined(words),)))


def _joined(words: Sequence[TimedWord]) -> str:
    return words[0].text + "".join(_joint(word) + word.text for word in words[1:])


def _joint(word: TimedWord) -> str:
    return " " if word.is_apart else ""


def _columns(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "FW" else 1 for char in text)


def _lines(cue: Cue) -> str:
    return "\n".join(cue.lines)


def _span(cue: Cue, point: str) -> str:
    return f"{_clock(cue.start_ms, point)} --> {_clock(cue.end_ms, point)}"


def _clock(milliseconds: int, point: str) -> str:
    """Return a time as hours, minutes, seconds and milliseconds; the hours may have more than two digits."""
    seconds, rest_ms = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest_ms:03}"


def _cue_values(cue: Cue) -> dict[str, Any]:
    return {
        "start": cue.start_ms / 1000,
        "end": cue.end_ms / 1000,
        "text": "\n".join(cue.lines),
        "words": [word_values(word) for word in cue.words],
    }


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
