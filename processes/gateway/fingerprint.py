"""By what a text that kills workers is known again.

Owns: how the hash is made under which deaths are counted.
Refuses to know: what decides what a worker does (who asks for the hash does), and the deaths (`admission`).
"""

from __future__ import annotations

import hashlib

from appliance.speech import Utterance


def fingerprint(*parts: object) -> bytes:
    """Return a hash of all that decides what a worker does."""
    return hashlib.sha256(repr(parts).encode()).digest()


def utterance_fingerprint(utterance: Utterance) -> bytes:
    """Return the hash for an utterance that is spoken alone, as those of jobs are."""
    return fingerprint(
        utterance.spoken.text,
        utterance.engine,
        utterance.engine_voice,
        utterance.speed,
        utterance.pitch,
        utterance.volume,
        utterance.is_ssml,
        *utterance.randomness.given().items(),
    )
