"""Opus in Ogg.

Owns: the opus format: when an Ogg page leaves, and what it says about time.
Refuses to know: how a page is written (`ogg`).

Every call's packets leave at once as one page, so no sound waits for a page to fill.

Source: RFC 7845 (Ogg encapsulation for Opus).
"""

from __future__ import annotations

import struct
from typing import ClassVar

from appliance.audio.encoders.ogg import OggStream
from appliance.audio.encoders.packets import CompressedPacket, PacketEncoder
from appliance.speech import AudioFormat

BIT_RATE = 48_000
OPTIONS = {"application": "audio", "compression_level": "5", "vbr": "constrained"}
"""A third of the default's work. Source: docs/benchmarks.md, Encoders."""

RATES_HZ = (8000, 12000, 16000, 24000, 48000)
"""What Opus takes; a voice of another rate is resampled to the next higher one."""

GRANULE_RATE_HZ = 48_000
"""Ogg pages count an Opus stream's time at this rate, whatever its sample rate. Source: RFC 7845, 4."""

PAGE_PACKETS = 50
"""At most a second of audio in a page, as players expect for seeking. Source: RFC 7845, 6."""

PRE_SKIP_OFFSET_BYTES = 10
"""Where `OpusHead` says how much a decoder drops at the beginning. Source: RFC 7845, 5.1."""

VENDOR = b"libopus"


class OpusEncoder:
    """Opus in Ogg, 48 kbit/s, mono. See `Encoder`."""

    format: ClassVar[AudioFormat] = AudioFormat.OPUS
    media_type: ClassVar[str] = "audio/ogg"

    def __init__(self, sample_rate_hz: int) -> None:
        rate_hz = next((rate for rate in RATES_HZ if rate >= sample_rate_hz), RATES_HZ[-1])
        self._granules_per_tick = GRANULE_RATE_HZ // rate_hz
        self._packets = PacketEncoder(
            "libopus",
            (sample_rate_hz, rate_hz),
            sample_format="s16",
            options=OPTIONS,
            bit_rate=BIT_RATE,
        )
        self._ogg = OggStream()
        head = self._packets.header
        self._pre_skip = int.from_bytes(head[PRE_SKIP_OFFSET_BYTES : PRE_SKIP_OFFSET_BYTES + 2], "little")
        tags = b"OpusTags" + struct.pack("<I", len(VENDOR)) + VENDOR + struct.pack("<I", 0)
        self._headers = self._ogg.page([head], granule=0) + self._ogg.page([tags], granule=0)

    def encode(self, pcm: bytes) -> bytes:
        """Return the pages that are ready after this PCM, the headers first. See `Encoder.encode`."""
        return self._pages(self._packets.encode(pcm), is_end=False)

    def finish(self) -> bytes:
        """Return the last page: without any PCM, an empty one. See `Encoder.finish`."""
        return self._pages(self._packets.finish(), is_end=True)

    def _pages(self, packets: list[CompressedPacket], *, is_end: bool) -> bytes:
        pages = [self._headers]
        self._headers = b""
        for start in range(0, len(packets), PAGE_PACKETS):
            group = packets[start : start + PAGE_PACKETS]
            is_last = is_end and start + PAGE_PACKETS >= len(packets)
            pages.append(
                self._ogg.page(
                    [packet.payload for packet in group], granule=self._granule(group[-1]), is_last=is_last
                )
            )
        if is_end and not packets:
            pages.append(self._ogg.page([], granule=0, is_last=True))
        return b"".join(pages)

    def _granule(self, packet: CompressedPacket) -> int:
        """Return the granule position of a page that ends with this packet."""
        return packet.end_ticks * self._granules_per_tick + self._pre_skip
