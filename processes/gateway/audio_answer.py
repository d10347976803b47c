"""Hop 8: bytes of audio leave for the client.

Owns: the moment when headers leave (with the first audio, not before), the two shapes of a stream
(bytes, server-sent events), and breaking off what can't be finished.
Refuses to know: where the audio comes from.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from aiohttp import HttpVersion, HttpVersion11, web

from appliance.captions import word_values
from appliance.speech import SpeechRequest, StreamFormat, TimedWord
from processes.gateway.middleware import BROKEN_KEY, add_headers
from processes.gateway.record import RequestRecord

CHARS_PER_TOKEN = 4
"""For `usage`. Source: OpenAI's rule of thumb for English text."""
AUDIO_TOKENS_PER_S = 20
"""For `usage`; an estimate, as no engine here counts in tokens."""
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""Source: socket(7), SO_LINGER: on, for 0 seconds."""


class AudioAnswer:
    """One HTTP answer that carries audio."""

    def __init__(self, request: web.Request, speech: SpeechRequest, media_type: str) -> None:
        """Prepare the answer; nothing is sent.

        Args:
            request: What is answered.
            speech: Gives the shape of the stream and the length of the text.
            media_type: Content-Type of the plain shape.
        """
        self._request = request
        self._speech = speech
        self._is_sse = speech.stream_format is StreamFormat.SSE
        self._ends_by_closing = request.version < HttpVersion11
        self.response = web.StreamResponse()
        self.response.content_type = "text/event-stream" if self._is_sse else media_type
        self.response.headers["X-Accel-Buffering"] = "no"
        if self._ends_by_closing:
            self.response.force_close()

    @property
    def has_begun(self) -> bool:
        """Whether headers have left, so that no other status can be sent."""
        return self.response.prepared

    async def write(self, audio: bytes, record: RequestRecord) -> None:
        """Send audio; waits while the client reads slowly.

        Raises:
            ConnectionError: The client has left.
        """
        if not audio:
            return
        data = (
            _event({"type": "speech.audio.delta", "audio": base64.b64encode(audio).decode()})
            if self._is_sse
            else audio
        )
        if not self.has_begun:
            add_headers(self._request, self.response)
            await self.response.prepare(self._request)
        await self.response.write(data)
        record.first_audio()
        record.sent_bytes += len(data)

    async def write_words(self, words: Sequence[TimedWord], record: RequestRecord) -> None:
        """Send when words sound, as an event; plain audio has no place for it. Only once audio has left.

        Raises:
            ConnectionError: The client has left.
        """
        if words and self._is_sse:
            data = _event({"type": "speech.audio.words", "words": [word_values(word) for word in words]})
            await self.response.write(data)
            record.sent_bytes += len(data)

    async def end(self, audio_s: float, record: RequestRecord) -> None:
        """Finish the stream properly; the request has ended before its last bytes leave.

        Args:
            audio_s: Seconds of audio in all, for `usage`.
            record: Completed here.
        """
        if self._is_sse:
            await self.response.write(_event({"type": "speech.audio.done", "usage": self._usage(audio_s)}))
        record.complete()
        await self.response.write_eof()

    @contextmanager
    def broken_off_on_error(self, record: RequestRecord) -> Iterator[None]:
        """Break the answer off when its making fails; before anything has left, the error goes on.

        Raises:
            Exception: What failed before anything had left.
        """
        try:
            yield
        except Exception as error:
            if not self.has_begun:
                raise
            record.fail(error)
            self._request[BROKEN_KEY] = True
            cut_off(self._request.transport, self._request.version)

    def _usage(self, audio_s: float) -> dict[str, int]:
        input_tokens = math.ceil(len(self._speech.text) / CHARS_PER_TOKEN)
        output_tokens = math.ceil(audio_s * AUDIO_TOKENS_PER_S)
        return {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "total_tokens": input_tokens + output_tokens,
        }


def cut_off(transport: asyncio.Transport | None, version: HttpVersion) -> None:
    """Cut a connection in the middle of an answer, so that the client sees that it isn't whole.

    A chunked body that lacks its end shows that by itself. To a client of HTTP/1.0 the end of the connection
    is the end of the body, so it gets a reset.

    Args:
        transport: The connection; None where it is gone already.
        version: The request's.
    """
    if transport is None:
        return
    if version < HttpVersion11:
        reset(transport)
    else:
        transport.abort()


def reset(transport: asyncio.Transport) -> None:
    """Hang up at once, throwing away what the client hasn't taken."""
    connection = transport.get_extra_info("socket")
    with suppress(OSError):  # it has gone already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()


def _event(values: dict[str, Any]) -> bytes:
    """Return one server-sent event. Source: clients.md §1, the shape of OpenAI's speech stream."""
    return b"data: " + json.dumps(values, separators=(",", ":")).encode() + b"\n\n"
