"""Where sound begins in PCM, behind silence: what word times are held against."""

from __future__ import annotations

import array
import sys

STEP_S = 0.005
"""Seconds of PCM that are judged together."""
QUIET_SHARE = 0.015
"""Of the loudest sample: what is below is silence; lossy formats and room for echoes of a voice."""


def onsets_s(pcm: bytes, sample_rate_hz: int, silence_s: float = 0.04) -> list[float]:
    """Return when sound begins behind each silence, and when the first one does, in seconds.

    Args:
        pcm: int16 little-endian mono.
        sample_rate_hz: Hertz.
        silence_s: Less than this is no silence.
    """
    samples = array.array("h", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    step = round(STEP_S * sample_rate_hz)
    levels = [
        max(map(abs, samples[start : start + step])) for start in range(0, len(samples) - step + 1, step)
    ]
    quiet = QUIET_SHARE * max(levels)
    found: list[float] = []
    silent_steps = enough_steps = silence_s / STEP_S
    for index, level in enumerate(levels):
        if level < quiet:
            silent_steps += 1
        else:
            if silent_steps >= enough_steps:
                found.append(index * step / sample_rate_hz)
            silent_steps = 0
    return found


def distance_s(time_s: float, onsets: list[float]) -> float:
    """Return how far the nearest onset is away, in seconds."""
    return min(abs(time_s - onset_s) for onset_s in onsets)
