"""The statements of `queries.sql`, by name.

Owns: reading that file: each statement stands behind a line `-- name: …`.
Refuses to know: what a statement does.
"""

from __future__ import annotations

import re
from importlib import resources

NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def read_statements(text: str) -> dict[str, str]:
    """Return each statement by its name.

    Raises:
        ValueError: A name stands there twice, or something stands before the first.
    """
    before, *parts = NAME.split(text)
    if "".join(line for line in before.splitlines() if not line.startswith("--")).strip():
        message = "a statement without a name"
        raise ValueError(message)
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) < len(names):
        message = "a name stands there twice"
        raise ValueError(message)
    return {name: body.strip() for name, body in zip(names, bodies, strict=True)}


STATEMENTS = read_statements(resources.files("appliance.store").joinpath("queries.sql").read_text("utf-8"))
"""Every statement of the store."""
