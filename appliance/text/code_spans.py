"""Which backticks close a code span.

Owns: pairing runs of backticks of the same length within a paragraph.
Refuses to know: what is spoken of a code span (`inline`).
"""

from __future__ import annotations

import re
from bisect import bisect_right

_RUN = re.compile(r"`+")
_PARAGRAPH_END = re.compile(r"(?:\r\n|\n|\r(?!\n))[ \t]*[\r\n]")


class CodeSpans:
    """Knows all backticks of a text. Takes linear time in all, but for a search among runs of a length."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts: dict[int, list[int]] | None = None
        """Where the runs of each length begin; read from the text for the first backtick."""
        self._paragraph_end = -1

    def closing(self, start_char: int, end_char: int) -> int:
        """Return where the run begins that closes a code span, or -1 if there is none in the paragraph.

        Args:
            start_char: Where the opening run begins; ascending from call to call.
            end_char: Where it ends, exclusive.
        """
        starts = self._all().get(end_char - start_char, [])
        place = bisect_right(starts, start_char)
        if place == len(starts) or starts[place] > self._end_of_paragraph(end_char):
            return -1
        return starts[place]

    def _all(self) -> dict[int, list[int]]:
        if self._starts is None:
            self._starts = {}
            for run in _RUN.finditer(self._text):
                self._starts.setdefault(len(run[0]), []).append(run.start())
        return self._starts

    def _end_of_paragraph(self, start: int) -> int:
        if start > self._paragraph_end:
            found = _PARAGRAPH_END.search(self._text, start)
            self._paragraph_end = found.start() if found else len(self._text)
        return self._paragraph_end
