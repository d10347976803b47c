"""The seed that an utterance has by itself (docs/decisions/0020-the-same-text-sounds-the-same.md).

Owns: the way from a text and a voice to a number.
Refuses to know: what is drawn with it.
"""

from __future__ import annotations

import hashlib

SEED_BYTES = 8


def seed_of(text: str, engine_voice: str) -> int:
    """Return the seed of an utterance that names none: the same text in the same voice sounds the same.

    Returns:
        A number of 64 bits, the same on every machine.
    """
    digest = hashlib.blake2b(f"{engine_voice}\0{text}".encode("utf-8", "replace"), digest_size=SEED_BYTES)
    return int.from_bytes(digest.digest(), "big")
