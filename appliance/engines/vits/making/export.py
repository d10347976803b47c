"""Cuts a VITS model into three graphs of which all randomness is an input.

Owns: the graphs' inputs and outputs, their files, and the proof that they compute what the model computes.
Refuses to know: quantisation, text, the voice store.

    text.onnx      ids [1, n], noise [1, 2, n], speaker [1], language [1] → m, logs [1, c, n], logw [1, 1, n]
    flow.onnx      z_p [1, c, t], speaker [1] → z [1, c, t]
    decoder.onnx   z [1, c, t], speaker [1], trim [2] → wav [1, 1, (t − trim) · hop]

`noise` is there for a stochastic duration predictor only, `speaker` and `language` for a model that has
several. `trim` says how many frames of z, first and last, are there for the others' sake; none where the
utterance begins or ends.
Source: VITS (arXiv 2106.06103), and Coqui's `Vits.inference` for the order of its parts.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from appliance.engines.vits.making.decoder import Decoder, decoder_reach_frames
from appliance.engines.vits.making.graphs import open_graph, run, save_with_data
from appliance.engines.vits.making.load import LoadedModel
from appliance.errors import VoiceQualityError

OPSET = 18
TRACED_TOKENS, TRACED_FRAMES = 60, 80
CHECKED_TOKENS, CHECKED_FRAMES = 37, 53
"""Lengths at which a graph is made, and others at which it is compared."""
MAX_DIFFERENCE = 1e-3
"""Of any output of a graph, relative to the output's peak. Float noise is 1e-6; a wrong graph is off by 1."""
SEED = 20_260


class TextGraph(nn.Module):
    """Token ids to the prior's mean, its log deviation, and the log durations."""

    def __init__(self, loaded: LoadedModel) -> None:
        """Take the model's own parts."""
        super().__init__()
        model, self.args = loaded.model, loaded.config.model_args
        self.encoder, self.durations = model.text_encoder, model.duration_predictor
        self.speakers = model.emb_g if loaded.speakers else None
        self.languages = model.emb_l if loaded.languages else None

    def forward(self, ids: Any, noise: Any, speaker: Any, language: Any) -> tuple[Any, Any, Any]:
        """Return m, logs [1, c, n] and logw [1, 1, n]; inputs that the model hasn't may be None."""
        spoken = None if self.languages is None else self.languages(language).unsqueeze(-1)
        length = torch.ones_like(ids).sum(1)
        hidden, m, logs, mask = self.encoder(ids, length, lang_emb=spoken)
        voice = None
        if self.speakers is not None and self.args.condition_dp_on_speaker:
            voice = self.speakers(speaker).unsqueeze(-1)
        if not self.args.use_sdp:
            return m, logs, self.durations(hidden, mask, g=voice, lang_emb=spoken)
        return m, logs, self._draw(hidden, mask, noise, voice, spoken)

    def _draw(self, hidden: Any, mask: Any, noise: Any, voice: Any, spoken: Any) -> Any:
        """Run the stochastic predictor backwards from given noise; Coqui's own would draw it inside."""
        predictor = self.durations
        state = predictor.pre(hidden)
        if voice is not None:
            state = state + predictor.cond(voice)
        if spoken is not None:
            state = state + predictor.cond_lang(spoken)
        state = predictor.proj(predictor.convs(state, mask)) * mask
        affine, _unused, *couplings = predictor.flows
        drawn = noise
        for step in (*reversed(couplings), affine):
            drawn = step(torch.flip(drawn, [1]), mask, g=state, reverse=True)
        return drawn[:, :1]


class FlowGraph(nn.Module):
    """Frames of the prior to frames of the decoder."""

    def __init__(self, loaded: LoadedModel) -> None:
        """Take the model's own flow."""
        super().__init__()
        self.flow = loaded.model.flow
        self.speakers = loaded.model.emb_g if loaded.speakers else None

    def forward(self, z_p: Any, speaker: Any) -> Any:
        """Return z [1, c, t]."""
        voice = None if self.speakers is None else self.speakers(speaker).unsqueeze(-1)
        return self.flow(z_p, torch.ones_like(z_p[:, :1]), g=voice, reverse=True)


class DecoderGraph(nn.Module):
    """Frames to audio, in the rearranged form."""

    def __init__(self, loaded: LoadedModel) -> None:
        """Rearrange the model's decoder."""
        super().__init__()
        self.decoder = Decoder(loaded.model.waveform_decoder)
        self.speakers = loaded.model.emb_g if loaded.speakers else None

    def forward(self, z: Any, speaker: Any, trim: Any) -> Any:
        """Return wav [1, 1, (t − trim) · hop]."""
        voice = None if self.speakers is None else self.speakers(speaker).unsqueeze(-1)
        return self.decoder(z, voice, trim)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one graph is traced."""

    name: str
    module: nn.Module
    inputs: dict[str, Any]
    """Every input of the module by name; None where the model has none."""
    outputs: tuple[str, ...]
    dynamic: dict[str, dict[int, str]]


def export_graphs(loaded: LoadedModel, folder: Path) -> None:
    """Write the three graphs into a folder, large weights beside them, and compare each with the model.

    Blocks for seconds.

    Raises:
        ModelUnsupportedError: The model's decoder has layers of another kind.
        VoiceQualityError: A graph computes something else than the model.
    """
    with torch.inference_mode():
        for plan in _plans(loaded, TRACED_TOKENS, TRACED_FRAMES):
            _export(plan, folder)
        reference = _reference(loaded)
        for plan in _plans(loaded, CHECKED_TOKENS, CHECKED_FRAMES):
            _check(plan, folder / f"{plan.name}.onnx", reference[plan.name])


def _plans(loaded: LoadedModel, tokens: int, frames: int) -> list[_Plan]:
    """Say what goes into each graph, with random inputs of these lengths."""
    noise = torch.Generator().manual_seed(SEED + tokens)
    channels = loaded.config.model_args.hidden_channels
    ids = torch.randint(0, loaded.characters.num_chars, (1, tokens), generator=noise)
    last_speaker = torch.tensor([len(loaded.speakers) - 1]) if loaded.speakers else None
    last_language = torch.tensor([len(loaded.languages) - 1]) if loaded.languages else None
    drawn = torch.randn(1, 2, tokens, generator=noise) if loaded.config.model_args.use_sdp else None
    frames_in = torch.randn(1, channels, frames, generator=noise)
    text = {"ids": ids, "noise": drawn, "speaker": last_speaker, "language": last_language}
    per_token = {"ids": {1: "n"}, "noise": {2: "n"}, "m": {2: "n"}, "logs": {2: "n"}, "logw": {2: "n"}}
    flow = {"z_p": frames_in, "speaker": last_speaker}
    reach = decoder_reach_frames(loaded.model.waveform_decoder)
    seen = torch.randn(1, channels, frames + 2 * reach, generator=noise)
    decoder = {"z": seen, "speaker": last_speaker, "trim": torch.tensor([reach, reach])}
    return [
        _Plan("text", TextGraph(loaded), text, ("m", "logs", "logw"), per_token),
        _Plan("flow", FlowGraph(loaded), flow, ("z",), {"z_p": {2: "t"}, "z": {2: "t"}}),
        _Plan("decoder", DecoderGraph(loaded), decoder, ("wav",), {"z": {2: "t"}, "wav": {2: "s"}}),
    ]


def _export(plan: _Plan, folder: Path) -> None:
    path = folder / f"{plan.name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about what is constant in a graph on purpose
        torch.onnx.export(
            plan.module.eval(),
            tuple(plan.inputs.values()),
            str(path),
            opset_version=OPSET,
            input_names=[name for name, value in plan.inputs.items() if value is not None],
            output_names=list(plan.outputs),
            dynamic_axes={
                name: axes for name, axes in plan.dynamic.items() if plan.inputs.get(name, 0) is not None
            },
            dynamo=False,
        )
    save_with_data(onnx.load(str(path)), path)


def _reference(loaded: LoadedModel) -> dict[str, list[Any]]:
    """Compute the same with the model's own decoder, at the lengths of the comparison."""
    text, flow, decoder = _plans(loaded, CHECKED_TOKENS, CHECKED_FRAMES)
    voice = None if not loaded.speakers else loaded.model.emb_g(decoder.inputs["speaker"]).unsqueeze(-1)
    audio = loaded.model.waveform_decoder(decoder.inputs["z"], g=voice)
    reach = (decoder.inputs["z"].shape[2] - CHECKED_FRAMES) // 2
    hop = audio.shape[2] // decoder.inputs["z"].shape[2]
    return {
        "text": list(text.module.eval()(**text.inputs)),
        "flow": [flow.module.eval()(**flow.inputs)],
        "decoder": [audio[:, :, reach * hop : (reach + CHECKED_FRAMES) * hop]],
    }


def _check(plan: _Plan, path: Path, reference: list[Any]) -> None:
    inputs = {name: value.numpy() for name, value in plan.inputs.items() if value is not None}
    for name, found, wanted in zip(plan.outputs, run(open_graph(path), **inputs), reference, strict=True):
        expected = wanted.numpy()
        difference = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-9))
        if not difference <= MAX_DIFFERENCE:
            raise VoiceQualityError(
                f"The graph {plan.name} differs from the model in {name} by {difference:.1e}"
            )
