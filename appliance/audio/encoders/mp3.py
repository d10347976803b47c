"""MP3 as plain frames.

Owns: the mp3 format. Refuses to know: tags: there is neither ID3 nor a Xing or LAME header, so that two
answers written one behind the other play as one.
"""

from __future__ import annotations

from typing import ClassVar

import lameenc

from appliance.audio.pcm import require_whole_frames
from appliance.errors import EncoderFailedError
from appliance.speech import AudioFormat

BIT_RATE_KBIT_S = 64
QUALITY = 7
"""LAME's scale of effort, 0 best to 9 fastest. Source: docs/benchmarks.md, Encoders."""


class Mp3Encoder:
    """MPEG layer III, constant 64 kbit/s, mono, at the voice's own rate. See `Encoder`."""

    format: ClassVar[AudioFormat] = AudioFormat.MP3
    media_type: ClassVar[str] = "audio/mpeg"

    def __init__(self, sample_rate_hz: int) -> None:
        self._lame = lameenc.Encoder()
        self._lame.silence()
        self._lame.set_channels(1)
        self._lame.set_in_sample_rate(sample_rate_hz)
        self._lame.set_bit_rate(BIT_RATE_KBIT_S)
        self._lame.set_quality(QUALITY)
        self._has_begun = False

    def encode(self, pcm: bytes) -> bytes:
        """Return the frames that are ready after this PCM. See `Encoder.encode`."""
        require_whole_frames(pcm)
        if not pcm:
            return b""
        self._has_begun = True
        try:
            return bytes(self._lame.encode(pcm))
        except RuntimeError as error:
            raise EncoderFailedError(f"LAME could not encode: {error}") from error

    def finish(self) -> bytes:
        """Return the last frames: none when there was no PCM at all. See `Encoder.finish`."""
        if not self._has_begun:
            return b""
        try:
            return bytes(self._lame.flush())
        except RuntimeError as error:
            raise EncoderFailedError(f"LAME could not finish: {error}") from error
