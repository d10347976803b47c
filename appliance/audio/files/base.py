"""What a job needs of the file that its audio is written to.

Owns: the `AudioFile` protocol. Refuses to know: any format.
"""

from __future__ import annotations

from typing import Protocol

from appliance.audio.files.tags import Tags


class AudioFile(Protocol):
    """Encodes PCM into a file.

    A plain blocking object, used by one thread at a time, whose memory doesn't grow with the audio. It may
    be dropped at any time, and leaves closing to whoever has opened the file. After an error or `finish` it
    isn't used again.
    """

    def write(self, pcm: bytes) -> None:
        """Take more PCM.

        Args:
            pcm: Whole frames, int16 little-endian mono, at the sample rate the file was begun with.

        Raises:
            EncoderFailedError: The PCM isn't whole frames, or the library failed.
            OSError: It can't be written.
        """

    def finish(self, tags: Tags) -> None:
        """End the file, which is whole then.

        Args:
            tags: What it says about its audio.

        Raises:
            EncoderFailedError: The library failed.
            OSError: It can't be written.
        """
