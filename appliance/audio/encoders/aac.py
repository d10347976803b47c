"""AAC as an ADTS stream: every frame carries its own header, nothing stands in front of them.

Owns: the aac format, its compression and the ADTS header. Refuses to know: MP4.

Source: ISO/IEC 13818-7, 6.2 (`adts_fixed_header`, `adts_variable_header`).
"""

from __future__ import annotations

from typing import ClassVar

from appliance.audio.encoders.packets import CompressedPacket, PacketEncoder
from appliance.errors import EncoderFailedError
from appliance.speech import AudioFormat

BIT_RATE = 64_000
OPTIONS = {"aac_coder": "fast", "aac_tns": "0"}
"""A fifth of the default's work. Source: docs/benchmarks.md, Encoders."""

RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
"""Sample rates in the order of their ADTS index."""

ADTS_HEADER_BYTES = 7
AAC_LC_PROFILE = 1
MONO = 1
VARIABLE_RATE_FULLNESS = 0x7FF


class AacEncoder:
    """AAC-LC in ADTS, about 64 kbit/s, mono, at the voice's own rate. See `Encoder`."""

    format: ClassVar[AudioFormat] = AudioFormat.AAC
    media_type: ClassVar[str] = "audio/aac"

    def __init__(self, sample_rate_hz: int) -> None:
        self._packets = aac_packets(sample_rate_hz)
        self._rate_index = RATES_HZ.index(sample_rate_hz)

    def encode(self, pcm: bytes) -> bytes:
        """Return the frames that are ready after this PCM. See `Encoder.encode`."""
        return self._with_headers(self._packets.encode(pcm))

    def finish(self) -> bytes:
        """Return the last frames: none when there was no PCM at all. See `Encoder.finish`."""
        return self._with_headers(self._packets.finish())

    def _with_headers(self, packets: list[CompressedPacket]) -> bytes:
        return b"".join(
            adts_header(self._rate_index, len(packet.payload)) + packet.payload for packet in packets
        )


def aac_packets(sample_rate_hz: int) -> PacketEncoder:
    """Return what compresses PCM of a rate into packets of AAC, 1,024 frames each.

    Raises:
        EncoderFailedError: AAC hasn't got the rate.
    """
    if sample_rate_hz not in RATES_HZ:
        raise EncoderFailedError(f"AAC has no sample rate of {sample_rate_hz} Hz")
    rates_hz = (sample_rate_hz, sample_rate_hz)
    return PacketEncoder("aac", rates_hz, sample_format="fltp", options=OPTIONS, bit_rate=BIT_RATE)


def adts_header(rate_index: int, payload_bytes: int) -> bytes:
    """Return the 7 bytes in front of one frame: no checksum, one raw data block, mono AAC-LC.

    Args:
        rate_index: Place of the sample rate in `RATES_HZ`.
        payload_bytes: Size of the frame behind the header.
    """
    fields = (
        (0xFFF, 12),  # sync word
        (0b0001, 4),  # MPEG-4, layer 0, no checksum
        (AAC_LC_PROFILE, 2),
        (rate_index, 4),
        (0, 1),  # private bit
        (MONO, 3),
        (0, 4),  # neither original nor home, no copyright identification
        (ADTS_HEADER_BYTES + payload_bytes, 13),
        (VARIABLE_RATE_FULLNESS, 11),
        (0, 2),  # one raw data block
    )
    header = 0
    for value, width_bits in fields:
        header = header << width_bits | value
    return header.to_bytes(ADTS_HEADER_BYTES, "big")
