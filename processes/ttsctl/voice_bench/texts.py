"""What is spoken in the measurements.

Owns: the texts and their lengths.
Refuses to know: what is measured with them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

CHARS_150 = (
    "The library opens at nine in the morning and closes at six. "
    "On Saturdays it stays open until three, and on Sundays the reading room is closed all day."
)
"""Two sentences, about eight seconds of speech."""
CHARS_6000 = " ".join([CHARS_150] * 40)[:5999] + "."
"""The same again and again."""
SENTENCE_40 = "The library opens today at nine o'clock."
SENTENCE_150 = (
    "The library opens at nine in the morning and closes at six in the evening, on Saturdays it stays open "
    "until three, and on Sundays all of it is closed."
)
"""One sentence, which can't be cut at a full stop."""
SENTENCE_400 = (
    "In summer, when the days are long and the evenings are warm, the library opens at nine in the morning "
    "and closes at eight in the evening, on Saturdays it stays open until five, and in winter, when it gets "
    "dark early and most people are at home, it opens at ten and closes at six, while on Sundays and on "
    "holidays the reading room and the garden behind it are closed all day, as they always were here."
)
SEED = 20_000


def sentences() -> Iterator[str]:
    """Yield sentences of three to nine words without end, the same ones in every run."""
    words = CHARS_150.replace(".", "").replace(",", "").lower().split()
    chosen = random.Random(SEED)  # noqa: S311 (no secret)
    while True:
        yield " ".join(chosen.choices(words, k=chosen.randint(3, 9))).capitalize() + "."
