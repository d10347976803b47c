"""Quantises a decoder graph to int8.

Owns: which forms of a decoder there are, and how one is made of calibration windows.
Refuses to know: where the windows come from, and which form is good enough.

Weights are int8 with a scale for each channel, activations uint8 with the range that the calibration windows
reach. Source: measurements C3, C4; onnxruntime's static quantisation.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from appliance.engines.vits.making.graphs import save_with_data


@dataclass(frozen=True, slots=True)
class Form:
    """A form of the decoder."""

    name: str
    """What a manifest calls it."""
    operations: tuple[str, ...]
    """ONNX operators that are computed in int8; none for fp32."""


FORMS = (
    Form("int8", ("Conv", "Add", "LeakyRelu", "Transpose", "Reshape")),
    Form("int8-conv", ("Conv",)),
    Form("fp32", ()),
)
"""The fastest on most processors first. `int8` keeps the data small throughout, `int8-conv` is more exact."""


class _Windows(CalibrationDataReader):
    """Hands the windows to onnxruntime, one by one."""

    def __init__(self, windows: Sequence[dict[str, Any]]) -> None:
        self._windows: Iterator[dict[str, Any]] = iter(windows)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._windows, None)


def quantise(source: Path, target: Path, form: Form, windows: Sequence[dict[str, Any]]) -> None:
    """Make a form of a decoder graph.

    Blocks for seconds, or half a minute at full size.

    Args:
        source: The graph as exported.
        target: Where the new one goes, large weights beside it.
        form: One with operations.
        windows: Inputs of the graph by name, as they come of the voice's own text.
    """
    logging.getLogger("root").setLevel(logging.ERROR)
    with TemporaryDirectory(dir=target.parent) as scratch:
        whole, prepared, made = (Path(scratch, f"{name}.onnx") for name in ("whole", "prepared", "made"))
        onnx.save_model(onnx.load(str(source)), str(whole))  # onnxruntime's tool wants it in one file
        quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(made),
            _Windows(windows),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(form.operations),
            calibrate_method=CalibrationMethod.MinMax,
        )
        save_with_data(onnx.load(str(made)), target)
