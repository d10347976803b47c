"""What is learnt of a request while its speech is made: who speaks, and when it was encoded.

Owns: the figures of encoding.
Refuses to know: what becomes of them (`record`, `shared_speech`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from appliance.voices import Voice
from processes.gateway.fallback import Replaced


@dataclass(slots=True)
class EncodingTime:
    """When a request was encoded."""

    work_s: float = 0.0
    """Seconds of encoding so far."""
    begun_at_s: float | None = None
    """Monotonic, as is the next; None before the first."""
    ended_at_s: float = 0.0

    def add(self, begun_at_s: float) -> None:
        """Count an encoding that began then, and has just ended."""
        self.ended_at_s = time.monotonic()
        self.work_s += self.ended_at_s - begun_at_s
        if self.begun_at_s is None:
            self.begun_at_s = begun_at_s


class Account(Protocol):
    """What learns how speech is made."""

    encoding: EncodingTime

    def spoken_by(self, voice: Voice, replaced: Replaced | None) -> None:
        """Learn who speaks, and in whose place."""
