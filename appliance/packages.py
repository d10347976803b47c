"""The packages that not everybody needs: how to get them, and how many threads they may have.

Owns: their names, the command that installs them, the variables that bound their threads.
Refuses to know: what they are used for; versions (`requirements/neural.txt`).
"""

from __future__ import annotations

from importlib.util import find_spec

MAKER = "maker"
TRACING = "tracing"
NEEDED = {
    "vits": ("num2words", "numpy", "onnxruntime"),
    "coqui": ("TTS", "torch"),
    MAKER: ("num2words", "numpy", "onnx", "onnxruntime"),
    TRACING: ("opentelemetry", "requests"),
}
"""Engine → the names under which it imports them; of coqui those that draw in all others; of the maker of
voices those besides Coqui; of traces what sends them."""
HOW_TO_INSTALL = "make .venv/neural.stamp, in a checkout, installs what neural voices need"
HOW_TO_TRACE = "make .venv/image.stamp, in a checkout, installs what sends traces"

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What the libraries of numpy and torch take their number of threads from, when they are loaded. Without it
they go by the machine's cores, of which they see all, however small a container's CPU quota is.
Source: the manuals of OpenMP (OMP_NUM_THREADS), oneMKL and OpenBLAS."""


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment in which each of these libraries computes with so many threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def missing_packages(user: str) -> list[str]:
    """Return what one of `NEEDED` imports and isn't installed, in order; imports nothing."""
    return [name for name in NEEDED.get(user, ()) if find_spec(name) is None]
