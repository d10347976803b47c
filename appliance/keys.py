"""Key files: one key on each line, readable by their owner only.

Owns: reading them, taking them out of what is handed on. Only SHA-256 hashes leave this module.
Refuses to know: what a key opens.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable

from appliance.errors import ConfigurationError
from appliance.private_files import read_private_lines
from appliance.settings import ROOT

LEAST_REDACTED_CHARS = 6
"""A shorter key would be found in many words that are none."""
REDACTED = b"(redacted)"


def read_keys(name: str) -> frozenset[bytes]:
    """Read a file of keys, one on each line, and keep their SHA-256.

    Args:
        name: The file's path, a relative one from the checkout; empty gives no keys.

    Raises:
        ConfigurationError: The file can't be read, holds no key, or others may read it. The name of a file
            that isn't there isn't said: it may be a key in the wrong place.
    """
    if not name:
        return frozenset()
    path = ROOT / name
    keys = read_private_lines(path, "the key file")
    if not keys:
        message = f"{path}: the key file holds no key"
        raise ConfigurationError(message)
    return frozenset(hashlib.sha256(key.encode()).digest() for key in keys)


def without_keys(content: bytes, names: Iterable[str]) -> bytes:
    """Return content with every key of some files, and the files' names, put out of sight.

    The names too, since one may be a key in the wrong place.

    Args:
        content: Of whatever kind.
        names: As for `read_keys`; a file that can't be read has no keys.
    """
    words = set()
    for name in filter(None, names):
        words.add(name.encode())
        with contextlib.suppress(OSError, ValueError):
            words |= {line.strip() for line in (ROOT / name).read_bytes().splitlines()}
    for word in sorted(words, key=len, reverse=True):  # one may be a part of another
        if len(word) >= LEAST_REDACTED_CHARS:
            content = content.replace(word, REDACTED)
    return content
