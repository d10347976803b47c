"""What a client hears: every format decoded back to PCM."""

from __future__ import annotations

import io
from dataclasses import dataclass

import av

SUFFIXES = {"mp3": "mp3", "opus": "ogg", "aac": "aac", "flac": "flac", "wav": "wav"}
PCM_RATE_HZ = 24_000


@dataclass(frozen=True)
class Heard:
    """Decoded audio: int16 little-endian mono."""

    pcm: bytes
    sample_rate_hz: int

    @property
    def audio_s(self) -> float:
        return len(self.pcm) / 2 / self.sample_rate_hz


def decode(data: bytes, audio_format: str) -> Heard:
    """Decode an answer's bytes; any fault in them raises."""
    if audio_format == "pcm":
        assert len(data) % 2 == 0
        return Heard(data, PCM_RATE_HZ)
    with av.open(io.BytesIO(data), format=SUFFIXES[audio_format]) as container:
        stream = container.streams.audio[0]
        rate_hz = stream.codec_context.sample_rate
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
        frames = [out for frame in container.decode(stream) for out in resampler.resample(frame)]
        frames += resampler.resample(None)
    return Heard(b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames), rate_hz)
