"""The plan of growing windows in which a voice's flow and decoder run.

Owns: how large each window is, and which model frames each graph needs for it.
Refuses to know: arrays, graphs, PCM, grants.

    model frames   |--------------------------------------------------------------|
    audio          |  window 1  |      window 2      |          window 3          |
    decoder gets        [overlap|      window 2      |overlap]
    flow gives                           |  what the decoder lacks  |
    flow gets                    [overlap|  what the decoder lacks  |overlap]

The overlap is as wide as a graph can look, so that its outer frames, which lack their neighbours, are thrown
away and what is kept equals a run over everything. The decoder is told how wide it is (`trim`) and throws
away layer by layer what no later layer looks at. At the edges of the utterance there is nothing to overlap
with: there a graph sees what it would see without windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

GROWTH = 1.6
"""How much larger each window is than the one before: sound gains on its making, so that a longer one is
affordable, and longer windows waste less on overlap. Source: measurements C 4."""
FLOW_AHEAD = 3
"""Windows that the flow runs ahead when it has to run: it costs a tenth of the decoder, but looks so far to
either side that a run for each window would look at most frames twice."""
STRETCH = 0.25
"""A last window may be larger by this share: a few frames left over would cost both overlaps again."""


class Span(NamedTuple):
    """Model frames from `start` to `end`, exclusive."""

    start: int
    end: int

    @property
    def frames(self) -> int:
        """How many there are."""
        return self.end - self.start

    def widened(self, overlap_frames: int, total_frames: int) -> Span:
        """Return the span with an overlap on either side, as far as there are frames."""
        return Span(max(0, self.start - overlap_frames), min(total_frames, self.end + overlap_frames))


class WindowPlan(NamedTuple):
    """How large windows are, and what the graphs look at beside them; all in model frames, all at least 0."""

    first_frames: int
    """Of the first window, at least 1."""
    max_frames: int
    """To which they grow, at least 1."""
    flow_overlap_frames: int
    decoder_overlap_frames: int

    def windows(self, total_frames: int) -> Iterator[Window]:
        """Yield the windows of an utterance in order; each frame's audio belongs to exactly one of them.

        Args:
            total_frames: Model frames of the utterance, at least 0; none give no window.
        """
        start = made = 0
        size = float(min(self.first_frames, self.max_frames))
        while start < total_frames:
            end = start + int(size)
            if total_frames - end <= STRETCH * size:
                end = total_frames
            audio = Span(start, end)
            decoder_input = audio.widened(self.decoder_overlap_frames, total_frames)
            flow = Span(made, made)
            if decoder_input.end > made:
                ahead = FLOW_AHEAD * audio.frames if start else 0  # a first sound waits for nothing else
                flow = Span(made, min(decoder_input.end + ahead, total_frames))
            yield Window(audio, decoder_input, flow, flow.widened(self.flow_overlap_frames, total_frames))
            start, made = end, flow.end
            size = min(size * GROWTH, float(self.max_frames))


class Window(NamedTuple):
    """One window, and what it takes."""

    audio: Span
    """Whose audio it gives."""
    decoder_input: Span
    flow: Span
    """What the flow has to make before the decoder can run; perhaps nothing."""
    flow_input: Span

    @property
    def trim(self) -> tuple[int, int]:
        """How many model frames of `decoder_input` come before those whose audio is wanted, and behind."""
        return self.audio.start - self.decoder_input.start, self.decoder_input.end - self.audio.end
