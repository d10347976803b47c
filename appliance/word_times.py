"""From an engine's word marks to the times of the words that a client wrote.

Owns: which mark belongs to which word, the time of words without a mark, where a word ends; timed words as
bytes.
Refuses to know: engines, how words were found in a text, what is done to the audio afterwards.

Engines mark what they speak: the parts of an emoji's name, `C` of `°C`, nothing for a dash. A word's time is
that of the first mark within what is spoken for it. The words in between are placed by interpolation over the
spoken text's characters: from the mark before to the mark after, or to the end of the audio.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, replace

from appliance.speech import TimedWord, Utterance, WordMark, WrittenWord


class WordTimes:
    """Takes in the word marks of one utterance and gives out each word once it is known when it ends."""

    def __init__(self, utterance: Utterance, begins_at_s: float) -> None:
        """Begin an utterance.

        Args:
            utterance: Its words and its spoken text.
            begins_at_s: Seconds of audio before it.
        """
        self._words = utterance.words
        self._spoken_chars = len(utterance.spoken.text)
        self._begins_at_s = begins_at_s
        self._next = 0
        """The first word without a time."""
        self._anchor = (0, 0.0)
        """The last mark that counted, or the beginning: offset in the spoken text, seconds."""
        self._pending: list[TimedWord] = []
        """Words that have begun, of which the last one's end isn't known."""

    def take(self, marks: Sequence[WordMark]) -> list[TimedWord]:
        """Take in marks in their order; return the words whose ends they settle."""
        for mark in marks:
            word = self._word_at(mark.start_char)
            if word >= self._next:
                time_s = max(mark.time_s, self._anchor[1])
                self._settle(word, (self._words[word].spoken_char, time_s))
                self._begin(word, time_s)
                self._next = word + 1
        ended, self._pending = self._pending[:-1], self._pending[-1:]
        return ended

    def finish(self, audio_s: float) -> list[TimedWord]:
        """Return the words that are left.

        Args:
            audio_s: Duration of the utterance's audio in seconds.
        """
        end_s = max(audio_s, self._anchor[1])
        self._settle(len(self._words), (self._spoken_chars, end_s))
        if self._pending:
            self._pending[-1] = replace(self._pending[-1], end_s=self._begins_at_s + end_s)
        ended, self._pending = self._pending, []
        return ended

    def _word_at(self, spoken_char: int) -> int:
        """Return which word a spoken offset belongs to: one with a time, or the next, or one behind it."""
        word = self._next - 1
        while word + 1 < len(self._words) and self._words[word + 1].spoken_char <= spoken_char:
            word += 1
        return word

    def _settle(self, end: int, until: tuple[int, float]) -> None:
        """Place the words before `end` that have no time between the last mark and the next."""
        (since_char, since_s), (until_char, until_s) = self._anchor, until
        span_chars = max(1, until_char - since_char)
        for word in range(self._next, end):
            share = min(1.0, max(0, self._words[word].spoken_char - since_char) / span_chars)
            self._begin(word, since_s + share * (until_s - since_s))
        self._next = end
        self._anchor = until

    def _begin(self, word: int, time_s: float) -> None:
        """Give a word its time, which is the end of the word before."""
        start_s = self._begins_at_s + time_s
        if self._pending:
            self._pending[-1] = replace(self._pending[-1], end_s=start_s)
        self._pending.append(_timed(self._words[word], start_s))


def _timed(word: WrittenWord, start_s: float) -> TimedWord:
    return TimedWord(word.text, word.start_char, word.end_char, word.is_apart, start_s, start_s)


def pack_words(words: Iterable[TimedWord]) -> bytes:
    """Return words as bytes, to be kept beside their audio; some 40 for each. Half a surrogate is kept."""
    values = [astuple(word) for word in words]
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def unpack_words(packed: bytes) -> list[TimedWord]:
    """Return the words that `pack_words` packed."""
    return [TimedWord(*values) for values in json.loads(packed)]
