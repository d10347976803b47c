"""Wire frames: bytes in, frames out, without any I/O.

Owns: the header, its limits, and the one decoder that both ends use.
Refuses to know: what a frame's meta means (`messages`), sockets (`stream_channel`, `blocking_channel`).

    0       2         3      4              8               12                20
    +-------+---------+------+--------------+---------------+-----------------+------+---------+
    | magic | version | kind | meta length  | payload length| utterance id    | meta | payload |
    | 2s    | B       | B    | I <= 64 KiB  | I <= 1 MiB    | Q               | JSON | raw PCM |
    +-------+---------+------+--------------+---------------+-----------------+------+---------+

All numbers are big-endian. Lengths are checked before anything is allocated for them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from appliance.errors import (
    BadMagicError,
    FrameTooLargeError,
    TruncatedFrameError,
    UnknownKindError,
    UnsupportedVersionError,
)

MAGIC = b"TS"
VERSION = 1
HEADER = struct.Struct(">2sBBIIQ")
MAX_META_BYTES = 64 * 1024
MAX_PAYLOAD_BYTES = 1024 * 1024


class Kind(IntEnum):
    """What a wire frame carries."""

    HELLO = 1
    SYNTHESIZE = 2
    AUDIO = 3
    DONE = 4
    FAILED = 5
    CANCEL = 6
    GRANT = 7
    HEARTBEAT = 8
    DRAIN = 9


_KINDS = {int(kind): kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Frame:
    """One wire frame."""

    kind: Kind
    utterance_id: int
    """Which utterance it belongs to, 0 … 2⁶⁴ − 1; 0 for frames about the connection itself."""
    meta: bytes = b""
    """JSON, at most `MAX_META_BYTES`; empty means `{}`."""
    payload: bytes = b""
    """Raw bytes, at most `MAX_PAYLOAD_BYTES`."""


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of a wire frame.

    Raises:
        FrameTooLargeError: Meta or payload is longer than its limit.
    """
    _check_lengths(len(frame.meta), len(frame.payload))
    header = HEADER.pack(MAGIC, VERSION, frame.kind, len(frame.meta), len(frame.payload), frame.utterance_id)
    return b"".join((header, frame.meta, frame.payload))


class FrameDecoder:
    """Turns a byte stream into wire frames; holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes in and yield every frame that they complete.

        The iterator must be exhausted before the next call.

        Raises:
            ProtocolError: One of its children says how the stream is broken; the decoder is then no
                more use.
        """
        if self._buffer:
            self._buffer += data
            source: bytes | bytearray = self._buffer
        else:
            source = data
        position = 0
        while True:
            frame, length = _parse(source, position)
            if frame is None:
                break
            position += length
            yield frame
        if source is self._buffer:
            del self._buffer[:position]
        else:
            self._buffer += memoryview(source)[position:]

    def finish(self) -> None:
        """Tell that the stream has ended.

        Raises:
            TruncatedFrameError: It ended inside a frame.
        """
        if self._buffer:
            raise TruncatedFrameError


def _parse(source: bytes | bytearray, position: int) -> tuple[Frame | None, int]:
    """Return the frame at a position and its length in bytes, or None while it is incomplete."""
    if len(source) - position < HEADER.size:
        _check_start(source[position : position + 3])
        return None, 0
    magic, version, kind, meta_bytes, payload_bytes, utterance_id = HEADER.unpack_from(source, position)
    _check_start(bytes((*magic, version)))
    if kind not in _KINDS:
        message = f"The wire frame is of an unknown kind: {kind}"
        raise UnknownKindError(message)
    _check_lengths(meta_bytes, payload_bytes)
    meta_at = position + HEADER.size
    payload_at = meta_at + meta_bytes
    end = payload_at + payload_bytes
    if len(source) < end:
        return None, 0
    meta, payload = bytes(source[meta_at:payload_at]), bytes(source[payload_at:end])
    return Frame(_KINDS[kind], utterance_id, meta, payload), end - position


def _check_start(start: bytes | bytearray) -> None:
    """Refuse a wrong magic or version as soon as it can be seen, however few bytes there are."""
    if not MAGIC.startswith(start[:2]):
        raise BadMagicError
    if len(start) > 2 and start[2] != VERSION:  # noqa: PLR2004 (the version stands behind the magic)
        message = f"The wire frame has protocol version {start[2]}, ours is {VERSION}"
        raise UnsupportedVersionError(message)


def _check_lengths(meta_bytes: int, payload_bytes: int) -> None:
    if meta_bytes > MAX_META_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        message = f"The wire frame announces {meta_bytes} bytes of meta and {payload_bytes} of payload"
        raise FrameTooLargeError(message)
