"""Faster or slower speech at the same pitch.

Owns: time-stretching of PCM, for speeds that an engine can't speak by itself.
Refuses to know: engines and their limits.
"""

from __future__ import annotations

import math
from fractions import Fraction

import av
from av.filter import Graph

from appliance.audio.libav import LAYOUT, PCM_FORMAT, FrameMaker, libav_errors, unwrap
from appliance.audio.pcm import silence
from appliance.errors import EncoderFailedError
from appliance.speech import SAMPLE_WIDTH_BYTES

MIN_TEMPO = 0.25
MAX_TEMPO = 4.0
"""Beyond these nobody understands a word; two filters in a row reach them."""

MIN_STEP, MAX_STEP = 0.5, 2.0
"""What one filter does well: below it refuses, above it skips audio. Source: FFmpeg's manual, `atempo`."""

SLICE_BYTES = 2048
"""PCM pushed at a time: the filter gives audio only in portions as long as what it was given."""

FLUSH_S = 0.25
"""Silence that pushes the last audio through the filters' windows (at most 93 ms each)."""


class TempoStretcher:
    """Changes how long PCM (int16 little-endian mono) sounds, not its pitch.

    Blocking; one thread at a time. The result has the duration of what was fed ÷ `tempo`.
    """

    def __init__(self, sample_rate_hz: int, tempo: float) -> None:
        """Take the rate and the factor.

        Args:
            sample_rate_hz: Hertz.
            tempo: 0.25 to 4.0; 0.5 sounds twice as long.

        Raises:
            EncoderFailedError: The factor is out of range, or the rate isn't within 8,000 to 48,000 Hz.
        """
        if not MIN_TEMPO <= tempo <= MAX_TEMPO:
            raise EncoderFailedError(f"a tempo of {tempo} isn't within {MIN_TEMPO} to {MAX_TEMPO}")
        self._sample_rate_hz = sample_rate_hz
        self._tempo = tempo
        self._given_frames = 0
        steps = [tempo] if MIN_STEP <= tempo <= MAX_STEP else [math.sqrt(tempo)] * 2
        self._frames = FrameMaker(sample_rate_hz)
        with libav_errors("time-stretching"):
            self._graph = _stretching_graph(sample_rate_hz, steps)

    def feed(self, pcm: bytes) -> bytes:
        """Return what is ready of the stretched PCM; up to 0.1 s stays inside.

        Raises:
            EncoderFailedError: The PCM isn't whole frames, or libav failed.
        """
        pieces = []
        with libav_errors("time-stretching"):
            for start in range(0, len(pcm), SLICE_BYTES):
                self._graph.push(self._frames.wrap(pcm[start : start + SLICE_BYTES]))
                pieces.append(self._pull())
        return b"".join(pieces)

    def finish(self) -> bytes:
        """Return the rest; nothing may be fed any more.

        Raises:
            EncoderFailedError: libav failed.
        """
        wanted_frames = round(self._frames.made_frames / self._tempo)
        flush = silence(FLUSH_S * max(1.0, self._tempo), self._sample_rate_hz)
        missing_bytes = max(0, wanted_frames - self._given_frames) * SAMPLE_WIDTH_BYTES
        rest = self.feed(flush)
        while len(rest) < missing_bytes:
            rest += self.feed(flush)
        return rest[:missing_bytes]

    def _pull(self) -> bytes:
        pieces = []
        while True:
            try:
                frame = self._graph.pull()
            except av.BlockingIOError:
                break
            assert isinstance(frame, av.AudioFrame)
            self._given_frames += frame.samples
            pieces.append(unwrap(frame))
        return b"".join(pieces)


def _stretching_graph(sample_rate_hz: int, steps: list[float]) -> Graph:
    graph = Graph()
    time_base = Fraction(1, sample_rate_hz)
    source = graph.add_abuffer(
        sample_rate=sample_rate_hz, format=PCM_FORMAT, layout=LAYOUT, time_base=time_base
    )
    filters = [graph.add("atempo", str(step)) for step in steps]
    graph.link_nodes(source, *filters, graph.add("abuffersink"))
    graph.configure()
    return graph
