"""Punctuation: taken out before a text becomes phonemes, put back behind it.

Owns: which signs are punctuation for phonemes, and where a text is cut at them.
Refuses to know: phonemes and tokens.

Source: TTS.tts.utils.text.punctuation, `strip_to_restore` and `restore`, which come to this for every text
but one kind: where a text's only punctuation stands before its first word, Coqui speaks the sign and loses
the words. Here they are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from appliance.engines.vits.front_end.traced import TracedText

MARKS = ';:,.!?¡¿—…"«»“”'
"""Source: TTS.tts.utils.text.punctuation, the default set; espeak-ng phonemizers have no other."""
_MARKS = re.compile(rf"\s*[{MARKS}][{MARKS}\s]*")


class Piece(NamedTuple):
    """A part of a text."""

    text: TracedText
    is_punctuation: bool
    """Whether it consists of marks and the white space around them."""


def cut(text: TracedText) -> Iterator[Piece]:
    """Yield words and punctuation in turn, as they stand; nothing for an empty text."""
    text = text.strip()
    done = 0
    for marks in _MARKS.finditer(text.text):
        if marks.start() > done:
            yield Piece(text.cut(done, marks.start()), is_punctuation=False)
        yield Piece(text.cut(*marks.span()), is_punctuation=True)
        done = marks.end()
    if done < len(text.text):
        yield Piece(text.cut(done, len(text.text)), is_punctuation=False)
