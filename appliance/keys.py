"""Key files: one key on each line, readable by their owner only.

Owns: reading them. Only SHA-256 hashes leave this module.
Refuses to know: what a key opens.
"""

from __future__ import annotations

import hashlib
import stat

from appliance.errors import ConfigurationError
from appliance.settings import ROOT


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
    try:
        mode = path.stat().st_mode
        keys = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it isn't text"
        message = f"the key file can't be read: {reason}"
        raise ConfigurationError(message) from None
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"{path}: others may read the key file; chmod 600 it"
        raise ConfigurationError(message)
    if not keys:
        message = f"{path}: the key file holds no key"
        raise ConfigurationError(message)
    return frozenset(hashlib.sha256(key.encode()).digest() for key in keys)
