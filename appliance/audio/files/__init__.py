"""Audio files: what is streamed, and m4b.

Owns: which class writes which format.
Refuses to know: jobs, HTTP, where a file lies.
"""

from __future__ import annotations

from typing import BinaryIO

from appliance.audio.encoders import DELAYS_FRAMES, MEDIA_TYPES
from appliance.audio.files.base import AudioFile
from appliance.audio.files.encoded import EncodedFile
from appliance.audio.files.m4b import M4bFile
from appliance.audio.files.tags import MAX_CHAPTERS, Chapter, Tags
from appliance.speech import JobFormat

__all__ = ["FILE_TYPES", "MAX_CHAPTERS", "AudioFile", "Chapter", "Tags", "begin_file", "delay_frames"]

FILE_TYPES = {each: MEDIA_TYPES[each.audio_format] for each in JobFormat} | {JobFormat.M4B: "audio/mp4"}
"""Content type of each format."""


def begin_file(job_format: JobFormat, file: BinaryIO, scratch: BinaryIO, sample_rate_hz: int) -> AudioFile:
    """Begin an audio file.

    Args:
        job_format: What it becomes.
        file: Empty, open for writing; what is written isn't forced to the disk.
        scratch: Empty, open for writing and reading; not needed any more once the file is finished.
        sample_rate_hz: Hertz, of the PCM to come.

    Raises:
        EncoderFailedError: The sample rate isn't within 8,000 to 48,000 Hz, or the format hasn't got it.
        OSError: It can't be written.
    """
    if job_format is JobFormat.M4B:
        return M4bFile(file, scratch, sample_rate_hz)
    return EncodedFile(file, job_format.audio_format, sample_rate_hz)


def delay_frames(job_format: JobFormat) -> int:
    """Return the PCM frames of silence that a player hears first; m4b tells it to skip them."""
    return 0 if job_format is JobFormat.M4B else DELAYS_FRAMES[job_format.audio_format]
