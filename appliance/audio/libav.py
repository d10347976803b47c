"""The border to libav: PCM as bytes on our side, audio frames on its side.

Owns: the conversion of PCM into libav's frames and back, and of its errors into ours; how many threads libav
makes: none.
Refuses to know: which format or filter the frames are for.

libav's objects are freed when they are dropped, finished or not; nothing has to be closed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av

from appliance.audio.pcm import require_sample_rate, require_whole_frames
from appliance.errors import EncoderFailedError
from appliance.speech import SAMPLE_WIDTH_BYTES

PCM_FORMAT = "s16"
"""libav's name for int16 samples; our machines are little-endian."""
LAYOUT = "mono"


def _keep_libav_in_our_threads() -> None:
    """Make libav believe in one core.

    It gives each filter graph, thus each encoder and resampler, a thread per core and one more, and waits for
    them at every frame. One mono voice gives them nothing to share, and where the engine keeps the cores busy
    a first sound waited up to 4 ms for them, a tick of the kernel's. PyAV offers no setting for the
    graph inside its encoders; `av_cpu_force_count` is libav's own, of FFmpeg's libavutil/cpu.h.
    """
    loaded = Path("/proc/self/maps").read_text("utf-8").split()
    library = next(each for each in loaded if "/libavutil" in each)
    ctypes.CDLL(library).av_cpu_force_count(1)


_keep_libav_in_our_threads()


@contextmanager
def libav_errors(what: str) -> Iterator[None]:
    """Turn libav's errors into ours.

    Args:
        what: Which part of the work is done inside, for the message.

    Raises:
        EncoderFailedError: libav refused or failed.
    """
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        raise EncoderFailedError(f"libav could not do the {what}: {error}") from error


class FrameMaker:
    """Wraps PCM into libav's audio frames, counting the time on."""

    def __init__(self, sample_rate_hz: int) -> None:
        """Take the rate of the PCM.

        Raises:
            EncoderFailedError: The rate isn't within 8,000 to 48,000 Hz.
        """
        require_sample_rate(sample_rate_hz)
        self._sample_rate_hz = sample_rate_hz
        self._time_base = Fraction(1, sample_rate_hz)
        self.made_frames = 0
        """PCM frames wrapped so far."""

    def wrap(self, pcm: bytes) -> av.AudioFrame:
        """Return the PCM as libav's next audio frame.

        Args:
            pcm: Whole PCM frames, int16 little-endian mono, at least one.

        Raises:
            EncoderFailedError: The PCM ends in the middle of a sample.
        """
        require_whole_frames(pcm)
        count = len(pcm) // SAMPLE_WIDTH_BYTES
        frame = av.AudioFrame(format=PCM_FORMAT, layout=LAYOUT, samples=count)
        frame.sample_rate = self._sample_rate_hz
        frame.time_base = self._time_base
        frame.pts = self.made_frames
        frame.planes[0].update(pcm)
        self.made_frames += count
        return frame


def unwrap(frame: av.AudioFrame) -> bytes:
    """Return the PCM inside libav's audio frame (int16 mono)."""
    return bytes(frame.planes[0])[: frame.samples * SAMPLE_WIDTH_BYTES]
