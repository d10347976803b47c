"""Time-stretching and resampling."""

from __future__ import annotations

import array
import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio.resample import Resampler
from appliance.audio.tempo import TempoStretcher
from appliance.errors import EncoderFailedError
from tests.parts.audio import RATE_HZ, in_pieces, samples_of, voice_like

SECOND = voice_like(RATE_HZ)


def stretched(pcm: bytes, tempo: float, chunk_frames: int = 2048) -> bytes:
    stretcher = TempoStretcher(RATE_HZ, tempo)
    return b"".join([*map(stretcher.feed, in_pieces(pcm, chunk_frames)), stretcher.finish()])


def middle_of(pcm: bytes) -> array.array[int]:
    """Return the samples without the first and last fifth."""
    samples = samples_of(pcm)
    return samples[len(samples) // 5 : -len(samples) // 5]


def pitch_hz(pcm: bytes, rate_hz: int = RATE_HZ) -> float:
    """Count how often a pure tone rises through zero."""
    samples = middle_of(pcm)
    rises = sum(left < 0 <= right for left, right in itertools.pairwise(samples))
    return rises * rate_hz / len(samples)


def pure_tone(frequency_hz: int, rate_hz: int = RATE_HZ) -> bytes:
    wave = (round(8000 * math.sin(2 * math.pi * frequency_hz * n / rate_hz)) for n in range(rate_hz))
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in wave)


@settings(max_examples=20)
@given(tempo=st.floats(0.25, 4), frames=st.integers(0, 9000), chunk_frames=st.integers(500, 4000))
def test_stretcher_when_any_pcm_is_fed_then_its_duration_is_divided_by_the_tempo(tempo, frames, chunk_frames):
    pcm = stretched(SECOND[: 2 * frames], tempo, chunk_frames)
    assert len(pcm) / 2 == pytest.approx(frames / tempo, abs=1 + 0.001 * frames / tempo)


@pytest.mark.parametrize("tempo", [0.25, 0.547, 0.9, 1.56, 4.0])
def test_stretcher_when_a_tone_is_stretched_then_its_pitch_and_loudness_stay(tempo):
    pcm = stretched(pure_tone(220), tempo)
    assert pitch_hz(pcm) == pytest.approx(220, rel=0.05)
    assert max(middle_of(pcm)) == pytest.approx(8000, rel=0.1)


def test_stretcher_when_audio_is_slowed_down_then_it_leaves_before_the_end():
    stretcher = TempoStretcher(RATE_HZ, 0.547)
    assert len(stretcher.feed(SECOND[:11000])) > 0


@pytest.mark.parametrize("tempo", [0.24, 4.01, 0, -1, math.nan, math.inf])
def test_stretcher_when_the_tempo_is_out_of_range_then_error(tempo):
    with pytest.raises(EncoderFailedError, match="tempo"):
        TempoStretcher(RATE_HZ, tempo)


@pytest.mark.parametrize("rate_hz", [-1, 0, 1, 7999, 48001])
def test_filters_when_the_rate_is_out_of_range_then_error(rate_hz):
    with pytest.raises(EncoderFailedError, match="sample rate"):
        TempoStretcher(rate_hz, 0.5)
    with pytest.raises(EncoderFailedError, match="sample rate"):
        Resampler(rate_hz, 24000)
    with pytest.raises(EncoderFailedError, match="sample rate"):
        Resampler(24000, rate_hz)


def test_filters_when_the_pcm_ends_inside_a_sample_then_error():
    with pytest.raises(EncoderFailedError, match="3 bytes"):
        TempoStretcher(RATE_HZ, 0.5).feed(b"abc")
    with pytest.raises(EncoderFailedError, match="3 bytes"):
        Resampler(RATE_HZ, 24000).feed(b"abc")


@pytest.mark.parametrize(("from_hz", "to_hz"), [(22050, 24000), (16000, 24000), (48000, 22050)])
def test_resampler_when_a_tone_is_resampled_then_duration_and_pitch_stay(from_hz, to_hz):
    resampler = Resampler(from_hz, to_hz)
    pieces = in_pieces(pure_tone(440, from_hz), 999)
    pcm = b"".join([*map(resampler.feed, pieces), resampler.finish()])
    assert len(pcm) / 2 == pytest.approx(to_hz, abs=2)
    assert pitch_hz(pcm, to_hz) == pytest.approx(440, abs=3)


def test_resampler_when_nothing_was_fed_then_nothing_comes_out():
    resampler = Resampler(22050, 24000)
    assert resampler.feed(b"") + resampler.finish() == b""


def test_resampler_when_used_after_its_end_then_error():
    resampler = Resampler(22050, 24000)
    resampler.feed(SECOND)
    resampler.finish()
    with pytest.raises(EncoderFailedError, match="resampling"):
        resampler.feed(SECOND)
