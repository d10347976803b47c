"""A check of `ttsctl doctor`: a look at one thing, and the faults that it knows.

Owns: the shape of a check, and that a look which raises is a warning and no end of the others.
Refuses to know: what is checked (`checks`), and in which order (`doctor`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from processes.ttsctl.finding import Fault, Finding, warning
from processes.ttsctl.patient import Patient

UNSEEABLE = warning("unseeable", "it can't be looked at: for want of rights, or on an unknown machine")
LATE = warning("late", "it didn't answer in time: mostly a disk that hangs")
OF_ANY = (UNSEEABLE, LATE)
"""Faults that any check can find."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked at."""

    look: Callable[[Patient], Finding]
    """Blocks; changes nothing."""
    faults: tuple[Fault, ...]
    """All that it can find."""
    what: str
    """What it looks at, for docs/operate/doctor.md."""


def from_error(error: Exception) -> Finding:
    """Return the finding that a look has ended with an error.

    Args:
        error: What it raised; TimeoutError where it hasn't ended in time.
    """
    match error:
        case TimeoutError():
            advice = "see what hangs: mostly the disk, or a network share"
            return LATE.found("no answer in time", advice, "dmesg --level=err,warn | tail -20")
        case OSError():
            advice = "run ttsctl as the appliance's user"
            return UNSEEABLE.found(f"can't be looked at: {error.strerror or error}", advice, "ttsctl status")
        case _:
            seen = f"can't be looked at: {type(error).__name__}: {error}"
            advice = "look at it by hand: this machine shows what this check doesn't know"
            return UNSEEABLE.found(seen, advice, "ttsctl status")
