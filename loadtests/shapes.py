"""How many clients there are in the course of a run.

Owns: the shapes. Refuses to know: Locust, what a client does.

A shape multiplies the interactive clients; one of each other kind stays one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

SPIKE = 3.0
RAMP_STEPS = 6


def steady(_share: float) -> float:
    """Return all clients from the first moment to the last."""
    return 1.0


def ramp(share: float) -> float:
    """Return more and more in six steps, up to twice as many; shows where it bends."""
    step = min(RAMP_STEPS, int(share * RAMP_STEPS) + 1)
    return 2.0 * step / RAMP_STEPS


def spike(share: float) -> float:
    """Return three times as many in the middle third; shows what it does to the others, and how it ends."""
    return SPIKE if 1 / 3 <= share < 2 / 3 else 1.0


SHAPES: dict[str, Callable[[float], float]] = {"steady": steady, "ramp": ramp, "spike": spike}
"""From the share of the run that has passed to the factor."""


def interactive_count(shape: str, run_time_s: float, duration_s: float, base: int) -> int | None:
    """Return how many interactive clients there should be now; None at the end.

    Args:
        shape: One of `SHAPES`.
        run_time_s: Seconds since the begin.
        duration_s: Seconds of the whole run.
        base: Interactive clients of the profile.
    """
    if run_time_s >= duration_s:
        return None
    return math.ceil(base * SHAPES[shape](run_time_s / duration_s))
