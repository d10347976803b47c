"""Files of secrets that an operator writes, a line each.

Owns: that nobody else may read them, and what is said where one can't be used.
Refuses to know: what a line means.
"""

from __future__ import annotations

import stat
from pathlib import Path

from appliance.errors import ConfigurationError


def read_private_lines(path: Path, what: str) -> list[str]:
    """Return a file's lines without blanks around them, leaving out empty ones; blocks.

    Args:
        path: The file.
        what: What messages call it.

    Raises:
        ConfigurationError: It can't be read, or others may read it. The name of a file that isn't there isn't
            said: it may be a secret in the wrong place.
    """
    try:
        mode = path.stat().st_mode
        lines = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it isn't text"
        message = f"{what} can't be read: {reason}"
        raise ConfigurationError(message) from None
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"{path}: others may read {what}; chmod 600 it"
        raise ConfigurationError(message)
    return lines
