"""Another sample rate for PCM.

Owns: the resampler. Refuses to know: why somebody wants another rate.
"""

from __future__ import annotations

import av

from appliance.audio.libav import LAYOUT, PCM_FORMAT, FrameMaker, libav_errors, unwrap
from appliance.audio.pcm import require_sample_rate

SLICE_BYTES = 16_384
"""libav keeps buffers of several times the largest slice for as long as the stream lasts: with an engine's
whole chunk, 192 KiB, that was 3 MB for each listener."""


class Resampler:
    """Changes the sample rate of a stream of PCM (int16 little-endian mono).

    Blocking; one thread at a time. Audio of less than a millisecond in all may come out empty.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Take both rates.

        Raises:
            EncoderFailedError: A rate isn't within 8,000 to 48,000 Hz.
        """
        require_sample_rate(to_hz)
        self._frames = FrameMaker(from_hz)
        with libav_errors("resampling"):
            self._resampler = av.AudioResampler(format=PCM_FORMAT, layout=LAYOUT, rate=to_hz)

    def feed(self, pcm: bytes) -> bytes:
        """Return what is ready of the PCM at the new rate; the last half millisecond stays inside.

        Raises:
            EncoderFailedError: The PCM isn't whole frames, or libav failed.
        """
        slices = (pcm[start : start + SLICE_BYTES] for start in range(0, len(pcm), SLICE_BYTES))
        with libav_errors("resampling"):
            return b"".join(
                unwrap(frame)
                for each in slices
                for frame in self._resampler.resample(self._frames.wrap(each))
            )

    def finish(self) -> bytes:
        """Return the rest; nothing may be fed any more.

        Raises:
            EncoderFailedError: libav failed.
        """
        if not self._frames.made_frames:
            return b""
        with libav_errors("resampling"):
            return b"".join(map(unwrap, self._resampler.resample(None)))
