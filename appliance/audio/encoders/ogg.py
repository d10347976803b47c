"""Ogg pages.

Owns: the page's layout and checksum. Refuses to know: what the packets inside mean.

Source: RFC 3533, 6 (the Ogg page format).
"""

from __future__ import annotations

import secrets
import struct
import zlib

MAX_LACING_VALUES = 255
FULL_LACING_VALUE = 255
CRC_OFFSET_BYTES = 22
BEGINS_STREAM = 0x02
ENDS_STREAM = 0x04

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class OggStream:
    """Writes the pages of one logical stream; every packet begins and ends within its page."""

    def __init__(self) -> None:
        self._serial = secrets.randbits(32)
        self._sequence = 0

    def page(self, packets: list[bytes], *, granule: int, is_last: bool = False) -> bytes:
        """Return the stream's next page.

        Args:
            packets: Whole packets, together at most 255 lacing values (a packet of n bytes has n // 255 + 1).
            granule: Position in the audio at the page's end, in the units of the stream's format.
            is_last: Whether the stream ends with this page.
        """
        lacing = b"".join(_lacing_values(len(packet)) for packet in packets)
        assert len(lacing) <= MAX_LACING_VALUES
        flags = (0 if self._sequence else BEGINS_STREAM) | (ENDS_STREAM if is_last else 0)
        header = struct.pack(
            "<4sBBqIIIB", b"OggS", 0, flags, granule, self._serial, self._sequence, 0, len(lacing)
        )
        self._sequence += 1
        page = bytearray(b"".join([header, lacing, *packets]))
        struct.pack_into("<I", page, CRC_OFFSET_BYTES, ogg_checksum(page))
        return bytes(page)


def ogg_checksum(page: bytes | bytearray) -> int:
    """Return Ogg's CRC-32 of a page whose checksum field is zero.

    It has zlib's polynomial, but takes the bits in the other order and neither starts nor ends with
    an inversion; so zlib computes it on mirrored bytes, from the start value that undoes its inversion.
    """
    checksum = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(checksum.to_bytes(4, "little").translate(_MIRRORED), "big")


def _lacing_values(packet_bytes: int) -> bytes:
    full, rest = divmod(packet_bytes, FULL_LACING_VALUE)
    return bytes([FULL_LACING_VALUE] * full + [rest])
