"""Everything random follows from one seed, in whatever portions it is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numpy", reason="the neural extra isn't installed")

import numpy as np

from appliance.engines.seeds import seed_of
from appliance.engines.vits.noise import Noise

pytestmark = pytest.mark.neural

seeds = st.integers(0, 2**64 - 1)


@given(seeds, st.lists(st.integers(0, 50), max_size=6))
def test_frames_when_asked_for_in_portions_then_the_same_as_at_once(seed, portions) -> None:
    noise = Noise(seed)
    parts = [noise.frames(count, 3) for count in portions]
    whole = Noise(seed).frames(sum(portions), 3)
    assert np.array_equal(np.concatenate([np.empty((3, 0), np.float32), *parts], axis=1), whole)


@given(seeds, st.integers(1, 600))
def test_frames_when_the_durations_had_more_tokens_then_still_the_same(seed, tokens) -> None:
    noise = Noise(seed)
    assert noise.durations(tokens).shape == (1, 2, tokens)
    assert np.array_equal(noise.frames(4, 2), Noise(seed).frames(4, 2))


def test_noise_when_drawn_then_standard_normal_and_of_its_seed_alone() -> None:
    frames = Noise(1).frames(2000, 50)
    assert frames.dtype == np.float32
    assert abs(float(frames.mean())) < 0.02
    assert abs(float(frames.std()) - 1) < 0.02
    assert not np.array_equal(frames, Noise(2).frames(2000, 50))
    assert not np.array_equal(Noise(1).durations(100)[0, 0], frames[0, :100])


def test_seed_when_an_utterance_names_none_then_of_its_text_and_voice() -> None:
    assert seed_of("Hello.", "amy/0") == 16085024867485570786
    different = {
        seed_of(*pair) for pair in [("Hello.", "amy/1"), ("Hello!", "amy/0"), ("", ""), ("\ud800", "")]
    }
    assert len(different) == 4
    assert all(0 <= seed < 2**64 for seed in different)
