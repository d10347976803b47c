"""A worker whose every frame a test decides: real connection, real process, no engine.

The pool kills by pid, and takes the pid that the kernel names for the peer. So a process of its own connects,
hands the connection over and goes on living; the test speaks through it in its place.
"""

from __future__ import annotations

import array
import contextlib
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

from appliance.engine_settings import ToneSettings
from appliance.engines.tone import SAMPLE_RATE_HZ, ToneEngine, expected_pcm
from appliance.errors import ProtocolError
from appliance.ipc.frames import FrameDecoder, encode_frame
from appliance.ipc.messages import (
    Audio,
    Cancel,
    Done,
    Drain,
    Failed,
    Grant,
    Message,
    Synthesize,
    from_frame,
    hello_pages,
    to_frame,
)
from appliance.speech import PcmChunk
from tests.parts.frames import feed

CONNECT_AND_HAND_OVER = """
import array, resource, socket, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
control = socket.socket(fileno=int(sys.argv[1]))
while path := control.recv(4096):
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path.decode())
        control.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [link.fileno()]))])
    control.send(b"y")  # from here on the connection has one holder
"""
PATIENCE_S = 15.0


class Body:
    """The process of a scripted worker; it can connect again and again as long as nobody kills it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._control.settimeout(PATIENCE_S)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-S", "-E", "-c", CONNECT_AND_HAND_OVER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                process_group=0,
            )

    def connect(self, path: Path) -> socket.socket:
        """Have it connect to a Unix socket; return the connection."""
        self._control.send(str(path).encode())
        descriptors = array.array("i")
        _, ancillary, _, _ = self._control.recvmsg(1, socket.CMSG_LEN(descriptors.itemsize))
        descriptors.frombytes(ancillary[0][2])
        assert self._control.recv(1) == b"y"
        return socket.socket(fileno=descriptors[0])

    def close(self) -> None:
        self._control.close()
        self.process.kill()
        self.process.wait()


class Bodies:
    """Spare processes, so that not every worker needs a new one."""

    def __init__(self) -> None:
        self._spare: list[Body] = []
        self._all: list[Body] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for body in self._all:
            body.close()

    def take(self) -> Body:
        """Return one that lives."""
        while self._spare:
            body = self._spare.pop()
            if body.process.poll() is None:
                return body
        self._all.append(Body())
        return self._all[-1]

    def give_back(self, body: Body) -> None:
        self._spare.append(body)


class ScriptedWorker:
    """One connection, and what the gateway has ordered over it."""

    def __init__(self, body: Body, path: Path, slot: int) -> None:
        self.body = body
        self.name = f"worker-tone-{slot}"
        self.connection = body.connect(path)
        self.connection.setblocking(False)
        self._decoder = FrameDecoder()
        self.has_joined = False
        self.is_closed = False
        self.is_leaving = False
        """Whether it has told that it ends, or was told to."""
        self.order: Synthesize | None = None
        """What it speaks."""
        self.ordered_ids: list[int] = []
        self.is_granted = False
        self.is_cancelled = False
        self.sent_bytes = 0
        self.has_sent_last = False
        self.last_end: Done | Failed | None = None

    def say(self, *messages: Message) -> None:
        self.say_bytes(b"".join(encode_frame(to_frame(message)) for message in messages))

    def say_bytes(self, data: bytes) -> None:
        """Write at once; a gateway that has hung up already doesn't hear it."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.sendall(data)

    def hello(self) -> None:
        voices = ToneEngine(ToneSettings()).voices()
        self.say(*hello_pages(self.name, "tone", "1", self.body.process.pid, voices, ()))
        self.has_joined = True

    def wanted_pcm(self) -> bytes:
        assert self.order is not None
        return expected_pcm(self.order.utterance)

    def audio(self, share: float, *, ends_window: bool) -> None:
        """Send so much of what is left; the last chunk if that is all."""
        assert self.order is not None
        pcm = self.wanted_pcm()
        end = min(len(pcm), self.sent_bytes + 2 + 2 * int(share * (len(pcm) - self.sent_bytes) / 2))
        is_last = end == len(pcm)
        chunk = PcmChunk(
            pcm[self.sent_bytes : end],
            SAMPLE_RATE_HZ,
            is_last=is_last,
            ends_window=ends_window and not is_last,
        )
        self.sent_bytes, self.has_sent_last = end, is_last
        if chunk.ends_window:
            self.is_granted = False
        self.say(Audio(self.order.utterance_id, chunk))

    def end(self, end: Done | Failed) -> None:
        """Answer the order; the worker is free."""
        self.order, self.is_granted, self.last_end = None, False, end
        self.say(end)

    def read(self) -> bool:
        """Take in what has come; return whether anything had."""
        if self.is_closed:
            return False
        try:
            data = self.connection.recv(1 << 20)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        if not data:
            self.close()
            return True
        for frame in feed(self._decoder, data):
            self._obey(from_frame(frame))
        return True

    def close(self) -> None:
        self.is_closed = True
        self.connection.close()

    def _obey(self, message: Message) -> None:
        match message:
            case Synthesize(utterance_id):
                assert self.order is None, "a second order while the first isn't answered"
                assert not self.is_leaving, "an order for a worker that ends"
                assert utterance_id not in self.ordered_ids, "the same order twice"
                self.ordered_ids.append(utterance_id)
                self.order = message
                self.is_granted = self.is_cancelled = self.has_sent_last = False
                self.sent_bytes = 0
            case Grant(utterance_id):
                if self.order is not None and self.order.utterance_id == utterance_id:
                    assert not self.is_granted, "a second grant for the same window"
                    self.is_granted = True
            case Cancel(utterance_id):
                assert self.order is None or self.order.utterance_id == utterance_id
                self.is_cancelled = self.order is not None
            case Drain():
                self.is_leaving = True
            case _:
                message_name = type(message).__name__
                raise ProtocolError(f"the gateway sent {message_name}")
