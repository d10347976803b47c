"""The gateway's end of a worker connection: an asyncio protocol that speaks in messages.

Owns: decoding what arrives, HELLO's pages in their order, encoding what leaves, the bound on what a peer
leaves unread, and the one way each connection ends.
Refuses to know: what a message means for the pool.

A peer can't hold the loop up either: what one read brings is at most `MAX_FRAMES` frames, or an error.

Nothing here awaits: `send` hands bytes to the transport and returns. Orders to a worker are small (a
SYNTHESIZE is under 64 KiB, one at a time). A peer that doesn't read them keeps what the kernel holds for it
and `MAX_UNREAD_BYTES` more; then it is hung up on.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import cast

from appliance.errors import BadMessageError, FrameFloodError, PeerStalledError, ProtocolError
from appliance.ipc.frames import FrameDecoder, encode_frame
from appliance.ipc.messages import Hello, Message, from_frame, to_frame

MAX_UNREAD_BYTES = 131_072
"""Two of the largest orders: a worker that reads never leaves more than one, and some grants."""


MAX_FRAMES = 1_000
"""Frames in one read, some 10 ms of work. A socket holds fewer than 300 of those that are sent one by one,
as a worker's are, however long this process was stopped.

Source: net.core.wmem_default (208 KiB) is charged with some 768 bytes for each piece sent.
"""


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
        self._next_page: int | None = 0
        """Which page of HELLO is due; None once all have come."""
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
            for count, frame in enumerate(self._decoder.take(nbytes)):
                if count >= MAX_FRAMES:
                    raise FrameFloodError
                message = from_frame(frame)
                if isinstance(message, Hello):
                    self._turn_page(message)
                self._on_message(self, message)
                if self.transport is None or self.transport.is_closing():
                    break
        except ProtocolError as error:
            self._break_off(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end; called by asyncio."""
        if exc is None and self._error is None:
            try:
                self._decoder.finish()
            except ProtocolError as error:
                self._error = error
        self._on_close(self, self._error)

    def send(self, *messages: Message) -> None:
        """Hand messages to the transport; doesn't block. On a closing connection they are dropped.

        A peer that has left more than `MAX_UNREAD_BYTES` unread is hung up on: `on_close` follows later,
        with a `PeerStalledError`.
        """
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.write(b"".join(encode_frame(to_frame(message)) for message in messages))
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self._break_off(PeerStalledError())

    def close(self) -> None:
        """Break the connection off; `on_close` follows. Nothing more is decoded or sent."""
        if self.transport is not None:
            self.transport.abort()

    def end_input(self) -> None:
        """Let the stream end behind what has come already, whoever else holds its other end; doesn't block.

        For a peer that has died: what it has forked may keep the connection open. `on_close` follows.
        """
        if self.transport is not None and not self.transport.is_closing():
            descriptor = os.dup(self.transport.get_extra_info("socket").fileno())
            with socket.socket(fileno=descriptor) as connection:  # uvloop's own has no shutdown
                connection.shutdown(socket.SHUT_RD)

    def _break_off(self, error: ProtocolError) -> None:
        self._error = error
        self.close()

    def _turn_page(self, hello: Hello) -> None:
        """Take HELLO's pages in order, each once, so that a peer can't say hello for ever."""
        if hello.page != self._next_page:
            message = f"HELLO's page {hello.page} of {hello.pages} came out of turn"
            raise BadMessageError(message)
        self._next_page = hello.page + 1 if hello.page + 1 < hello.pages else None
