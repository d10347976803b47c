"""Says in one line why a model's `config.json` is refused.

Owns: the line, made of whatever error came.
Refuses to know: what is checked, and where.
"""

from __future__ import annotations

from typing import Any

from appliance.errors import VoiceConfigError

MAX_CHARS = 200
"""Of what a library says."""


def config_error(error: Exception, place: str = "") -> VoiceConfigError:
    """Return the refusal that an error leads to: the place of the first thing that is wrong, and what.

    Args:
        error: Of the manifest, Coqui, torch or Python; one that says nothing is called by its class.
        place: What in the config it is about, where the error doesn't say it.
    """
    said = _first_fault(error)
    if not said:
        lines = (line.strip() for line in str(error).splitlines())
        said = ": ".join(filter(None, (place, next(filter(None, lines), type(error).__name__)[:MAX_CHARS])))
    return VoiceConfigError(f"config.json: {said}")


def _first_fault(error: Any) -> str:
    """Return the first place of the manifest that is wrong, and why; nothing of other errors."""
    if not hasattr(error, "errors"):
        return ""
    first = error.errors()[0]
    return ": ".join(filter(None, (".".join(str(part) for part in first["loc"]), first["msg"])))
