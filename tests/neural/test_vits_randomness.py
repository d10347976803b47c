"""The vits engine with a seed and noise scales of an utterance's own: what is heard of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

for package in ("numpy", "onnxruntime", "onnx"):
    pytest.importorskip(package, reason="the extras neural and coqui aren't installed")

from appliance.engine_settings import VitsSettings
from appliance.engines.vits.engine import VitsEngine
from appliance.speech import PcmChunk, Randomness, WordMark
from appliance.voice_store import VoiceStore
from tests.parts.utterances import audio_s, utterance, whole_pcm
from tests.parts.vits_voice import put_tiny_voice

pytestmark = pytest.mark.neural

TEXT = "The quick brown fox jumps over the lazy dog, and nobody in the village says anything about it."
SSML = '<speak>One <break time="250ms"/> two <sub alias="three">3</sub></speak>'
VOICES_OWN = (0.667, 1.0)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("data")
    manifest = put_tiny_voice(data_dir, is_uneven=True)
    assert manifest.vits
    assert (manifest.vits.noise_scale, manifest.vits.duration_noise_scale) == VOICES_OWN
    return data_dir


@pytest.fixture(scope="module")
def engine(data_dir: Path) -> Iterator[VitsEngine]:
    with closing(made(data_dir)) as engine:
        yield engine


def made(data_dir: Path, **windows: int) -> VitsEngine:
    return VitsEngine(VitsSettings(**windows), VoiceStore(data_dir), "tiny")


def spoken(engine: VitsEngine, randomness: Randomness, text: str = TEXT, **fields: Any) -> list[PcmChunk]:
    return list(engine.synthesize(utterance(text, "tiny/0", "vits", randomness=randomness, **fields)))


def pcm(engine: VitsEngine, randomness: Randomness, text: str = TEXT, **fields: Any) -> bytes:
    return whole_pcm(spoken(engine, randomness, text, **fields))


def marks(chunks: list[PcmChunk]) -> list[WordMark]:
    return [mark for chunk in chunks for mark in chunk.word_marks]


@pytest.mark.parametrize("windows", [{}, {"first_window_frames": 10, "max_window_frames": 20}])
def test_synthesize_when_a_seed_is_given_then_the_same_audio_for_it_alone(
    data_dir: Path, windows: dict[str, int]
) -> None:
    asked = [
        Randomness(),
        *(Randomness(seed) for seed in (0, 5, 2**64 - 1)),
        *(Randomness(seed, noise_scale=0.3) for seed in (None, 5)),
        *(Randomness(seed, noise_scale_w=0.3) for seed in (None, 5)),
    ]
    with closing(made(data_dir, **windows)) as engine, closing(made(data_dir, **windows)) as another:
        heard = [pcm(engine, each) for each in asked]
        assert len(set(heard)) == len(asked)
        assert [pcm(another, each) for each in reversed(asked)] == heard[::-1]  # nothing of one stays
        assert pcm(engine, Randomness(None, *VOICES_OWN)) == heard[0]


@pytest.mark.parametrize(
    ("text", "fields"), [(TEXT, {}), (TEXT, {"pitch": 1.3, "speed": 0.7}), (SSML, {"is_ssml": True})]
)
def test_synthesize_when_there_is_no_noise_then_the_seed_decides_nothing(
    engine: VitsEngine, text: str, fields: dict[str, Any]
) -> None:
    silent, own = (
        [pcm(engine, Randomness(seed, *scales), text, **fields) for seed in (5, 6)]
        for scales in ((0.0, 0.0), VOICES_OWN)
    )
    assert silent[0] == silent[1]
    assert own[0] != own[1]


def test_synthesize_when_only_the_durations_have_no_noise_then_words_come_at_the_same_times(
    engine: VitsEngine,
) -> None:
    steady, other = (
        spoken(engine, Randomness(seed, noise_scale_w=0.0), wants_word_marks=True) for seed in (5, 6)
    )
    assert marks(steady) == marks(other) != []
    assert audio_s(steady) == audio_s(other)
    assert whole_pcm(steady) != whole_pcm(other)


def test_synthesize_when_only_the_colour_has_no_noise_then_words_come_at_other_times(
    engine: VitsEngine,
) -> None:
    one, other = (spoken(engine, Randomness(seed, noise_scale=0.0), wants_word_marks=True) for seed in (5, 6))
    assert marks(one) != marks(other)
