"""How often a fault is repeated: a few times in `make test`, as often as the matrix asks in `make faults`."""

from __future__ import annotations

import os


def rounds(few: int, full: int) -> int:
    """Return one of two numbers; FAULTS_FULL=1 in the environment asks for the full one."""
    return full if os.environ.get("FAULTS_FULL") == "1" else few
