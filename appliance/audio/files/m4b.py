"""m4b: AAC in an MP4 file, with chapters and tags, as players of audio books want it.

Owns: the file while it grows.
Refuses to know: boxes (`mp4`).
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from appliance.audio.encoders.aac import BIT_RATE, aac_packets
from appliance.audio.encoders.packets import CompressedPacket
from appliance.audio.files.mp4 import FRAMES_PER_PACKET, Movie, begin_movie, finish_movie
from appliance.audio.files.tags import Tags
from appliance.speech import SAMPLE_WIDTH_BYTES


class M4bFile:
    """An m4b file that is written. See `AudioFile`."""

    def __init__(self, file: BinaryIO, scratch: BinaryIO, sample_rate_hz: int) -> None:
        self._file = file
        self._sizes = scratch
        self._rate_hz = sample_rate_hz
        self._encoder = aac_packets(sample_rate_hz)
        self._packets = 0
        self._pcm_bytes = 0
        begin_movie(file)

    def write(self, pcm: bytes) -> None:
        """Write the packets that are ready after this PCM. See `AudioFile.write`."""
        self._pcm_bytes += len(pcm)
        self._add(self._encoder.encode(pcm))

    def finish(self, tags: Tags) -> None:
        """Write the last packets and all tables. See `AudioFile.finish`."""
        self._add(self._encoder.finish())
        movie = Movie(
            rate_hz=self._rate_hz,
            packets=self._packets,
            pcm_frames=self._pcm_bytes // SAMPLE_WIDTH_BYTES,
            delay_frames=FRAMES_PER_PACKET,
            bit_rate=BIT_RATE,
            decoder_setup=self._encoder.header,
        )
        finish_movie(self._file, self._sizes, movie, tags)

    def _add(self, packets: list[CompressedPacket]) -> None:
        self._packets += len(packets)
        self._file.writelines(packet.payload for packet in packets)
        self._sizes.writelines(struct.pack(">I", len(packet.payload)) for packet in packets)
