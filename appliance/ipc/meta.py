"""Values in the meta of a wire frame: JSON in and out, each value checked for its type and bounds.

Owns: what a value of each type may be.
Refuses to know: which fields a kind has (`messages`), the frame around it (`frames`).
"""

from __future__ import annotations

import json
from typing import Any

from appliance.speech import MAX_NOISE_SCALE
from appliance.tracing import read_traceparent

SEED_BITS = 64
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""Made once: with other than its usual arguments `json.dumps` makes one for every call."""


def dump_meta(values: dict[str, Any]) -> bytes:
    """Return the bytes of a meta."""
    return _ENCODER.encode(values).encode()


def load_meta(meta: bytes) -> dict[str, Any]:
    """Return the object that a meta holds; an empty one stands for none.

    Raises:
        ValueError: It isn't JSON.
        TypeError: It isn't an object.
    """
    values = json.loads(meta) if meta else {}
    if not isinstance(values, dict):
        message = "not a JSON object"
        raise TypeError(message)
    return values


def as_text(value: object) -> str:
    """Return a text.

    Raises:
        TypeError: It is none.
    """
    if isinstance(value, str):
        return value
    message = f"not a text: {value!r:.50}"
    raise TypeError(message)


def as_traceparent(value: object) -> str:
    """Return a `traceparent`, or an empty text.

    Raises:
        TypeError: It is no text.
        ValueError: It means nothing.
    """
    text = as_text(value)
    if text and read_traceparent([text]) is None:
        message = "not a traceparent"
        raise ValueError(message)
    return text


def as_whole(value: object) -> int:
    """Return a whole number from 0.

    Raises:
        TypeError: It is none.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    message = f"not a whole number from 0: {value!r:.50}"
    raise TypeError(message)


def as_seed(value: object) -> int:
    """Return a seed of `SEED_BITS`.

    Raises:
        TypeError: It is no whole number from 0.
        ValueError: It has more bits.
    """
    seed = as_whole(value)
    if seed.bit_length() > SEED_BITS:
        message = f"a seed of more than {SEED_BITS} bits"
        raise ValueError(message)
    return seed


def as_noise_scale(value: object) -> float:
    """Return a noise scale.

    Raises:
        TypeError: It is no number.
        ValueError: It is none of 0 to `MAX_NOISE_SCALE`.
    """
    scale = as_number(value)
    if not 0 <= scale <= MAX_NOISE_SCALE:
        message = f"a noise scale of {scale}"
        raise ValueError(message)
    return scale


def as_number(value: object) -> float:
    """Return a finite number.

    Raises:
        TypeError: It is none.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e9:  # noqa: PLR0124, PLR2004 (NaN differs from itself; no figure here is near 1e9)
        return float(value)
    message = f"not a finite number: {value!r:.50}"
    raise TypeError(message)


def as_flag(value: object) -> bool:
    """Return true or false.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(value, bool):
        return value
    message = f"not true or false: {value!r:.50}"
    raise TypeError(message)
