"""How far a run of minutes has come, told on standard error while it runs.

Owns: the line or the bar, and how often it is shown.
Refuses to know: what runs.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import TextIO

EVERY_S = 10.0
"""Seconds between two lines where no terminal shows a bar."""
TICK_S = 1.0
"""Seconds between two calls of `show`."""
BAR_CHARS = 20
LINE_CHARS = 78


class Progress:
    """Told once a second, it shows a bar on a terminal, and a line every `EVERY_S` anywhere else."""

    def __init__(self, duration_s: float, count: Callable[[], int], stream: TextIO | None = None) -> None:
        """Let the time begin.

        Args:
            duration_s: Seconds that the run is to take.
            count: Says how many requests were sent so far.
            stream: Standard error if none is given.
        """
        self.phase = "load"
        """What happens now, in a word or two; anybody may set it."""
        self._duration_s = duration_s
        self._count = count
        self._stream = stream or sys.stderr
        self._begun_s = time.monotonic()
        self._shown_s = -math.inf

    def show(self) -> None:
        """Show how far it is, if it is time to; never waits for anything but the stream."""
        now_s = time.monotonic()
        is_bar = self._stream.isatty()
        if not is_bar and now_s - self._shown_s < EVERY_S:
            return
        self._shown_s = now_s
        passed_s = min(now_s - self._begun_s, self._duration_s)
        text = f"{self.phase}, {self._duration_s - passed_s:.0f} s left, {self._count():,} requests"
        if is_bar:
            filled = int(BAR_CHARS * passed_s / self._duration_s)
            text = f"\r[{'#' * filled}{'.' * (BAR_CHARS - filled)}] {text}"
        self._stream.write(f"{text[:LINE_CHARS]:<{LINE_CHARS}}" if is_bar else f"{text}\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the bar's line."""
        if self._stream.isatty():
            self._stream.write("\n")
            self._stream.flush()
