"""Bare samples at the rate that clients of OpenAI's service expect.

Owns: the pcm format. Refuses to know: headers: there are none.
"""

from __future__ import annotations

from typing import ClassVar

from appliance.audio.pcm import require_whole_frames
from appliance.audio.resample import Resampler
from appliance.speech import AudioFormat

RATE_HZ = 24_000
"""Source: OpenAI's description of `response_format: pcm`: 24 kHz, 16 bits, little-endian, no header."""


class RawEncoder:
    """Samples of 16 bits, little-endian, mono, at 24 kHz. See `Encoder`."""

    format: ClassVar[AudioFormat] = AudioFormat.PCM
    media_type: ClassVar[str] = "audio/pcm"

    def __init__(self, sample_rate_hz: int) -> None:
        self._resampler = None if sample_rate_hz == RATE_HZ else Resampler(sample_rate_hz, RATE_HZ)

    def encode(self, pcm: bytes) -> bytes:
        """Return the PCM at 24 kHz. See `Encoder.encode`."""
        require_whole_frames(pcm)
        return self._resampler.feed(pcm) if self._resampler else pcm

    def finish(self) -> bytes:
        """Return the last half millisecond. See `Encoder.finish`."""
        return self._resampler.finish() if self._resampler else b""
