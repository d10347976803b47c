"""The overlap of windows is exactly as wide as a voice's graphs can look: one frame less shows in the audio.

Random weights prove nothing of that: what they take from the border of their reach is lost in rounding. So
here only the outermost taps of every convolution weigh anything.
"""

from pathlib import Path
from typing import Any

import pytest

for package in ("torch", "onnxruntime"):
    pytest.importorskip(package, reason="needs torch, Coqui and the extras neural and coqui")

import numpy as np
import torch

from appliance.engines.vits.making.decoder import decoder_reach_frames, flow_reach_frames
from appliance.engines.vits.making.export import export_graphs
from appliance.engines.vits.making.load import LoadedModel, load_model
from appliance.engines.vits.noise import Noise
from appliance.engines.vits.voice import Sentence, VitsVoice
from appliance.voice_store import VitsModel
from loadtests.checkpoints import Kind, make_checkpoint

pytestmark = [pytest.mark.neural, pytest.mark.timeout(180)]

IDS = tuple(range(4, 44))
WHOLE = 10_000
"""Frames of a window that no sentence here fills."""
PART = 20
"""Frames of a window, fewer than the graphs' reach."""


def weigh_borders(module: Any) -> None:
    """Have every convolution see its first and last tap alone, each channel of it as much as what goes in."""
    for layer in module.modules():
        if not isinstance(layer, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
            continue
        if layer.kernel_size[0] > 1 and isinstance(layer, torch.nn.Conv1d):
            layer.weight[:, :, 1:-1] = 0
        layer.weight.mul_((layer.weight.shape[1] * layer.weight.square().mean()).rsqrt())


@pytest.fixture(scope="module")
def bordered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VitsModel]:
    """Graphs of such a model, and what they are."""
    loaded: LoadedModel = load_model(make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny", Kind()))
    model, args = loaded.model, loaded.config.model_args
    with torch.no_grad():
        weigh_borders(model.flow)
        weigh_borders(model.waveform_decoder)
        model.waveform_decoder.conv_post.weight.mul_(1e-4)  # so that its tanh doesn't flatten everything
    folder = tmp_path_factory.mktemp("graphs")
    export_graphs(loaded, folder)
    return folder, VitsModel(
        hop_length=loaded.config.audio.hop_length,
        hidden_channels=args.hidden_channels,
        noise_scale=1.0,
        duration_noise_scale=0.0,
        length_scale=1.0,
        flow_overlap_frames=flow_reach_frames(model.flow),
        decoder_overlap_frames=decoder_reach_frames(model.waveform_decoder),
    )


def spoken(bordered: tuple[Path, VitsModel], frames: int, **changes: int) -> Any:
    folder, vits = bordered
    voice = VitsVoice(folder, vits.model_copy(update=changes), 1)
    return np.concatenate(list(voice.begin(Sentence(IDS), Noise(3), WHOLE).windows(frames, frames)))


def difference(bordered: tuple[Path, VitsModel], **changes: int) -> float:
    """Of windows against one run, as a part of the loudest sample."""
    whole = spoken(bordered, WHOLE)
    return float(np.abs(spoken(bordered, PART, **changes) - whole).max() / np.abs(whole).max())


def test_windows_when_the_overlap_is_what_the_graphs_look_at_then_equal_to_one_run(bordered) -> None:
    assert difference(bordered) <= 1e-4


@pytest.mark.parametrize("graph", ["flow", "decoder"])
def test_windows_when_the_overlap_is_one_frame_too_short_then_another_sound(bordered, graph) -> None:
    name = f"{graph}_overlap_frames"
    assert difference(bordered, **{name: getattr(bordered[1], name) - 1}) > 1e-3
