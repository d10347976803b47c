"""Opens and writes graphs while a voice is made.

Owns: how onnxruntime is set up here (one thread, no spinning, nothing in its log but errors), how a graph
lies on the disk with its large weights beside it.
Refuses to know: what a graph computes.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnxruntime

ERRORS_ONLY = 3
"""onnxruntime's severity for its log."""
SMALLEST_BYTES = 1024
"""Smaller weights stay inside the graph."""
FILE_MODE = 0o644


def open_graph(path: Path) -> Any:
    """Return a session of one thread on this CPU.

    Blocks while the graph is optimised. `session.run(None, inputs)` then blocks while it computes.
    """
    return onnxruntime.InferenceSession(str(path), _options(), ["CPUExecutionProvider"])


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.enable_cpu_mem_arena = False  # it would keep the most that ever was in use
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def run(graph: Any, **inputs: Any) -> list[Any]:
    """Run a graph with those of the inputs that it has, and return every output."""
    wanted = {entry.name for entry in graph.get_inputs()}
    found: list[Any] = graph.run(None, {name: value for name, value in inputs.items() if name in wanted})
    return found


def save_with_data(graph: Any, path: Path) -> None:
    """Write a graph with its large weights in one file beside it, which workers map instead of copying.

    Args:
        graph: An ONNX model, whole in memory.
        path: Its place; the weights go to the same name with `.data` behind it.
    """
    data = path.with_name(f"{path.name}.data")
    data.unlink(missing_ok=True)  # onnx would append to it
    onnx.save_model(
        graph, str(path), save_as_external_data=True, location=data.name, size_threshold=SMALLEST_BYTES
    )
    for file in (path, data):
        if file.exists():
            file.chmod(FILE_MODE)  # onnx leaves the data to its owner alone


def settle(source: Path, target: Path) -> None:
    """Write a graph as onnxruntime has optimised it, so that a worker needn't do that again at its start.

    Only what is good for every processor is done, so that the voice may move to another. The outputs are the
    same; a full-size voice loads in 0.12 s of CPU in place of 0.28. Blocks for a second.

    Args:
        source: The graph, with its weights beside it.
        target: Its place in the same folder, which may be the same.
    """
    with TemporaryDirectory(dir=target.parent) as scratch:
        options, key = _options(), "session.optimized_model_external_initializers"
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(Path(scratch, target.name))
        options.add_session_config_entry(f"{key}_file_name", f"{target.name}.data")
        options.add_session_config_entry(f"{key}_min_size_in_bytes", str(SMALLEST_BYTES))
        onnxruntime.InferenceSession(str(source), options, ["CPUExecutionProvider"])
        for file in (source, target):
            file.unlink(missing_ok=True)
            file.with_name(f"{file.name}.data").unlink(missing_ok=True)
        for made in list(Path(scratch).iterdir()):
            made.chmod(FILE_MODE)
            made.rename(target.with_name(made.name))
