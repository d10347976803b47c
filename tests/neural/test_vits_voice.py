"""One voice: durations, windows that equal one run, seeds, broken graphs."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

for package in ("numpy", "onnxruntime", "onnx"):
    pytest.importorskip(package, reason="the extras neural and coqui aren't installed")

import itertools

import numpy as np

from appliance.engines.vits.noise import Noise
from appliance.engines.vits.voice import FLOW_GRAPH, Sentence, VitsVoice, count_frames, spread_frames
from appliance.errors import EngineFailedError
from appliance.voice_store import VoiceManifest, VoiceStore
from tests.parts.vits_voice import FRAMES_PER_TOKEN, HOP, put_tiny_voice

pytestmark = pytest.mark.neural

IDS = tuple(range(1, 30))
WHOLE = 10_000
"""Frames of a window that no sentence here fills."""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def tiny(data_dir: Path) -> VitsVoice:
    return loaded(data_dir, put_tiny_voice(data_dir))


@pytest.fixture(scope="module")
def many(data_dir: Path) -> VitsVoice:
    return loaded(data_dir, put_tiny_voice(data_dir, "many", has_speakers=True, has_languages=True))


def loaded(data_dir: Path, manifest: VoiceManifest) -> VitsVoice:
    assert manifest.vits
    return VitsVoice(VoiceStore(data_dir).path(manifest.id), manifest.vits, 1)


def spoken(
    voice: VitsVoice, first: int = WHOLE, most: int = WHOLE, *, seed: int = 7, ids=IDS, **fields: Any
) -> Any:
    speech = voice.begin(Sentence(ids, **fields), Noise(seed), 5000)
    audio = np.concatenate(list(speech.windows(first, most)))
    assert len(audio) == speech.total_frames * HOP
    return audio


scales = st.none() | st.floats(0, 1)


@given(
    first=st.integers(1, 40),
    most=st.integers(1, 40),
    length=st.integers(1, 29),
    noise_scale=scales,
    duration_noise_scale=scales,
)
def test_windows_when_of_any_size_then_equal_to_one_run(tiny, first, most, length, **noise_scales) -> None:
    ids = IDS[:length]
    difference = spoken(tiny, first, most, ids=ids, **noise_scales) - spoken(tiny, ids=ids, **noise_scales)
    assert float(np.abs(difference).max()) <= 1e-6


def test_windows_when_the_overlap_is_too_small_then_the_difference_shows(data_dir) -> None:
    """So that the test above can fail."""
    manifest = put_tiny_voice(data_dir, "narrow")
    assert manifest.vits
    narrow = manifest.vits.model_copy(update={"flow_overlap_frames": 1, "decoder_overlap_frames": 1})
    voice = VitsVoice(VoiceStore(data_dir).path("narrow"), narrow, 1)
    assert float(np.abs(spoken(voice, 10, 10) - spoken(voice)).max()) > 1e-3


def test_speech_when_the_seed_is_the_same_then_the_audio_is_else_not(tiny) -> None:
    assert np.array_equal(spoken(tiny, 5, 9), spoken(tiny, 5, 9))
    others = spoken(tiny, 5, 9, seed=8)
    assert len(others) != len(spoken(tiny)) or not np.array_equal(others, spoken(tiny))


def test_speech_when_speaker_or_language_differ_then_so_does_the_audio(many) -> None:
    pairs = [(0, 0), (1, 0), (2, 0), (0, 1)]
    voices = [spoken(many, speaker=speaker, language=language) for speaker, language in pairs]
    assert len({audio.tobytes() for audio in voices}) == len(pairs)


def test_speech_when_it_has_one_speaker_then_the_index_is_left_out(tiny) -> None:
    assert np.array_equal(spoken(tiny, speaker=2, language=1), spoken(tiny))


@pytest.mark.parametrize("slowness", [0.5, 1.0, 2.0])
def test_speech_when_slower_then_as_much_longer(tiny, slowness) -> None:
    usual = len(spoken(tiny))
    assert len(IDS) * (FRAMES_PER_TOKEN - 1) * HOP < usual < len(IDS) * (FRAMES_PER_TOKEN + 1) * HOP
    assert abs(len(spoken(tiny, slowness=slowness)) - usual * slowness) <= HOP


def test_token_starts_when_asked_then_in_order_from_zero_to_the_end(tiny) -> None:
    speech = tiny.begin(Sentence(IDS), Noise(1), 5000)
    starts = speech.token_starts()
    assert len(starts) == len(IDS) + 1
    assert (starts[0], starts[-1]) == (0, speech.total_frames * HOP)
    assert all(before < after for before, after in itertools.pairwise(starts))


def test_speech_when_longer_than_may_be_then_faster(tiny) -> None:
    speech = tiny.begin(Sentence(IDS, slowness=4.0), Noise(1), 100)
    assert speech.total_frames == 100
    with pytest.raises(EngineFailedError, match="too long"):
        tiny.begin(Sentence(IDS), Noise(1), len(IDS) - 1)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=60),
    st.floats(0.01, 20),
    st.integers(0, 500),
)
def test_spread_when_at_any_speed_then_each_token_has_a_frame_and_the_sum_is_right(
    usual, slowness, room
) -> None:
    most = len(usual) + room
    frames = spread_frames(np.array(usual), slowness, most)
    assert frames.min() >= 1
    assert frames.sum() == max(len(usual), min(round(sum(usual) * slowness), most))


def test_count_frames_when_as_coqui_rounds_then_up_and_never_none() -> None:
    logw = np.log(np.array([0.001, 1.0, 1.01, 2.9], np.float32)).astype(np.float32)
    assert count_frames(logw, 1.0).tolist() == [1, 1, 2, 3]
    assert count_frames(np.array([-1e30], np.float32), 1.0).tolist() == [1]
    assert count_frames(np.array([1e30], np.float32), 1.0)[0] < 2**40


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_count_frames_when_no_number_then_an_error_of_the_engine(value) -> None:
    with pytest.raises(EngineFailedError, match="no numbers"):
        count_frames(np.array([value], np.float32), 1.0)


@pytest.mark.parametrize("content", [b"", b"no graph", None])
def test_voice_when_a_graph_is_broken_or_missing_then_an_error_of_the_engine(data_dir, content) -> None:
    manifest = put_tiny_voice(data_dir, "broken")
    path = VoiceStore(data_dir).path("broken") / FLOW_GRAPH
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EngineFailedError, match=r"flow\.onnx can't be loaded"):
        loaded(data_dir, manifest)
    VoiceStore(data_dir).remove("broken")


def test_voice_when_a_graph_is_another_then_an_error_of_the_engine(data_dir) -> None:
    manifest = put_tiny_voice(data_dir, "swapped")
    folder = VoiceStore(data_dir).path("swapped")
    (folder / "text.onnx").replace(folder / FLOW_GRAPH)
    with pytest.raises(EngineFailedError):
        loaded(data_dir, manifest)
    VoiceStore(data_dir).remove("swapped")


def test_speech_when_a_token_has_no_row_then_an_error_of_the_engine(tiny) -> None:
    with pytest.raises(EngineFailedError, match=r"text\.onnx failed"):
        tiny.begin(Sentence([9999]), Noise(1), 5000)
