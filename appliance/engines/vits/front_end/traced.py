"""Text that remembers where each of its characters stems from.

Owns: edits that keep the way back to the text as it came.
Refuses to know: why something is edited.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_RUN = re.compile(r"\s+|\S+")


class TracedText:
    """A text and, for each of its characters, an offset in the original. Edits give a new one."""

    __slots__ = ("origins", "text")

    def __init__(self, text: str, origins: Sequence[int] | None = None) -> None:
        """Take a text.

        Args:
            text: What the text is now.
            origins: An offset in the original for every character, never falling; None where this is the
                original.
        """
        self.text = text
        self.origins: Sequence[int] = range(len(text)) if origins is None else origins

    def substitute(
        self, pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str]
    ) -> TracedText:
        """Replace every match, as `re.sub` does; what replaces it stems from where the match begins.

        Args:
            pattern: What to look for.
            replacement: Plain text (no references to groups), or a function that gives it.
        """
        pieces: list[str] = []
        origins: list[int] = []
        done = 0
        for match in pattern.finditer(self.text):
            start, end = match.span()
            new = replacement if isinstance(replacement, str) else replacement(match)
            pieces += (self.text[done:start], new)
            origins += self.origins[done:start]
            origins += [self._origin(start)] * len(new)
            done = end
        if not pieces:
            return self
        pieces.append(self.text[done:])
        origins += self.origins[done:]
        return TracedText("".join(pieces), origins)

    def replace(self, old: str, new: str) -> TracedText:
        """Replace every occurrence of a text, as `str.replace` does."""
        return self.substitute(re.compile(re.escape(old)), new) if old in self.text else self

    def apply(self, function: Callable[[str], str]) -> TracedText:
        """Apply a function of the whole text; where a word's length changes, it stems from the word's begin.

        Args:
            function: What it makes of a word must not depend on the words around it.
        """
        if function(self.text) == self.text:
            return self
        pieces: list[str] = []
        origins: list[int] = []
        for run in _RUN.finditer(self.text):
            start, end = run.span()
            new = function(run[0])
            pieces.append(new)
            is_same_length = len(new) == end - start
            origins += self.origins[start:end] if is_same_length else [self.origins[start]] * len(new)
        return TracedText("".join(pieces), origins)

    def cut(self, start: int, end: int) -> TracedText:
        """Return the part from `start` to `end`."""
        return TracedText(self.text[start:end], self.origins[start:end])

    def strip(self) -> TracedText:
        """Return the text without white space at its ends."""
        start = len(self.text) - len(self.text.lstrip())
        return self.cut(start, max(start, len(self.text.rstrip())))

    def _origin(self, at: int) -> int:
        """Return where the character at a place stems from; behind the last, where that does."""
        if not self.origins:
            return 0
        return self.origins[min(at, len(self.origins) - 1)]


def join(parts: Sequence[TracedText]) -> TracedText:
    """Return the texts one behind the other; their origins must ascend."""
    origins = [origin for part in parts for origin in part.origins]
    return TracedText("".join(part.text for part in parts), origins)
