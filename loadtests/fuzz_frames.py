"""Feed broken frames to the IPC decoder: `python -m loadtests.fuzz_frames --executions 1000000`.

Owns: the mutations, what must hold for any bytes, the count of executions and crashes.
Refuses to know: what a frame means.

Every execution takes a stream of `tests/wire`, mutates it a few times and feeds it in pieces. Then

- nothing but a `ProtocolError` may be raised,
- the frames that came out, put on the wire again, are what went in so far,
- and the decoder may hold no more than one frame.

Mutations know the header, so that lengths, kinds and ids are hit more often than chance would. The same seed
makes the same executions; a crash prints its seed and the bytes.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil

from appliance.errors import ProtocolError
from appliance.ipc.frames import (
    HEADER,
    MAX_META_BYTES,
    MAX_PAYLOAD_BYTES,
    FrameDecoder,
    encode_frame,
)
from appliance.ipc.messages import from_frame
from appliance.settings import ROOT

CORPUS = ROOT / "tests" / "wire"
MAX_STREAM_BYTES = 70_000
"""Enough for a meta at its limit; larger payloads are only announced."""
MAX_MUTATIONS = 4
MAX_CRASHES = 10
"""After so many it stops."""
GROWTH_LIMIT_BYTES = 10 * 1024 * 1024
WARM_UP_EXECUTIONS = 2_000
REPORT_EVERY = 100_000
LENGTHS = (
    0,
    1,
    2,
    MAX_META_BYTES,
    MAX_META_BYTES + 1,
    MAX_PAYLOAD_BYTES,
    MAX_PAYLOAD_BYTES + 1,
    2**31,
    2**32 - 1,
)
META_AT, PAYLOAD_AT, KIND_AT, VERSION_AT, ID_AT = 4, 8, 3, 2, 12
EXIT_CRASHED = 1
TOKENS = (
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"true", b"NaN", b"-1", b"1e999", b"9" * 5_000),
    *(b"\\ud800", b"\xff\xfe", b"\x00", b'{"a":' * 500, b"[" * 2_000, b'"rate":0', b'"pages":0'),
)


@dataclass(slots=True)
class Result:
    """What came of a run."""

    executions: int = 0
    frames: int = 0
    """Frames that came out whole."""
    errors: Counter[str] = field(default_factory=Counter)
    """Protocol errors, by code."""
    crashes: list[str] = field(default_factory=list)
    growth_bytes: int = 0
    """Growth of the resident memory since the warm-up."""
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether nothing crashed and the memory stayed."""
        return not self.crashes and self.growth_bytes <= GROWTH_LIMIT_BYTES


def fuzz(executions: int, seed: int, say: Callable[[str], None] = lambda _: None) -> Result:
    """Run so many executions; blocks.

    Args:
        executions: How many.
        seed: Decides all of them.
        say: Told of progress.

    Raises:
        FileNotFoundError: There is no corpus.
    """
    corpus = _corpus()
    chosen = random.Random(seed)
    result, process = Result(), psutil.Process()
    begun_s, first_bytes = time.monotonic(), 0
    for number in range(executions):
        if number == min(WARM_UP_EXECUTIONS, executions - 1):
            first_bytes = process.memory_info().rss
        stream = _mutated(chosen, corpus)
        try:
            _execute(chosen, stream, result)
        except Exception:  # noqa: BLE001 (whatever it is, it is what we look for)
            result.crashes.append(
                f"seed {seed}, execution {number}: {stream.hex()}\n{traceback.format_exc()}"
            )
            if len(result.crashes) >= MAX_CRASHES:
                break
        result.executions += 1
        if result.executions % REPORT_EVERY == 0:
            say(f"{result.executions} executions, {len(result.crashes)} crashes")
    result.growth_bytes = process.memory_info().rss - first_bytes
    result.seconds = time.monotonic() - begun_s
    return result


def _corpus() -> list[bytes]:
    streams = [path.read_bytes() for path in sorted(CORPUS.glob("*/*.bin"))]
    if not streams:
        message = f"no corpus in {CORPUS}"
        raise FileNotFoundError(message)
    return [stream[:MAX_STREAM_BYTES] for stream in streams]


def _execute(chosen: random.Random, stream: bytes, result: Result) -> None:
    """Decode one stream; raises AssertionError when what must hold doesn't."""
    decoder, position, written = FrameDecoder(), 0, bytearray()
    try:
        while position < len(stream):
            room = decoder.room()
            assert room, "no room for the next byte"
            count = min(
                len(room), chosen.choice((1, 3, 20, 64, 1_000, MAX_STREAM_BYTES)), len(stream) - position
            )
            room[:count] = stream[position : position + count]
            position += count
            for frame in decoder.take(count):
                result.frames += 1
                written += encode_frame(frame)
                assert stream.startswith(written), "a frame came out as it hadn't gone in"
                from_frame(frame)
        decoder.finish()
        assert bytes(written) == stream, "bytes were lost"
    except ProtocolError as error:
        result.errors[error.code] += 1
    assert len(decoder.room()) <= HEADER.size + MAX_META_BYTES + MAX_PAYLOAD_BYTES + 1, "it holds too much"


def _mutated(chosen: random.Random, corpus: Sequence[bytes]) -> bytes:
    stream = bytearray(chosen.choice(corpus))
    for _ in range(chosen.randint(0, MAX_MUTATIONS)):
        chosen.choice(MUTATIONS)(chosen, stream, corpus)
        del stream[MAX_STREAM_BYTES:]
    return bytes(stream)


def _place(chosen: random.Random, stream: bytearray) -> int:
    return chosen.randrange(len(stream) + 1)


def _flip(chosen: random.Random, stream: bytearray, _corpus: Sequence[bytes]) -> None:
    if stream:
        stream[chosen.randrange(len(stream))] ^= 1 << chosen.randrange(8)


def _put(chosen: random.Random, stream: bytearray, _corpus: Sequence[bytes]) -> None:
    if stream:
        stream[chosen.randrange(len(stream))] = chosen.randrange(256)


def _cut(chosen: random.Random, stream: bytearray, _corpus: Sequence[bytes]) -> None:
    start = _place(chosen, stream)
    del stream[start : start + chosen.choice((1, 4, 20, 100))]


def _insert(chosen: random.Random, stream: bytearray, _corpus: Sequence[bytes]) -> None:
    start = _place(chosen, stream)
    stream[start:start] = chosen.choice((chosen.choice(TOKENS), chosen.randbytes(chosen.randrange(40))))


def _splice(chosen: random.Random, stream: bytearray, corpus: Sequence[bytes]) -> None:
    start = _place(chosen, stream)
    stream[start:] = chosen.choice(corpus)


def _append(chosen: random.Random, stream: bytearray, corpus: Sequence[bytes]) -> None:
    stream += chosen.choice(corpus)


def _header_field(chosen: random.Random, stream: bytearray, _corpus: Sequence[bytes]) -> None:
    """Change a field of the first header to a value at an edge."""
    if len(stream) < HEADER.size:
        return
    match chosen.randrange(5):
        case 0:
            struct.pack_into(">I", stream, META_AT, chosen.choice(LENGTHS))
        case 1:
            struct.pack_into(">I", stream, PAYLOAD_AT, chosen.choice(LENGTHS))
        case 2:
            stream[KIND_AT] = chosen.randrange(12)
        case 3:
            stream[VERSION_AT] = chosen.randrange(4)
        case _:
            struct.pack_into(">Q", stream, ID_AT, chosen.choice((0, 1, 2**63, 2**64 - 1)))


def _meta(chosen: random.Random, stream: bytearray, _corpus: Sequence[bytes]) -> None:
    """Change the first frame's meta and let its header say the new length, so that the meta is read."""
    if len(stream) < HEADER.size:
        return
    meta_bytes = struct.unpack_from(">I", stream, META_AT)[0]
    meta = stream[HEADER.size : HEADER.size + meta_bytes]
    if len(meta) != meta_bytes:
        return
    start = _place(chosen, meta)
    meta[start : start + chosen.choice((0, 1, 5))] = chosen.choice(TOKENS)
    stream[HEADER.size : HEADER.size + meta_bytes] = meta
    struct.pack_into(">I", stream, META_AT, len(meta))


MUTATIONS: tuple[Callable[[random.Random, bytearray, Sequence[bytes]], None], ...] = (
    *(_flip, _put, _cut, _insert, _splice, _append),
    *(_header_field, _meta, _meta, _meta),
)


def main() -> int:
    """Fuzz, say what came of it, and return 1 when anything crashed or grew."""
    parser = argparse.ArgumentParser(prog="fuzz_frames", description="Feed broken frames to the IPC decoder.")
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments = parser.parse_args()
    result = fuzz(arguments.executions, arguments.seed, lambda line: print(line, file=sys.stderr, flush=True))
    for crash in result.crashes:
        print(crash)
    codes = ", ".join(f"{code} {count}" for code, count in result.errors.most_common())
    print(
        f"seed {arguments.seed}: {result.executions} executions in {result.seconds:.0f} s, "
        f"{len(result.crashes)} crashes, {result.frames} whole frames\n"
        f"memory grew by {result.growth_bytes // 1024} KiB\nprotocol errors: {codes or 'none'}"
    )
    return 0 if result.is_clean else EXIT_CRASHED


if __name__ == "__main__":
    sys.exit(main())
