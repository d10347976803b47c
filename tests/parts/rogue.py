"""A rogue: a process that connects to `run/workers.sock` as a worker does, and then breaks a rule.

`python -m tests.parts.rogue RUN_DIR DEED` does one deed and stays until the gateway hangs up or kills it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.ipc.frames import HEADER, MAGIC, VERSION, Frame, FrameDecoder, Kind, encode_frame
from appliance.ipc.messages import (
    Audio,
    Cancel,
    Done,
    Drain,
    Heartbeat,
    Hello,
    Message,
    Synthesize,
    from_frame,
    hello_pages,
    to_frame,
)
from appliance.lifecycle import WORKERS_SOCKET
from appliance.speech import FIRST_CHUNK_BYTES, PcmChunk
from appliance.voices import Voice
from tests.parts.frames import feed

CHECKOUT = Path(__file__).parents[2]
NAME = "worker-tone-9"
BEAT_S = 0.1
RSS_BYTES = 1_000_000
FLOOD_FRAMES = 2_000_000
"""More than any bound lets through, and yet an end."""
LEAVERS_TEXT = "leave"
"""What the text of a client holds that will hang up."""
CHUNK = PcmChunk(b"\x01\x00" * (FIRST_CHUNK_BYTES // 2), 22_050)


def header(
    kind: int, meta_bytes: int, payload_bytes: int = 0, *, magic: bytes = MAGIC, version: int = VERSION
) -> bytes:
    return HEADER.pack(magic, version, kind, meta_bytes, payload_bytes, 0)


GARBAGE = {
    "bad_magic": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bad_version": header(Kind.HEARTBEAT, 0, version=2),
    "unknown_kind": header(99, 0),
    "length_0": header(Kind.HEARTBEAT, 0),
    "length_max": header(Kind.AUDIO, 2**32 - 1, 2**32 - 1),
    "no_utf8": header(Kind.HEARTBEAT, 4) + b"\xff\xfe\xfd\xfc",
}
"""By what is wrong: bytes that no worker sends."""


class Rogue:
    """The connection, and what a worker that behaves would do on it."""

    def __init__(self, run_dir: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(os.fspath(run_dir / WORKERS_SOCKET))
        self._decoder = FrameDecoder()

    def say(self, *messages: Message) -> None:
        self.say_bytes(b"".join(encode_frame(to_frame(message)) for message in messages))

    def say_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def join(self) -> None:
        """Say hello as a worker without voices of its own, and beat from then on."""
        self.say(*hello_pages(NAME, "tone", "1", os.getpid(), (), ()))
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        with contextlib.suppress(OSError):
            while not threading.Event().wait(BEAT_S):
                self.say(Heartbeat(RSS_BYTES))

    def messages(self) -> Iterator[Message]:
        """Yield what the gateway says, until it hangs up."""
        with contextlib.suppress(ConnectionError):
            while data := self._socket.recv(65_536):
                yield from map(from_frame, feed(self._decoder, data))

    def orders(self) -> Iterator[int]:
        """Yield the id of each utterance that the gateway orders."""
        return (message.utterance_id for message in self.messages() if isinstance(message, Synthesize))

    def stay(self) -> None:
        """Read until the gateway hangs up."""
        for _ in self.messages():
            pass

    def leave(self) -> None:
        self._socket.close()


def done(utterance_id: int, *, was_cancelled: bool = False) -> Done:
    return Done(utterance_id, 0.001, RSS_BYTES, was_cancelled)


def spoken(utterance_id: int) -> list[Message]:
    """A whole answer."""
    last = PcmChunk(CHUNK.pcm, CHUNK.sample_rate_hz, is_last=True)
    return [Audio(utterance_id, CHUNK), Audio(utterance_id, last), done(utterance_id)]


def garbage_at_once(rogue: Rogue, data: bytes) -> None:
    rogue.say_bytes(data)
    rogue.stay()


def garbage_in_an_utterance(rogue: Rogue, data: bytes) -> None:
    rogue.join()
    rogue.say(Audio(next(rogue.orders()), CHUNK))
    rogue.say_bytes(data)
    rogue.stay()


def truncated_at_once(rogue: Rogue) -> None:
    rogue.say_bytes(encode_frame(Frame(Kind.HEARTBEAT, 0, b'{"rss_bytes":1}'))[:-3])
    rogue.leave()


def truncated_in_an_utterance(rogue: Rogue) -> None:
    rogue.join()
    rogue.say_bytes(encode_frame(to_frame(Audio(next(rogue.orders()), CHUNK)))[:-3])
    rogue.leave()


def silent(rogue: Rogue) -> None:
    rogue.stay()


def hello_for_ever(rogue: Rogue) -> None:
    """Say the first page of two again and again, each time with another voice."""
    for number in itertools.count():
        voice = Voice(f"rogue-{number}", "x" * 1000, "tone", "low", ("en",), sample_rate_hz=22_050)
        rogue.say(Hello(NAME, "tone", "1", os.getpid(), 0, 2, (voice,)))


def hello_again(rogue: Rogue) -> None:
    rogue.join()
    for utterance_id in rogue.orders():
        rogue.say(*spoken(utterance_id), *hello_pages(NAME, "tone", "1", os.getpid(), (), ()))


def wrong_id(rogue: Rogue) -> None:
    """Answer for others before each right answer."""
    rogue.join()
    for utterance_id in rogue.orders():
        rogue.say(*spoken(2**64 - 1), *spoken(0), *spoken(utterance_id))


def reply_twice(rogue: Rogue) -> None:
    rogue.join()
    for utterance_id in rogue.orders():
        rogue.say(*spoken(utterance_id), *spoken(utterance_id))


def reply_after_cancel(rogue: Rogue) -> None:
    """Only begin to speak what somebody will not hear to its end, and say the whole after that end."""
    rogue.join()
    for message in rogue.messages():
        if isinstance(message, Synthesize):
            will_leave = LEAVERS_TEXT in message.utterance.spoken.text
            chunk = Audio(message.utterance_id, CHUNK)
            rogue.say(*([chunk] if will_leave else spoken(message.utterance_id)))
        elif isinstance(message, Cancel):
            rogue.say(
                Audio(message.utterance_id, CHUNK),
                done(message.utterance_id, was_cancelled=True),
                *spoken(message.utterance_id),
            )


def never_reads(rogue: Rogue) -> None:
    rogue.join()
    threading.Event().wait()


def drains_for_ever(rogue: Rogue) -> None:
    """Ask for an answer that is never read, again and again."""
    rogue.join()
    for _ in range(FLOOD_FRAMES):
        rogue.say(Drain())


def floods(rogue: Rogue) -> None:
    """Beat as fast as it goes."""
    rogue.join()
    beats = encode_frame(to_frame(Heartbeat(RSS_BYTES))) * 5_000
    for _ in range(FLOOD_FRAMES // 5_000):
        rogue.say_bytes(beats)


def behaves(rogue: Rogue) -> None:
    """Do what a worker does, some times."""
    rogue.join()
    for utterance_id in itertools.islice(rogue.orders(), 5):
        rogue.say(*spoken(utterance_id))


def deeds() -> dict[str, Callable[[Rogue], None]]:
    """Every deed by its name; garbage is `<what>_at_once` and `<what>_in_an_utterance`."""
    named = (
        *(truncated_at_once, truncated_in_an_utterance, silent, hello_for_ever, hello_again, wrong_id),
        *(reply_twice, reply_after_cancel, never_reads, drains_for_ever, floods, behaves),
    )
    result: dict[str, Callable[[Rogue], None]] = {deed.__name__: deed for deed in named}
    for what, data in GARBAGE.items():
        for deed in (garbage_at_once, garbage_in_an_utterance):
            name = deed.__name__.replace("garbage", what)
            result[name] = lambda rogue, deed=deed, data=data: deed(rogue, data)  # type: ignore[misc]  # a lambda's defaults have no types
    return result


@contextlib.contextmanager
def running_rogue(run_dir: Path, deed: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a rogue as the leader of a session, as supervisord runs a worker, and end it with the block."""
    command = [sys.executable, "-m", "tests.parts.rogue", os.fspath(run_dir), deed]
    with subprocess.Popen(command, cwd=CHECKOUT, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("deed", choices=deeds())
    arguments = parser.parse_args()
    with contextlib.suppress(ConnectionError):  # the gateway has hung up, as it should
        deeds()[arguments.deed](Rogue(arguments.run_dir))


if __name__ == "__main__":
    main()
