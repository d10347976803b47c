"""The packages that only some engines need, and how to get them.

Owns: their names, and the command that installs them.
Refuses to know: what they are used for; versions (`requirements/neural.txt`).
"""

from __future__ import annotations

from importlib.util import find_spec

MAKER = "maker"
NEEDED = {
    "vits": ("num2words", "numpy", "onnxruntime"),
    "coqui": ("TTS", "torch"),
    MAKER: ("num2words", "numpy", "onnx", "onnxruntime"),
}
"""Engine → the names under which it imports them; of coqui those that draw in all others; of the maker of
voices those besides Coqui."""
HOW_TO_INSTALL = "make .venv/neural.stamp, in a checkout, installs what neural voices need"


def missing_packages(user: str) -> list[str]:
    """Return what an engine, or the maker, imports and isn't installed, in order; imports nothing."""
    return [name for name in NEEDED.get(user, ()) if find_spec(name) is None]
