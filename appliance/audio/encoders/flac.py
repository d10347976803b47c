"""FLAC: lossless, with nothing in front but the STREAMINFO block.

Owns: the flac format. Refuses to know: tags, seek tables and padding.

Source: RFC 9639, 6 (the `fLaC` marker) and 8.1 (metadata block header).
"""

from __future__ import annotations

from typing import ClassVar

from appliance.audio.encoders.packets import PacketEncoder
from appliance.speech import AudioFormat

OPTIONS = {"compression_level": "5", "frame_size": "1152"}
"""Frames of 52 ms at 22.05 kHz, so that the first chunk of an utterance already sounds."""

MARKER = b"fLaC"
LAST_BLOCK_IS_STREAMINFO = 0x80


class FlacEncoder:
    """FLAC of 16 bits, mono, at the voice's own rate. See `Encoder`.

    Streamed, total samples and MD5 are unknown when the header leaves and stay 0, which the format allows.
    """

    format: ClassVar[AudioFormat] = AudioFormat.FLAC
    media_type: ClassVar[str] = "audio/flac"

    def __init__(self, sample_rate_hz: int, *, is_whole: bool = False) -> None:
        self._packets = PacketEncoder(
            "flac", (sample_rate_hz, sample_rate_hz), sample_format="s16", options=OPTIONS
        )
        self._is_whole = is_whole
        self._unsent = [] if is_whole else [self.header()]

    def encode(self, pcm: bytes) -> bytes:
        """Return the frames that are ready after this PCM; whole, nothing. See `Encoder.encode`."""
        self._unsent += [packet.payload for packet in self._packets.encode(pcm)]
        return b"" if self._is_whole else self._take()

    def finish(self) -> bytes:
        """Return the last frames; whole, all of them behind an exact header. See `Encoder.finish`."""
        self._unsent += [packet.payload for packet in self._packets.finish()]
        if self._is_whole:
            self._unsent.insert(0, self.header())
        return self._take()

    def header(self) -> bytes:
        """Return what stands in front: behind `finish` with the length and the sum of all samples."""
        streaminfo = self._packets.header
        return MARKER + bytes([LAST_BLOCK_IS_STREAMINFO]) + len(streaminfo).to_bytes(3, "big") + streaminfo

    def _take(self) -> bytes:
        taken = b"".join(self._unsent)
        self._unsent = []
        return taken
