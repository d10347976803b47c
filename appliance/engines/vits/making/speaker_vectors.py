"""The vectors by which some models know their speakers: a speaker encoder has made them of recordings.

Owns: the form of the file with them (d-vectors), and one vector for each speaker.
Refuses to know: where the file lies, the model.

    {"any key of a recording": {"name": "Ann", "embedding": [0.1, …]}, …}

A speaker's vector is the mean of those of all recordings, and the model gets it at length 1.
Source: Coqui's `EmbeddingManager.get_mean_embedding` and `BaseTTS._get_speaker_conditioning`.
"""

from __future__ import annotations

import math
from typing import Any

from appliance.errors import ModelTooLargeError, VoiceConfigError
from appliance.voice_store import MAX_SPEAKERS

MAX_VECTORS_BYTES = 33_554_432
"""A larger file isn't read. Two thousand vectors of 512 numbers have about 20 MB as JSON."""


def mean_vectors(recordings: dict[str, Any]) -> dict[str, list[float]]:
    """Return each speaker's vector by name, in the order of the names, which is Coqui's.

    Raises:
        VoiceConfigError: There is none, one is no list of finite numbers, or they differ in length.
        ModelTooLargeError: There are more speakers than a voice can have.
    """
    found: dict[str, list[list[float]]] = {}
    for recording in recordings.values():
        name, vector = _read(recording)
        found.setdefault(name, []).append(vector)
    if len(found) > MAX_SPEAKERS:
        raise ModelTooLargeError(f"The model has {len(found)} speakers, more than {MAX_SPEAKERS}")
    lengths = {len(vector) for vectors in found.values() for vector in vectors}
    if len(lengths) != 1 or 0 in lengths:
        raise VoiceConfigError("The vectors of the model's speakers are none, or differ in length")
    return {
        name: [math.fsum(column) / len(column) for column in zip(*found[name], strict=True)]
        for name in sorted(found)
    }


def _read(recording: Any) -> tuple[str, list[float]]:
    values = recording if isinstance(recording, dict) else {}
    name, vector = values.get("name"), values.get("embedding")
    if not isinstance(name, str) or not name.strip():
        raise VoiceConfigError("A vector of the model's speakers has no name")
    if not isinstance(vector, list) or not all(map(_is_finite, vector)):
        raise VoiceConfigError(f"A vector of {name[:80]!r} isn't a list of finite numbers")
    return name, vector


def _is_finite(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < 1e30  # noqa: PLR2004 (NaN isn't below it, either)
