"""From espeak-ng's word events to word marks over every word of the spoken text.

Owns: what a word is here, and the time of words that got no event.
Refuses to know: the library, PCM, threads.

espeak-ng has no event for many words: it speaks "of the" as one, and a number as several. An event counts for
the word its text position lies in, the first one wins, and the words in between are placed by interpolation
over the text's characters: from the event before to the event after, or to the end of the audio.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from appliance.engines.espeak_library import WordEvent
from appliance.speech import WordMark

_TAG = re.compile(r"<[^>]*>")
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Kana and Chinese characters, which are written without spaces: each is a word of its own here."""
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


class WordTimer:
    """Collects the word events of one utterance and gives out each word's mark as soon as it is known."""

    def __init__(self, text: str, *, is_ssml: bool) -> None:
        """Find the words of the text.

        Args:
            text: The spoken text; offsets of events and marks count its characters.
            is_ssml: Whether what stands between < and > isn't spoken.
        """
        self._words = find_words(text, is_ssml=is_ssml)
        self._end_char = len(text)
        self._next = 0
        """The first word without a mark."""
        self._anchor = WordEvent(0, 0.0)
        """The last event that counted, or the beginning."""

    def take(self, events: Sequence[WordEvent]) -> list[WordMark]:
        """Take in events in their order; return the marks that they settle."""
        marks: list[WordMark] = []
        for event in events:
            word = self._word_at(event.offset_chars)
            if word is not None:
                start_char, end_char = self._words[word]
                self._settle(marks, word, WordEvent(start_char, event.time_s))
                marks.append(WordMark(start_char, end_char, event.time_s))
                self._next = word + 1
        return marks

    def finish(self, audio_s: float) -> list[WordMark]:
        """Return the marks that are left.

        Args:
            audio_s: Duration of the utterance's audio in seconds.
        """
        marks: list[WordMark] = []
        self._settle(marks, len(self._words), WordEvent(self._end_char, max(audio_s, self._anchor.time_s)))
        return marks

    def _word_at(self, offset_chars: int) -> int | None:
        """Return which word without a mark a text position lies in, if any."""
        for index in range(self._next, len(self._words)):
            start_char, end_char = self._words[index]
            if offset_chars < start_char:
                return None
            if offset_chars < end_char:
                return index
        return None

    def _settle(self, marks: list[WordMark], end: int, until: WordEvent) -> None:
        """Place the words before `end` that have no mark between the last anchor and the next."""
        since = self._anchor
        span_chars = max(1, until.offset_chars - since.offset_chars)
        for start_char, end_char in self._words[self._next : end]:
            share = (start_char - since.offset_chars) / span_chars
            marks.append(WordMark(start_char, end_char, since.time_s + share * (until.time_s - since.time_s)))
        self._next = end
        self._anchor = until


def find_words(text: str, *, is_ssml: bool) -> list[tuple[int, int]]:
    """Return where each word of the text begins and ends, without the punctuation around it.

    Signs alone are no word.
    """
    if is_ssml:
        text = _TAG.sub(lambda tag: " " * len(tag[0]), text)
    words: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        while start < end and not _belongs_to_word(text[start]):
            start += 1
        while end > start and not _belongs_to_word(text[end - 1]):
            end -= 1
        if start < end:
            words.append((start, end))
    return words


def _belongs_to_word(character: str) -> bool:
    """Return whether a character is a letter, a number or a mark on one of them."""
    return unicodedata.category(character)[0] in "LNM"
