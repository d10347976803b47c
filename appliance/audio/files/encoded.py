"""Files that are what is streamed, with exact sizes in front.

Owns: what is written anew at the end.
Refuses to know: formats.
"""

from __future__ import annotations

from typing import BinaryIO

from appliance.audio.encoders import create_encoder, exact_header
from appliance.audio.files.tags import Tags
from appliance.speech import AudioFormat


class EncodedFile:
    """An encoder's bytes in a file. See `AudioFile`."""

    def __init__(self, file: BinaryIO, audio_format: AudioFormat, sample_rate_hz: int) -> None:
        self._file = file
        self._encoder = create_encoder(audio_format, sample_rate_hz)
        self._pcm_bytes = 0

    def write(self, pcm: bytes) -> None:
        """Write the bytes that are ready after this PCM. See `AudioFile.write`."""
        self._pcm_bytes += len(pcm)
        self._file.write(self._encoder.encode(pcm))

    def finish(self, tags: Tags) -> None:  # noqa: ARG002 (these formats say nothing yet)
        """Write the last bytes, and the header anew. See `AudioFile.finish`."""
        self._file.write(self._encoder.finish())
        end = self._file.tell()
        self._file.seek(0)
        self._file.write(exact_header(self._encoder, self._pcm_bytes))
        self._file.seek(end)
