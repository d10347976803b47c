"""From how long each token sounds to when each word begins.

Owns: the time of a word, and its place in a document that only part of is spoken.
Refuses to know: graphs, PCM, how text becomes tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from appliance.speech import WordMark


class TimedWord(Protocol):
    """What the front end says of a word."""

    @property
    def start_char(self) -> int:
        """Where the word begins in the text that was encoded."""

    @property
    def end_char(self) -> int:
        """Where it ends there, exclusive."""

    @property
    def start_token(self) -> int:
        """The token with which it begins to sound, or would."""


def mark_words(
    words: Sequence[TimedWord], places: Sequence[tuple[int, int]], starts_s: Sequence[float]
) -> Iterator[WordMark]:
    """Yield when each word begins to sound, in order.

    Args:
        words: The words of the text in their order.
        places: Where each character of the text stands in what it was taken from: start and end, exclusive.
            Several words of one place are one there.
        starts_s: When each token begins, in seconds, and behind the last when the audio ends.
    """
    last_place: tuple[int, int] | None = None
    for word in words:
        place = (places[word.start_char][0], places[word.end_char - 1][1])
        if place != last_place:
            yield WordMark(*place, starts_s[min(word.start_token, len(starts_s) - 1)])
        last_place = place
