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
BUFFER_BYTES = 256 * 1024
"""What a decoder can hold at first: more than a socket does. A larger frame gets a buffer of its size."""


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


def frame_parts(frame: Frame) -> tuple[bytes, bytes]:
    """Return the bytes of a wire frame as head and payload, so that a large payload needn't be copied.

    Raises:
        FrameTooLargeError: Meta or payload is longer than its limit.
    """
    _check_lengths(len(frame.meta), len(frame.payload))
    header = HEADER.pack(MAGIC, VERSION, frame.kind, len(frame.meta), len(frame.payload), frame.utterance_id)
    return header + frame.meta, frame.payload


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of a wire frame.

    Raises:
        FrameTooLargeError: Meta or payload is longer than its limit.
    """
    return b"".join(frame_parts(frame))


class FrameDecoder:
    """Turns a byte stream into wire frames; holds at most one unfinished frame.

    The stream is received right into its buffer: `room` says where, `take` says how much came.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(BUFFER_BYTES)
        self._filled = 0
        """Bytes of the unfinished frame, at the buffer's beginning."""

    def room(self) -> memoryview:
        """Return where the next bytes of the stream are to be put: at least one byte."""
        return memoryview(self._buffer)[self._filled :]

    def take(self, count: int) -> Iterator[Frame]:
        """Yield every frame that the bytes which have come complete.

        The iterator must be exhausted before `room` is asked again.

        Args:
            count: Bytes put into `room`.

        Raises:
            ProtocolError: One of its children says how the stream is broken; the decoder is then no
                more use.
        """
        end = self._filled + count
        position = 0
        with memoryview(self._buffer) as view:
            while True:
                frame, length = _parse(view[position:end])
                if frame is None:
                    break
                position += length
                yield frame
            if position or length > len(self._buffer):
                self._keep(view[position:end], length)
            else:
                self._filled = end

    def finish(self) -> None:
        """Tell that the stream has ended.

        Raises:
            TruncatedFrameError: It ended inside a frame.
        """
        if self._filled:
            raise TruncatedFrameError

    def _keep(self, rest: memoryview, frame_bytes: int) -> None:
        """Put an unfinished frame at the beginning of a buffer that will hold it whole."""
        begun = bytes(rest)  # a copy, as the places may overlap
        if frame_bytes > len(self._buffer):
            self._buffer = bytearray(frame_bytes)
        self._buffer[: len(begun)] = begun
        self._filled = len(begun)


def _parse(source: memoryview) -> tuple[Frame | None, int]:
    """Return the frame that the bytes begin with, or None while it is incomplete; and its length in bytes.

    The length of a frame whose header is incomplete is 0.
    """
    if len(source) < HEADER.size:
        _check_start(bytes(source[:3]))
        return None, 0
    magic, version, kind, meta_bytes, payload_bytes, utterance_id = HEADER.unpack_from(source)
    _check_start(bytes((*magic, version)))
    if kind not in _KINDS:
        message = f"The wire frame is of an unknown kind: {kind}"
        raise UnknownKindError(message)
    _check_lengths(meta_bytes, payload_bytes)
    payload_at = HEADER.size + meta_bytes
    end = payload_at + payload_bytes
    if len(source) < end:
        return None, end
    meta, payload = bytes(source[HEADER.size : payload_at]), bytes(source[payload_at:end])
    return Frame(_KINDS[kind], utterance_id, meta, payload), end


def _check_start(start: bytes) -> None:
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
