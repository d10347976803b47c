"""A tiny voice of three real graphs, drawn by hand in milliseconds: no torch, no Coqui.

It has the inputs, outputs and shapes of an imported voice, convolutions with known reach and random weights;
what it says is noise whose durations follow from its tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from appliance.engines.vits.voice import DECODER_GRAPH, FLOW_GRAPH, TEXT_GRAPH
from appliance.voice_store import MAKING_PREFIX, FileRecord, Speaker, VoiceManifest, VoiceStore

CHANNELS, HOP, KERNEL = 4, 64, 5
LETTERS = tuple("_ abcdefghijklmnopqrstuvwxyzäöüß.,!?'-")
FRAMES_PER_TOKEN = 3
SPEAKERS, LANGUAGES = 3, 2
FLOW_REACH = 2 * (KERNEL // 2)
"""Two convolutions."""
DECODER_REACH = KERNEL // 2 + 1
"""A convolution, then one that spreads each frame over its neighbours."""


class _Drawing:
    """Nodes and weights of a graph under way."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def weight(self, name: str, *shape: int, scale: float = 0.3) -> str:
        return self.constant(name, self._random.standard_normal(shape) * scale)

    def constant(self, name: str, values: Any, kind: type = np.float32) -> str:
        self._weights.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def add(self, operation: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        return output

    def add_embedding(self, x: str, index: str, count: int, *, is_used: bool) -> str:
        """Add a learnt vector, one of `count`, to every frame of x."""
        if not is_used:
            return x
        rows = self.weight(f"{index}_table", count, CHANNELS)
        row = self.add("Gather", [rows, index], f"{index}_row")
        column = self.add(
            "Unsqueeze", [row, self.constant(f"{index}_axis", [2], np.int64)], f"{index}_column"
        )
        return self.add("Add", [x, column], f"{index}_added")

    def save(self, path: Path, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]) -> None:
        whole = {"ids", "speaker", "language", "trim"}
        graph = helper.make_graph(
            self._nodes,
            path.stem,
            [
                helper.make_tensor_value_info(
                    name, TensorProto.INT64 if name in whole else TensorProto.FLOAT, shape
                )
                for name, shape in inputs.items()
            ],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in outputs.items()
            ],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.checker.check_model(model)
        onnx.save_model(
            model,
            path,
            save_as_external_data=True,
            location=f"{path.stem}.weights",
            size_threshold=64,
        )


def _choices(*, has_speakers: bool, has_languages: bool = False) -> dict[str, list[Any]]:
    names = ["speaker"] * has_speakers + ["language"] * has_languages
    return {name: [1] for name in names}


def _draw_text(path: Path, *, has_speakers: bool, has_languages: bool, is_uneven: bool) -> None:
    drawing = _Drawing(1)
    table = drawing.weight("table", len(LETTERS), CHANNELS)
    rows = drawing.add("Gather", [table, "ids"], "rows")
    x = drawing.add("Transpose", [rows], "x", perm=[0, 2, 1])
    x = drawing.add_embedding(x, "speaker", SPEAKERS, is_used=has_speakers)
    x = drawing.add_embedding(x, "language", LANGUAGES, is_used=has_languages)
    drawing.add("Conv", [x, drawing.weight("w_m", CHANNELS, CHANNELS, 3)], "m", pads=[1, 1])
    drawing.add("Conv", [x, drawing.weight("w_s", CHANNELS, CHANNELS, 3, scale=0.1)], "logs", pads=[1, 1])
    durations = drawing.add(
        "Conv", ["noise", drawing.weight("w_d", 1, 2, 1, scale=1.0 if is_uneven else 0.1)], "d"
    )
    mean = drawing.constant("mean", [[[np.log(FRAMES_PER_TOKEN - 0.5)]]])
    drawing.add("Add", [durations, mean], "logw")
    drawing.save(
        path,
        {"ids": [1, "n"], "noise": [1, 2, "n"]}
        | _choices(has_speakers=has_speakers, has_languages=has_languages),
        {"m": [1, CHANNELS, "n"], "logs": [1, CHANNELS, "n"], "logw": [1, 1, "n"]},
    )


def _draw_flow(path: Path, *, has_speakers: bool) -> None:
    drawing = _Drawing(2)
    pad = KERNEL // 2
    x = drawing.add("Conv", ["z_p", drawing.weight("w1", CHANNELS, CHANNELS, KERNEL)], "x1", pads=[pad, pad])
    x = drawing.add_embedding(x, "speaker", SPEAKERS, is_used=has_speakers)
    x = drawing.add("Tanh", [x], "x2")
    drawing.add("Conv", [x, drawing.weight("w2", CHANNELS, CHANNELS, KERNEL)], "z", pads=[pad, pad])
    shape = [1, CHANNELS, "t"]
    drawing.save(path, {"z_p": shape} | _choices(has_speakers=has_speakers), {"z": shape})


def _draw_decoder(path: Path, *, has_speakers: bool) -> None:
    drawing = _Drawing(3)
    pad = KERNEL // 2
    x = drawing.add_embedding("z", "speaker", SPEAKERS, is_used=has_speakers)
    x = drawing.add("Conv", [x, drawing.weight("w1", CHANNELS, CHANNELS, KERNEL)], "x1", pads=[pad, pad])
    x = drawing.add("LeakyRelu", [x], "x2")
    spread = drawing.weight("w2", CHANNELS, 1, 2 * HOP)
    half = HOP // 2
    x = drawing.add("ConvTranspose", [x, spread], "x3", strides=[HOP], pads=[half, half])
    x = drawing.add("Tanh", [x], "x4")
    first, second, time_axis = (
        drawing.constant(name, [value], np.int64)
        for name, value in (("first", 0), ("second", 1), ("axis", 2))
    )
    outer = drawing.add("Mul", ["trim", drawing.constant("hop", HOP, np.int64)], "outer")
    begin = drawing.add("Gather", [outer, first], "begin")
    length = drawing.add("Gather", [drawing.add("Shape", [x], "shape"), time_axis], "length")
    end = drawing.add("Sub", [length, drawing.add("Gather", [outer, second], "behind")], "end")
    drawing.add("Slice", [x, begin, end, time_axis], "wav")
    inputs: dict[str, list[Any]] = {"z": [1, CHANNELS, "t"], "trim": [2]}
    drawing.save(path, inputs | _choices(has_speakers=has_speakers), {"wav": [1, 1, "s"]})


def put_tiny_voice(
    data_dir: Path,
    voice_id: str = "tiny",
    *,
    has_speakers: bool = False,
    has_languages: bool = False,
    is_uneven: bool = False,
) -> VoiceManifest:
    """Put a tiny voice into the store and return its manifest.

    The noise of its durations is too little to be heard, unless it is uneven.
    """
    store = VoiceStore(data_dir)
    folder = store.folder / f"{MAKING_PREFIX}{voice_id}"
    folder.mkdir(parents=True)
    _draw_text(
        folder / TEXT_GRAPH, has_speakers=has_speakers, has_languages=has_languages, is_uneven=is_uneven
    )
    _draw_flow(folder / FLOW_GRAPH, has_speakers=has_speakers)
    _draw_decoder(folder / DECODER_GRAPH, has_speakers=has_speakers)
    manifest = _manifest(voice_id, has_speakers=has_speakers, has_languages=has_languages)
    files = {path.name: FileRecord.of(path) for path in folder.iterdir()}
    manifest = manifest.model_copy(update={"files": files})
    store.put(folder, manifest)
    return manifest


def _manifest(voice_id: str, *, has_speakers: bool, has_languages: bool) -> VoiceManifest:
    languages = {"en": 0, "de": 1} if has_languages else {}
    return VoiceManifest.model_validate(
        {
            "id": voice_id,
            "name": voice_id.title(),
            "engine": "vits",
            "model": "checkpoint",
            "languages": list(languages or ["en"]),
            "model_languages": {language: language for language in languages},
            "language_indexes": languages,
            "speakers": [Speaker(id=f"s{n}", name=f"S {n}", index=n) for n in range(SPEAKERS * has_speakers)],
            "sample_rate_hz": 16000,
            "front_end": {"vocabulary": LETTERS, "pad": "_", "blank": "_", "add_blank": True}
            | ({} if has_languages else {"language": "en"}),
            "vits": {
                "hop_length": HOP,
                "hidden_channels": CHANNELS,
                "noise_scale": 0.667,
                "duration_noise_scale": 1.0,
                "length_scale": 1.0,
                "flow_overlap_frames": FLOW_REACH,
                "decoder_overlap_frames": DECODER_REACH,
            },
            "variant": "fp32",
        }
    )
