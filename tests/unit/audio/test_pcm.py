"""PCM as bytes: joined utterances, silence, loudness."""

import itertools
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.pcm import PcmJoiner, rms_level_dbfs, silence
from appliance.errors import EncoderFailedError
from appliance.speech import PcmChunk
from tests.parts.audio import RATE_HZ, in_pieces, samples_of

FADE_IN_FRAMES = round(0.003 * RATE_HZ)
FADE_OUT_FRAMES = round(0.005 * RATE_HZ)


def constant(frames: int, value: int = 10_000) -> bytes:
    return struct.pack("<h", value) * frames


def utterance_chunks(pcm: bytes, chunk_frames: int) -> list[PcmChunk]:
    pieces = in_pieces(pcm, chunk_frames) or [b""]
    return [PcmChunk(piece, RATE_HZ, is_last=place == len(pieces) - 1) for place, piece in enumerate(pieces)]


def joined(utterances: list[bytes], chunk_frames: int = 1000) -> bytes:
    joiner = PcmJoiner(RATE_HZ)
    return b"".join(joiner.feed(chunk) for pcm in utterances for chunk in utterance_chunks(pcm, chunk_frames))


@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(0, 700), min_size=1, max_size=3),
    chunk_frames=st.integers(1, 300),
)
def test_joiner_when_utterances_are_fed_in_any_chunks_then_no_frame_is_lost_or_moved(lengths, chunk_frames):
    utterances = [struct.pack(f"<{n}h", *(1000 + place % 999 for place in range(n))) for n in lengths]
    pcm = joined(utterances, chunk_frames)
    assert pcm == joined(utterances, 1000)
    assert len(pcm) == sum(map(len, utterances))
    start = 0
    for utterance in utterances:
        inner = slice(2 * FADE_IN_FRAMES, max(2 * FADE_IN_FRAMES, len(utterance) - 2 * FADE_OUT_FRAMES))
        assert pcm[start : start + len(utterance)][inner] == utterance[inner]
        start += len(utterance)


@pytest.mark.parametrize("frames", [1, 2, 50, FADE_IN_FRAMES, FADE_OUT_FRAMES, 170, 5000])
def test_joiner_when_utterances_begin_and_end_loud_then_their_joint_has_no_step(frames):
    utterances = [constant(frames), constant(frames, -10_000), constant(frames)]
    samples = samples_of(silence(0.01, RATE_HZ) + joined(utterances) + silence(0.01, RATE_HZ))
    steps = [abs(right - left) for left, right in itertools.pairwise(samples)]
    assert max(steps) <= 10_000 / min(FADE_IN_FRAMES, FADE_OUT_FRAMES) + 2


def test_joiner_when_the_first_chunk_comes_then_all_but_its_tail_leaves_at_once():
    joiner = PcmJoiner(RATE_HZ)
    assert len(joiner.feed(PcmChunk(constant(2048), RATE_HZ))) == 2 * (2048 - FADE_OUT_FRAMES)


def test_joiner_when_an_utterance_has_ended_then_the_next_one_fades_in_again():
    joiner = PcmJoiner(RATE_HZ)
    joiner.feed(PcmChunk(constant(500), RATE_HZ, is_last=True))
    assert samples_of(joiner.feed(PcmChunk(constant(500), RATE_HZ, is_last=True)))[0] == 0


def test_joiner_when_a_chunk_has_another_rate_then_error():
    with pytest.raises(EncoderFailedError, match="16000 Hz"):
        PcmJoiner(RATE_HZ).feed(PcmChunk(constant(10), 16000))


def test_joiner_when_a_chunk_ends_inside_a_sample_then_error():
    with pytest.raises(EncoderFailedError, match="3 bytes"):
        PcmJoiner(RATE_HZ).feed(PcmChunk(b"abc", RATE_HZ))


@pytest.mark.parametrize(
    ("engines_silence_frames", "paused_frames"),
    [(0, 2205 - 1), (1000, 1205 - 1), (2204, 0), (9000, 0)],
)
def test_pause_when_the_engine_left_silence_then_only_the_rest_is_added(
    engines_silence_frames, paused_frames
):
    # The fade out silences the last frame in any case.
    joiner = PcmJoiner(RATE_HZ)
    trail = b"\0\0" * max(0, engines_silence_frames)
    for chunk in utterance_chunks(constant(3000) + trail, 700):
        joiner.feed(chunk)
    expected = paused_frames if not trail else 2205 - engines_silence_frames
    assert len(joiner.pause(0.1)) == 2 * max(0, expected)


def test_pause_when_the_last_utterance_ended_loud_then_silence_before_it_does_not_count():
    joiner = PcmJoiner(RATE_HZ)
    joiner.feed(PcmChunk(silence(1, RATE_HZ), RATE_HZ, is_last=True))
    joiner.feed(PcmChunk(constant(3000), RATE_HZ, is_last=True))
    assert len(joiner.pause(0.1)) == 2 * (2205 - 1)


@pytest.mark.parametrize(("duration_s", "frames"), [(0, 0), (-1, 0), (0.00001, 0), (0.1, 2205), (1, 22050)])
def test_silence_when_asked_for_seconds_then_whole_frames_of_zeros(duration_s, frames):
    assert silence(duration_s, RATE_HZ) == b"\0\0" * frames


@pytest.mark.parametrize(
    ("pcm", "level_dbfs"),
    [
        (b"", -math.inf),
        (b"\0\0" * 100, -math.inf),
        (struct.pack("<h", -32768) * 100, 0.0),
        (constant(100, 3277), -20.0),
        (constant(50, 3277) + b"\0\0" * 50, -23.01),
        (constant(1, 1), -90.31),
    ],
)
def test_rms_level_when_measured_then_decibels_below_full_scale(pcm, level_dbfs):
    assert rms_level_dbfs(pcm) == pytest.approx(level_dbfs, abs=0.01)


def test_rms_level_when_the_pcm_ends_inside_a_sample_then_error():
    with pytest.raises(EncoderFailedError):
        rms_level_dbfs(b"a")
