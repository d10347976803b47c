"""Opens a graph for the making of a voice.

Owns: how onnxruntime is set up here: one thread, no spinning, nothing in its log but errors.
Refuses to know: what a graph computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

ERRORS_ONLY = 3
"""onnxruntime's severity for its log."""


def open_graph(path: Path) -> Any:
    """Return a session of one thread on this CPU.

    Blocks while the graph is optimised. `session.run(None, inputs)` then blocks while it computes.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.enable_cpu_mem_arena = False  # it would keep the most that ever was in use
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])


def run(graph: Any, **inputs: Any) -> list[Any]:
    """Run a graph with those of the inputs that it has, and return every output."""
    wanted = {entry.name for entry in graph.get_inputs()}
    found: list[Any] = graph.run(None, {name: value for name, value in inputs.items() if name in wanted})
    return found
