"""A bar that grows in place, for a person at a terminal.

Owns: how it is drawn. Refuses to know: what grows.
"""

from __future__ import annotations

import shutil
from typing import TextIO

BAR_CHARS = 30


class ProgressBar:
    """One line of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        """Take the terminal."""
        self._stream = stream
        self._shown_chars = 0

    def draw(self, state: str, fraction: float, amount: str, *, is_last: bool) -> None:
        """Draw the bar anew.

        Args:
            state: Stands before it.
            fraction: How much of it is filled, 0 to 1.
            amount: Stands behind it.
            is_last: Whether the line ends with this.
        """
        filled = round(BAR_CHARS * fraction)
        text = f"{state:<12}[{'#' * filled}{'.' * (BAR_CHARS - filled)}] {amount}"
        text = text[: shutil.get_terminal_size().columns - 1]
        self._stream.write("\r" + text.ljust(self._shown_chars) + ("\n" if is_last else ""))
        self._stream.flush()
        self._shown_chars = len(text)

    def say(self, line: str) -> None:
        """Write a line in the bar's place, and let the bar go on below it."""
        self._stream.write("\r" + line.ljust(self._shown_chars) + "\n")
