"""Bytes into a decoder, as a socket puts them there."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.ipc.frames import Frame, FrameDecoder


def feed(decoder: FrameDecoder, data: bytes) -> Iterator[Frame]:
    """Yield the frames that these bytes complete, put in piece by piece: as much as there is room for."""
    while data:
        room = decoder.room()
        count = min(len(room), len(data))
        room[:count] = data[:count]
        yield from decoder.take(count)
        data = data[count:]
