"""The decoder against the corpus, any chunking and any bytes."""

import contextlib
import filecmp
import itertools
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import FrameTooLargeError, ProtocolError
from appliance.ipc.frames import (
    HEADER,
    MAX_META_BYTES,
    MAX_PAYLOAD_BYTES,
    Frame,
    FrameDecoder,
    Kind,
    encode_frame,
)
from appliance.ipc.messages import from_frame, to_frame
from tests.parts.frames import feed
from tests.wire import generate

FOLDER = Path(__file__).parent
VALID = sorted((FOLDER / "valid").glob("*.bin"))
INVALID = sorted((FOLDER / "invalid").glob("*.bin"))

frames = st.builds(
    Frame,
    st.sampled_from(Kind),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=50),
    st.binary(max_size=100),
)


def expectation(path: Path):
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def decode(pieces: list[bytes]) -> list[Frame]:
    """Decode a whole stream that arrives in these pieces."""
    decoder = FrameDecoder()
    found = [frame for piece in pieces for frame in feed(decoder, piece)]
    decoder.finish()
    return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
def test_decoder_when_stream_is_valid_then_its_frames(path: Path, piece_bytes: int) -> None:
    data = path.read_bytes()
    found = decode([data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)])
    assert found == [
        Frame(
            Kind[values["kind"]],
            values["utterance_id"],
            values["meta"].encode(),
            bytes.fromhex(values["payload_hex"]),
        )
        for values in expectation(path)["frames"]
    ]
    assert b"".join(map(encode_frame, found)) == data


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_messages_when_stream_is_valid_then_read_and_written_alike(path: Path) -> None:
    for frame in decode([path.read_bytes()]):
        assert from_frame(to_frame(from_frame(frame))) == from_frame(frame)


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
def test_decoder_when_stream_is_invalid_then_the_error_it_should_be(path: Path, piece_bytes: int) -> None:
    data = path.read_bytes()
    pieces = [data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)]
    with pytest.raises(ProtocolError) as caught:
        list(map(from_frame, decode(pieces)))
    assert caught.value.code == expectation(path)["code"]


def test_corpus_when_generated_anew_then_nothing_changes(monkeypatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(generate, "FOLDER", Path(folder))
        generate.write()
        for part in ("valid", "invalid"):
            here, anew = FOLDER / part, Path(folder) / part
            names = sorted(path.name for path in anew.iterdir())
            assert names == sorted(path.name for path in here.iterdir())
            assert filecmp.cmpfiles(here, anew, names, shallow=False) == (names, [], [])


@given(st.lists(frames, max_size=5), st.lists(st.integers(0, 10**6), max_size=10))
def test_decoder_when_cut_anywhere_then_the_same_frames(sent: list[Frame], places: list[int]) -> None:
    data = b"".join(map(encode_frame, sent))
    assert decode(cut(data, places)) == sent


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_decoder_when_bytes_are_random_then_only_protocol_errors(pieces: list[bytes]) -> None:
    with contextlib.suppress(ProtocolError):
        assert decode(pieces) == []
        assert not any(pieces)


@given(frames, st.integers(0, 19), st.integers(0, 255), st.lists(st.integers(0, 10**6), max_size=4))
def test_decoder_when_a_header_byte_is_wrong_then_frames_or_protocol_errors(
    frame: Frame, at: int, value: int, places: list[int]
) -> None:
    data = bytearray(encode_frame(frame))
    data[at] = value
    with contextlib.suppress(ProtocolError):
        found = decode(cut(bytes(data), places))
        assert b"".join(map(encode_frame, found)) == data


@pytest.mark.parametrize(
    "header",
    [
        HEADER.pack(b"TS", 1, Kind.AUDIO, MAX_META_BYTES + 1, 0, 1),
        HEADER.pack(b"TS", 1, Kind.AUDIO, 0, 2**32 - 1, 1),
    ],
)
def test_decoder_when_a_length_is_too_large_then_refused_before_its_bytes_come(header: bytes) -> None:
    with pytest.raises(FrameTooLargeError):
        list(feed(FrameDecoder(), header))


def test_encode_frame_when_at_the_limits_then_fits_and_one_more_is_refused() -> None:
    largest = Frame(Kind.AUDIO, 1, bytes(MAX_META_BYTES), bytes(MAX_PAYLOAD_BYTES))
    assert decode([encode_frame(largest)]) == [largest]
    for frame in (
        Frame(Kind.AUDIO, 1, bytes(MAX_META_BYTES + 1)),
        Frame(Kind.AUDIO, 1, b"", bytes(MAX_PAYLOAD_BYTES + 1)),
    ):
        with pytest.raises(FrameTooLargeError):
            encode_frame(frame)
