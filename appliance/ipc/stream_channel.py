"""The gateway's end of a worker connection: an asyncio protocol that speaks in messages.

Owns: decoding what arrives, encoding what leaves, and the one way each connection ends.
Refuses to know: what a message means for the pool.

Nothing here awaits: `send` hands bytes to the transport and returns. Orders to a worker are small (a
SYNTHESIZE is under 64 KiB, one at a time), so the transport's buffer is bounded by the protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from appliance.errors import ProtocolError
from appliance.ipc.frames import FrameDecoder, encode_frame
from appliance.ipc.messages import Message, from_frame, to_frame


class StreamChannel(asyncio.BufferedProtocol):
    """One accepted worker connection."""

    def __init__(
        self,
        on_open: Callable[[StreamChannel], None],
        on_message: Callable[[StreamChannel, Message], None],
        on_close: Callable[[StreamChannel, ProtocolError | None], None],
    ) -> None:
        """Take the three things that can happen.

        Args:
            on_open: Called once, when the transport is there.
            on_message: Called for every message, in order.
            on_close: Called once, last, with the protocol error if one ended the connection.
        """
        self._on_open = on_open
        self._on_message = on_message
        self._on_close = on_close
        self._decoder = FrameDecoder()
        self._error: ProtocolError | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; called by asyncio."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's isn't a subclass
        self._on_open(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 (asyncio's signature)
        """Return where the next bytes go; called by asyncio."""
        return self._decoder.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Decode what came; called by asyncio. A protocol error closes this connection only."""
        try:
            for frame in self._decoder.take(nbytes):
                self._on_message(self, from_frame(frame))
        except ProtocolError as error:
            self._error = error
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end; called by asyncio."""
        if exc is None and self._error is None:
            try:
                self._decoder.finish()
            except ProtocolError as error:
                self._error = error
        self._on_close(self, self._error)

    def send(self, *messages: Message) -> None:
        """Hand messages to the transport; doesn't block. On a closing connection they are dropped."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(encode_frame(to_frame(message)) for message in messages))

    def close(self) -> None:
        """Break the connection off; `on_close` follows. Nothing more is decoded or sent."""
        if self.transport is not None:
            self.transport.abort()
