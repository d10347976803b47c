"""Text that comes piece by piece, as a language model writes it, given out in whole sentences.

Owns: where a text that isn't whole yet may be cut.
Refuses to know: connections; how a part is spoken.

A sentence is whole once another one begins behind it, or its line ends. A first sentence that is long is cut
at a clause, because a loudspeaker may give up after 5 s without a sound (clients.md §5); any that goes on for
ever is cut at a word.
"""

from __future__ import annotations

import asyncio
import re

from appliance.errors import TextTooLongError
from appliance.text.sentences import sentence_ends
from appliance.text.ssml import is_ssml

FIRST_CHARS = 80
"""A first sentence that has become as long is cut at a clause: some 3 s of what a language model writes."""
MOST_CHARS = 1_000
"""Characters without an end of a sentence that are looked at, and then cut at a word."""
CLAUSE = re.compile("[,;:\u2013\u2014\u060c]\\s|[\u3001\uff0c\uff1b]")
"""Also an Arabic comma, and those of Chinese and Japanese, behind which no space stands."""
FENCE = "```"


class StreamedText:
    """The text of one stream. All state is the event loop's."""

    def __init__(self, language: str, max_chars: int, *, is_ssml: bool) -> None:
        """Begin with nothing.

        Args:
            language: BCP 47 tag of the voice.
            max_chars: What may wait to be spoken.
            is_ssml: Whether it is SSML, which is given out as a whole.
        """
        self._language = language
        self._max_chars = max_chars
        self._is_ssml = is_ssml
        self._text = ""
        self._has_ended = False
        self._flushed_chars = 0
        self._has_given = False
        self._news = asyncio.Event()

    @property
    def is_whole(self) -> bool:
        """Whether no more text comes."""
        return self._has_ended

    def add(self, text: str) -> None:
        """Take the next piece; once the text has ended, nothing is taken.

        Raises:
            TextTooLongError: More waits to be spoken than may.
        """
        if self._has_ended:
            return
        if len(self._text) + len(text) > self._max_chars:
            message = f"More than {self._max_chars} characters wait to be spoken"
            raise TextTooLongError(message)
        self._text += text
        self._news.set()

    def flush(self) -> None:
        """Have all that is there spoken, though its last sentence isn't whole."""
        self._flushed_chars = len(self._text)
        self._news.set()

    def end(self) -> None:
        """Say that no more comes."""
        self._has_ended = True
        self._news.set()

    async def next_part(self) -> str:
        """Wait for whole sentences, as many as there are; return nothing at the end."""
        while True:
            cut = self._cut()
            part, self._text = self._text[:cut], self._text[cut:]
            self._flushed_chars = max(0, self._flushed_chars - cut)
            if part.strip():
                self._has_given = True
                return part
            if self._has_ended and not self._text:
                return ""
            if not part:
                self._news.clear()
                await self._news.wait()

    def _cut(self) -> int:
        """Return how many characters may be spoken now."""
        text = self._text
        if self._has_ended:
            return len(text)
        if self._flushed_chars:
            return self._flushed_chars
        if self._is_ssml or (not self._has_given and is_ssml(text)):
            return 0
        if text.count(FENCE) % 2:  # code, of which nothing is read before its end
            return text.rfind(FENCE)
        return self._end_of_sentences(text)

    def _end_of_sentences(self, text: str) -> int:
        line = text.rfind("\n") + 1
        tail = text[line : line + MOST_CHARS]
        if ends := sentence_ends(tail, self._language)[:-1]:
            return line + ends[-1]
        if not line and len(tail) >= MOST_CHARS:
            return tail.rfind(" ") + 1 or len(tail)
        if not line and not self._has_given and len(tail) >= FIRST_CHARS:
            return max((found.end() for found in CLAUSE.finditer(tail)), default=0)
        return line
