"""PCM as bytes: joining utterances, silence, loudness.

Owns: what is done to int16 little-endian mono samples between the engine and the encoder.
Refuses to know: formats, encoders and where the PCM comes from.
"""

from __future__ import annotations

import math
import operator
import struct

from appliance.errors import EncoderFailedError
from appliance.speech import SAMPLE_WIDTH_BYTES, PcmChunk

FADE_IN_S = 0.003
"""An utterance's first milliseconds rise from silence, so that it never begins with a click."""

FADE_OUT_S = 0.005
"""An utterance's last milliseconds fall to silence: engines with an echo end in the middle of it."""

FULL_SCALE = 32768
"""The largest magnitude of an int16 sample: 0 dBFS."""


MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000
"""Sample rates that every format can carry. Source: MPEG-2.5 layer III and RFC 6716 (Opus)."""


def require_sample_rate(sample_rate_hz: int) -> None:
    """Check a sample rate: libav's filters abort the process over an absurd one.

    Raises:
        EncoderFailedError: It isn't within 8,000 to 48,000 Hz.
    """
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise EncoderFailedError(
            f"a sample rate of {sample_rate_hz} Hz isn't within {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
        )


def require_whole_frames(pcm: bytes) -> None:
    """Check that PCM doesn't end in the middle of a sample.

    Raises:
        EncoderFailedError: It does.
    """
    if len(pcm) % SAMPLE_WIDTH_BYTES:
        raise EncoderFailedError(f"{len(pcm)} bytes of PCM aren't whole int16 frames")


def silence(duration_s: float, sample_rate_hz: int) -> bytes:
    """Return PCM of zeros, rounded to whole frames; nothing where the duration isn't positive."""
    return bytes(SAMPLE_WIDTH_BYTES * max(0, round(duration_s * sample_rate_hz)))


def rms_level_dbfs(pcm: bytes) -> float:
    """Return the loudness of PCM in decibels below full scale: −inf for silence or no audio.

    A square wave of full amplitude has 0, a sine of full amplitude −3.01.
    Costs about 50 ms per minute of audio.

    Raises:
        EncoderFailedError: The PCM isn't whole frames.
    """
    samples = _samples(pcm)
    energy = sum(map(operator.mul, samples, samples))
    if not energy:
        return -math.inf
    return 10 * math.log10(energy / len(samples) / FULL_SCALE**2)


class PcmJoiner:
    """Joins the utterances of one request without clicks; loses and adds no PCM frame by itself.

    Each utterance fades in and out. Of every chunk but an utterance's last, only the few milliseconds
    that may turn out to be the end are held back, so the first sound leaves with the first chunk.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        """Take the rate of all chunks to come.

        Args:
            sample_rate_hz: Hertz.
        """
        self._sample_rate_hz = sample_rate_hz
        self._fade_in_frames = round(FADE_IN_S * sample_rate_hz)
        self._fade_out_bytes = round(FADE_OUT_S * sample_rate_hz) * SAMPLE_WIDTH_BYTES
        self._held = b""
        self._taken_frames = 0
        self._silent_tail_bytes = 0

    def feed(self, chunk: PcmChunk) -> bytes:
        """Return what may leave now: everything when the chunk is its utterance's last.

        Args:
            chunk: The request's next chunk, at the joiner's sample rate.

        Raises:
            EncoderFailedError: The chunk has another sample rate, or its PCM isn't whole frames.
        """
        if chunk.sample_rate_hz != self._sample_rate_hz:
            raise EncoderFailedError(
                f"PCM at {chunk.sample_rate_hz} Hz can't be joined to PCM at {self._sample_rate_hz} Hz"
            )
        require_whole_frames(chunk.pcm)
        head, end = self._cut_end(self._fade_in(chunk.pcm))
        if chunk.is_last:
            self._taken_frames = 0
            head.append(_ramp(end, is_rising=False))
            end = b""
        self._held = end
        return self._note_tail(b"".join(head))

    def pause(self, pause_s: float) -> bytes:
        """Return the silence that is still missing between two utterances.

        Silence that the engine has left at the utterance's end counts, so that pauses are ours
        whatever an engine does; it is never cut.

        Args:
            pause_s: Seconds of silence wanted behind the utterance that has just ended.
        """
        wanted = silence(pause_s, self._sample_rate_hz)
        return wanted[: max(0, len(wanted) - self._silent_tail_bytes)]

    def _fade_in(self, pcm: bytes) -> bytes:
        done = self._taken_frames
        self._taken_frames += len(pcm) // SAMPLE_WIDTH_BYTES
        if done >= self._fade_in_frames:
            return pcm
        edge = (self._fade_in_frames - done) * SAMPLE_WIDTH_BYTES
        return _ramp(pcm[:edge], is_rising=True, start=done, whole=self._fade_in_frames) + pcm[edge:]

    def _cut_end(self, pcm: bytes) -> tuple[list[bytes | memoryview], bytes]:
        """Return all but what may be the end, in parts so that it is copied only once, and what may be it."""
        edge = len(pcm) - self._fade_out_bytes
        if edge >= 0:
            return [self._held, memoryview(pcm)[:edge]], pcm[edge:]
        pcm = self._held + pcm
        edge = max(0, len(pcm) - self._fade_out_bytes)
        return [pcm[:edge]], pcm[edge:]

    def _note_tail(self, pcm: bytes) -> bytes:
        """Count the zeros that the joined PCM ends with, in whole frames."""
        zeros = len(pcm) - len(pcm.rstrip(b"\0"))
        zeros -= zeros % SAMPLE_WIDTH_BYTES
        self._silent_tail_bytes = zeros + (self._silent_tail_bytes if zeros == len(pcm) else 0)
        return pcm


def _ramp(pcm: bytes, *, is_rising: bool, start: int = 0, whole: int = 0) -> bytes:
    """Scale each sample by its place on a straight line between 0 and 1.

    Args:
        pcm: The few frames to scale.
        is_rising: Whether the line goes from 0 up to 1, or from 1 down to 0.
        start: Place of the first frame on the line.
        whole: Frames of the whole line; 0 for as many as there are.
    """
    samples = _samples(pcm)
    whole = whole or len(samples)
    if is_rising:
        scaled = [sample * (start + place) // whole for place, sample in enumerate(samples)]
    else:
        scaled = [sample * (whole - 1 - place) // whole for place, sample in enumerate(samples)]
    return struct.pack(f"<{len(samples)}h", *scaled)


def _samples(pcm: bytes) -> tuple[int, ...]:
    require_whole_frames(pcm)
    return struct.unpack(f"<{len(pcm) // SAMPLE_WIDTH_BYTES}h", pcm)
