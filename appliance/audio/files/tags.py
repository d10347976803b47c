"""What a file says about its audio.

Owns: title, voice and chapters.
Refuses to know: how a format writes them.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_CHAPTERS = 1_000
"""A text may be nothing but headings; more chapters than these aren't noted."""
TOOL = "TTS appliance"
"""What has made a file; without a version, so that a file is the same whichever version goes on with it."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the audio that has a title."""

    title: str
    start_s: float
    """Seconds from the beginning, as heard."""


@dataclass(frozen=True, slots=True)
class Tags:
    """All that is said; what is empty isn't written."""

    title: str = ""
    voice: str = ""
    chapters: tuple[Chapter, ...] = ()
