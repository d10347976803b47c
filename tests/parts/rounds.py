"""How often a fault is repeated and what its bounds allow for: `make test` is short, `make faults` is full.

Unit-speed machines are shared, so that the short form allows for what else they run. The full form allows
for nothing: there a bound is the least that its row promises, which is not always the best that could be
aimed at. Where a round takes seconds, the full form has tens of them, not hundreds.
"""

from __future__ import annotations

import os

MACHINE_IS_BUSY_S = 3.0
"""What a machine that runs other tests beside this one may add."""


def is_full() -> bool:
    """Whether FAULTS_FULL=1 in the environment asks for the full form."""
    return os.environ.get("FAULTS_FULL") == "1"


def rounds(few: int, full: int) -> int:
    """Return one of two numbers: the few of the short form, or the full one."""
    return full if is_full() else few


def allowance_s(busy_s: float = MACHINE_IS_BUSY_S) -> float:
    """Return the seconds that a bound may be missed by: none in the full form."""
    return 0.0 if is_full() else busy_s
