"""The worker's end of the workers' socket: whole messages over a blocking Unix socket.

Owns: sending from several threads without mixing frames, receiving with a timeout or without waiting, and
telling a peer that went away from one that broke off inside a frame.
Refuses to know: what a message asks for, and when to connect again.

    main thread      receive / poll  <--+
    main thread      send            --> socket
    heartbeat thread send            --> (one lock around each frame)
"""

from __future__ import annotations

import select
import socket
import threading
from collections import deque

from appliance.ipc.frames import FrameDecoder, frame_parts
from appliance.ipc.messages import Message, from_frame, to_frame


class BlockingChannel:
    """Messages over one connected stream socket, which it owns and closes."""

    def __init__(self, sock: socket.socket, wake_fd: int | None = None) -> None:
        """Take over a connected, blocking socket.

        Args:
            sock: A connected stream socket; closed by `close`.
            wake_fd: A file descriptor that ends a waiting `receive` as soon as it is readable; it isn't read.
        """
        self._sock = sock
        self._decoder = FrameDecoder()
        self._pending: deque[Message] = deque()
        self._send_lock = threading.Lock()
        self._poller = select.poll()
        self._poller.register(sock, select.POLLIN)
        if wake_fd is not None:
            self._poller.register(wake_fd, select.POLLIN)

    def send(self, message: Message) -> None:
        """Send one message whole; blocks while the socket is full. Any thread may call it.

        Raises:
            EOFError: The peer has gone.
            FrameTooLargeError: The message doesn't fit a wire frame; nothing was sent.
        """
        head, payload = frame_parts(to_frame(message))
        with self._send_lock:
            try:
                sent_bytes = self._sock.sendmsg((head, payload))
                if sent_bytes < len(head) + len(payload):
                    self._sock.sendall((head + payload)[sent_bytes:])
            except ConnectionError:
                raise EOFError from None

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """Wait for the next message. Only one thread may receive.

        Args:
            timeout_s: Seconds to wait at most; None waits for ever.

        Returns:
            The message, or None when the time is over or `wake_fd` has become readable.

        Raises:
            EOFError: The peer has gone, between two frames.
            TruncatedFrameError: The peer has gone inside a frame.
            ProtocolError: Another of its children says how the stream is broken.
        """
        while not self._pending:
            ready = {fd for fd, _ in self._poller.poll(None if timeout_s is None else timeout_s * 1000)}
            if self._sock.fileno() not in ready:
                return None
            self._read()
        return self._pending.popleft()

    def poll(self) -> Message | None:
        """Return the next message if one is there, without waiting; None if none is.

        Raises:
            EOFError, ProtocolError: As `receive`.
        """
        if not self._pending:
            self._read()
        return self._pending.popleft() if self._pending else None

    def close(self) -> None:
        """Close the socket. A peer that still sends is told so by its own end."""
        self._sock.close()

    def _read(self) -> None:
        """Take in what the socket holds now, without waiting."""
        try:
            count = self._sock.recv_into(self._decoder.room(), flags=socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionError:
            count = 0
        if not count:
            self._decoder.finish()
            raise EOFError
        for frame in self._decoder.take(count):
            self._pending.append(from_frame(frame))
