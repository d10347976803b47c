"""Voices made of tiny models, spoken by the vits engine, against Coqui itself with the same noise."""

import math
from pathlib import Path
from typing import Any

import pytest

for package in ("torch", "onnxruntime"):
    pytest.importorskip(package, reason="needs torch, Coqui and the extras neural and coqui")

import numpy as np
import torch

from appliance.engines.vits.making.load import load_model
from appliance.engines.vits.noise import Noise
from appliance.engines.vits.voice import Sentence, VitsVoice
from appliance.voice_store import VoiceManifest, VoiceStore
from tests.parts.checkpoints import KINDS, coquis_speaker, make_tiny_voice

pytestmark = [pytest.mark.neural, pytest.mark.timeout(120)]

SEED = 11
IDS = [3, 9, 27, 14, 5, 33, 8, 41, 2, 19, 7, 30]
LEAST_DB = 22
"""Of a form in int8 against Coqui, a short sentence: the making demands 25 dB of longer ones."""
WHOLE = 10_000
"""Frames of a window that no sentence here fills."""


@pytest.fixture(scope="module", params=sorted(KINDS))
def made(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VoiceManifest, Any]:
    """Where a voice lies, what it is, and Coqui's own model of it."""
    data_dir = tmp_path_factory.mktemp("data")
    manifest = make_tiny_voice(data_dir, request.param)
    return data_dir, manifest, load_model(data_dir / "checkpoints" / request.param).model


def spoken(data_dir: Path, manifest: VoiceManifest, sentence: Sentence, largest: int):
    assert manifest.vits
    voice = VitsVoice(VoiceStore(data_dir).path(manifest.id), manifest.vits, 1)
    speech = voice.begin(sentence, Noise(SEED), 5000)
    return np.concatenate(list(speech.windows(min(largest, 10), largest)))


def as_coqui(data_dir: Path, manifest: VoiceManifest, model: Any, sentence: Sentence, monkeypatch):
    """Coqui's audio, with the noise that the engine draws in the place of its own."""
    noise = Noise(SEED)
    durations = torch.from_numpy(noise.durations(len(sentence.ids)))

    def frames(like):
        return torch.from_numpy(noise.frames(like.shape[2], like.shape[1]).copy())[None]

    monkeypatch.setattr(torch, "randn", lambda *_: durations)
    monkeypatch.setattr(torch, "randn_like", frames)
    one = coquis_speaker(data_dir / "checkpoints" / manifest.id, manifest.id, sentence.speaker) | {
        "language_ids": torch.tensor([sentence.language]) if manifest.model_languages else None,
    }
    others = {"x_lengths": torch.tensor([len(sentence.ids)]), "durations": None}
    with torch.inference_mode():
        said = model.inference(torch.tensor([sentence.ids]), aux_input=one | others)
    return said["model_outputs"].reshape(-1).numpy()


@pytest.mark.parametrize("tokens", [1, 2, 3, 4, 5, 6, 9, 12])
def test_voice_when_the_noise_is_the_same_then_it_sounds_as_coqui(made, monkeypatch, tokens) -> None:
    data_dir, manifest, model = made
    sentence = Sentence(
        IDS[:tokens],
        speaker=1 if manifest.speakers else 0,
        language=2 if manifest.model_languages else 0,
    )
    audio = spoken(data_dir, manifest, sentence, 16)
    with monkeypatch.context() as patch:
        expected = as_coqui(data_dir, manifest, model, sentence, patch)
    assert audio.shape == expected.shape
    assert float(np.abs(expected).max()) > 0.001
    least_db = 80 if manifest.variant == "fp32" else LEAST_DB
    assert signal_to_noise_db(expected, audio) >= least_db


@pytest.mark.parametrize("scales", [(0.0, 0.0), (0.2, 0.9), (1.0, 0.1)])
def test_voice_when_noise_scales_are_given_then_they_are_coquis(made, monkeypatch, scales) -> None:
    data_dir, manifest, model = made
    sentence = Sentence(IDS, noise_scale=scales[0], duration_noise_scale=scales[1])
    with monkeypatch.context() as patch:
        patch.setattr(model, "inference_noise_scale", scales[0])
        patch.setattr(model, "inference_noise_scale_dp", scales[1])
        expected = as_coqui(data_dir, manifest, model, sentence, patch)
    audio = spoken(data_dir, manifest, sentence, 16)
    assert audio.shape == expected.shape
    assert signal_to_noise_db(expected, audio) >= (80 if manifest.variant == "fp32" else LEAST_DB)


def signal_to_noise_db(expected: Any, audio: Any) -> float:
    return 10 * math.log10(float((expected**2).sum()) / max(float(((audio - expected) ** 2).sum()), 1e-30))


def test_comparison_when_the_audio_is_another_then_it_fails(made, monkeypatch) -> None:
    data_dir, manifest, model = made
    with monkeypatch.context() as patch:
        expected = as_coqui(data_dir, manifest, model, Sentence(IDS), patch)
    for other in (np.zeros_like(expected), expected * 0.9, np.roll(expected, 1)):
        assert signal_to_noise_db(expected, other) < LEAST_DB


def test_windows_when_small_then_equal_to_one_run(made) -> None:
    data_dir, manifest, _ = made
    sentence = Sentence(IDS * 4)
    difference = spoken(data_dir, manifest, sentence, 16) - spoken(data_dir, manifest, sentence, WHOLE)
    assert float(np.abs(difference).max()) <= (1e-6 if manifest.variant == "fp32" else 0)
