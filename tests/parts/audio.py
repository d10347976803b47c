"""PCM to encode, and a decoder to see what became of it."""

from __future__ import annotations

import array
import io
import math
import random

import av

from appliance.audio.encoders import create_encoder
from appliance.speech import AudioFormat

RATE_HZ = 22050


def voice_like(frames: int, rate_hz: int = RATE_HZ, amplitude: int = 9000) -> bytes:
    """Return PCM with a gliding pitch, harmonics, syllables and a little noise."""
    noise = random.Random(7)
    samples = array.array("h")
    phase = 0.0
    for frame in range(frames):
        time_s = frame / rate_hz
        phase += 2 * math.pi * (120 + 40 * math.sin(2.1 * time_s)) / rate_hz
        tone = math.sin(phase) + 0.5 * math.sin(3 * phase) + 0.25 * math.sin(7 * phase)
        loudness = 0.55 + 0.45 * math.sin(2 * math.pi * 3.7 * time_s)
        samples.append(round(amplitude * loudness * tone / 1.75 + noise.gauss(0, 30)))
    return samples.tobytes()


def samples_of(pcm: bytes) -> array.array[int]:
    return array.array("h", pcm)


def in_pieces(pcm: bytes, frames: int) -> list[bytes]:
    return [pcm[start : start + 2 * frames] for start in range(0, len(pcm), 2 * frames)]


def stream(audio_format: AudioFormat, pieces: list[bytes], rate_hz: int = RATE_HZ) -> bytes:
    """Encode piece by piece, as the gateway does while it streams."""
    encoder = create_encoder(audio_format, rate_hz)
    return b"".join([*map(encoder.encode, pieces), encoder.finish()])


def decode(audio_format: AudioFormat, data: bytes, rate_hz: int = RATE_HZ) -> bytes:
    """Return the PCM that a player would get, at the given rate."""
    hints = {"sample_rate": "24000", "ch_layout": "mono"} if audio_format is AudioFormat.PCM else {}
    demuxer = "s16le" if audio_format is AudioFormat.PCM else None
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
    decoded = bytearray()
    with av.open(io.BytesIO(data), "r", format=demuxer, options=hints) as container:
        for frame in [*container.decode(audio=0), None]:
            if frame is not None:
                frame.pts = None  # pieces behind one another count their time anew
            for part in resampler.resample(frame):
                decoded += bytes(part.planes[0])[: 2 * part.samples]
    return bytes(decoded)


def signal_to_noise_db(original: bytes, decoded: bytes, delay_frames: int) -> float:
    """Return how far the difference lies below the original, in decibels, over the original's length."""
    wanted, got = samples_of(original), samples_of(decoded)[delay_frames:]
    pairs = list(zip(wanted, got, strict=False))
    noise = sum((left - right) ** 2 for left, right in pairs)
    return 10 * math.log10(sum(left**2 for left, _ in pairs) / max(1, noise))


def heard_s(audio_format: str, data: bytes) -> float:
    """Return the seconds of audio that a player would get."""
    return len(decode(AudioFormat(audio_format), data)) / 2 / RATE_HZ
