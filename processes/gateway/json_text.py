"""A JSON text from a client becomes an object.

Owns: what isn't taken beside what isn't JSON: other values, NaN, keys that stand there twice.
Refuses to know: fields, bodies, how large a text may be.
"""

from __future__ import annotations

import json
from typing import Any

from appliance.errors import InvalidRequestError


def parse_json(raw: bytes) -> dict[str, Any]:
    """Return a body's JSON object. Blocks for some 5 ms per megabyte.

    Raises:
        InvalidRequestError: It isn't a JSON object, or a key stands in it twice.
    """
    try:
        values = json.loads(raw, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        message = (
            f"The body isn't JSON: {error}" if isinstance(error, ValueError) else "The body nests too deep"
        )
        raise InvalidRequestError(message) from None
    if not isinstance(values, dict):
        message = "The body must be a JSON object"
        raise InvalidRequestError(message)
    return values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        message = "a key stands in an object twice"
        raise ValueError(message)
    return values


def _refuse_constant(name: str) -> None:
    message = f"{name} isn't a JSON number"
    raise ValueError(message)
