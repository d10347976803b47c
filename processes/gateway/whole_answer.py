"""Hop 8 for audio that is finished: it leaves in pieces, as fast as its client takes them.

Owns: the pieces, and counting what an answer holds until its client has it (`unsent`).
Refuses to know: where the audio comes from, and which part of it is wanted.

A piece is a copy, so that the connection's buffer, which outlives the answer, never holds the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web

from processes.gateway.audio_answer import reset
from processes.gateway.audio_memory import PIECE_BYTES
from processes.gateway.gateway import GATEWAY_KEY
from processes.gateway.middleware import add_headers
from processes.gateway.record import RequestRecord
from processes.gateway.unsent import Held, Holder

AT_ONCE_BYTES = 131_072
"""A kept answer up to this size, 16 s of mp3, is handed to the kernel in one piece, with its headers."""


@contextmanager
def holding(request: web.Request, held: Callable[[], Held]) -> Iterator[Holder]:
    """Count what an answer holds while the block sends it; its connection may be reset for that.

    Args:
        request: What is answered.
        held: Says what the answer holds.

    Yields:
        The answer as it is counted, to be told what has been written.
    """
    transport = request.transport

    def cut() -> None:
        if transport is not None:
            reset(transport)

    unsent = request.app[GATEWAY_KEY].answers.unsent
    with unsent.holding(held, cut, request.remote or "") as holder:
        yield holder


@contextmanager
def holding_data(request: web.Request, data: bytes) -> Iterator[Holder]:
    """Count finished audio that an answer holds; see `holding`."""
    held = Held(id(data), len(data))
    with holding(request, lambda: held) as holder:
        yield holder


def pieces(data: memoryview) -> Iterator[bytes]:
    """Return finished audio piece by piece."""
    for begin in range(0, len(data), PIECE_BYTES):
        yield bytes(data[begin : begin + PIECE_BYTES])


async def answer_whole(
    request: web.Request, data: bytes, media_type: str, headers: Mapping[str, str], record: RequestRecord
) -> web.StreamResponse:
    """Answer with finished audio, ending the record before the last byte.

    Raises:
        ConnectionError: The client has left, or has taken it too slowly for what is held.
    """
    response = web.StreamResponse()
    response.content_type = media_type
    response.content_length = len(data)
    response.headers.update(headers)
    add_headers(request, response)
    await response.prepare(request)
    await write_whole(request, response, data, memoryview(data), record)
    return response


async def write_whole(
    request: web.Request, response: web.StreamResponse, data: bytes, part: memoryview, record: RequestRecord
) -> None:
    """Send finished audio, or a part of it, ending the record before the last byte.

    Args:
        request: What is answered.
        response: Its headers have left.
        data: What is held for it.
        part: What is sent of that, at least a byte.
        record: The request's; one that has ended stays as it is.

    Raises:
        ConnectionError: The client has left, or has taken it too slowly for what is held.
    """
    sent_bytes = 0
    with holding_data(request, data) as holder:
        for piece in pieces(part[:-1]):
            await response.write(piece)
            record.first_audio()
            holder.taken_bytes += len(piece)
            sent_bytes += len(piece)
            record.sent_bytes = sent_bytes
        record.sent_bytes = len(part)
        record.complete()
        await response.write_eof(bytes(part[-1:]))
