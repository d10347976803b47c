"""WAV: a header of 44 bytes and the PCM as it is.

Owns: the wav format. Refuses to know: every chunk but `fmt ` and `data`.

Source: Microsoft and IBM, Multimedia Programming Interface and Data Specifications 1.0 (RIFF, WAVE).
"""

from __future__ import annotations

import struct
from typing import ClassVar

from appliance.audio.pcm import require_whole_frames
from appliance.speech import SAMPLE_WIDTH_BYTES, AudioFormat

HEADER_BYTES = 44
UNKNOWN_SIZE = 0xFFFFFFFF
"""Stands in both size fields when the size isn't known yet. Source: what OpenAI's service streams."""

RIFF_OVERHEAD_BYTES = HEADER_BYTES - 8
FMT_BYTES = 16
LINEAR_PCM = 1
CHANNELS = 1


class WavEncoder:
    """WAV of 16 bits, mono, at the voice's own rate. See `Encoder`."""

    format: ClassVar[AudioFormat] = AudioFormat.WAV
    media_type: ClassVar[str] = "audio/wav"

    def __init__(self, sample_rate_hz: int, *, is_whole: bool = False) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._is_whole = is_whole
        self._unsent = [] if is_whole else [wav_header(sample_rate_hz, None)]

    def encode(self, pcm: bytes) -> bytes:
        """Return the PCM, the header in front of the first; whole, nothing. See `Encoder.encode`."""
        require_whole_frames(pcm)
        self._unsent.append(pcm)
        return b"" if self._is_whole else self._take()

    def finish(self) -> bytes:
        """Return nothing more; whole, all the PCM behind an exact header. See `Encoder.finish`."""
        if self._is_whole:
            pcm_bytes = sum(map(len, self._unsent))
            self._unsent.insert(0, wav_header(self.sample_rate_hz, pcm_bytes))
        return self._take()

    def _take(self) -> bytes:
        taken = b"".join(self._unsent)
        self._unsent = []
        return taken


def wav_header(sample_rate_hz: int, pcm_bytes: int | None) -> bytes:
    """Return the 44 bytes in front of the PCM.

    Args:
        sample_rate_hz: Hertz.
        pcm_bytes: Size of all the PCM; None where it isn't known.
    """
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        UNKNOWN_SIZE if pcm_bytes is None else RIFF_OVERHEAD_BYTES + pcm_bytes,
        b"WAVE",
        b"fmt ",
        FMT_BYTES,
        LINEAR_PCM,
        CHANNELS,
        sample_rate_hz,
        sample_rate_hz * CHANNELS * SAMPLE_WIDTH_BYTES,
        CHANNELS * SAMPLE_WIDTH_BYTES,
        8 * SAMPLE_WIDTH_BYTES,
        b"data",
        UNKNOWN_SIZE if pcm_bytes is None else pcm_bytes,
    )
