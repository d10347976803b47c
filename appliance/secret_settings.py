"""Secrets that may come in the environment, and the file that the environment was made of.

Owns: which `APPLIANCE_…` variables hold a secret itself and which setting names a file with the same, what
such a variable may hold, and the modes that a `.env` may have.
Refuses to know: who is let in with a secret, and where the launcher puts it.

No program but the launcher, for a moment, and `ttsctl` ever has these variables: everything below the
launcher is told the name of a file instead (decision 34).
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from appliance.errors import ConfigurationError

ENV_FILE_VARIABLE = "APPLIANCE_ENV_FILE"
"""Names the `.env` that the environment was made of; in the container its mounted twin."""
SECRET_VARIABLES = {
    "APPLIANCE_HTTP_API_KEYS": "APPLIANCE_HTTP_API_KEYS_FILE",
    "APPLIANCE_ADMIN_KEY": "APPLIANCE_ADMIN_KEY_FILE",
}
"""Variable that holds keys → variable that names a file of them."""
NO_SETTINGS = frozenset({ENV_FILE_VARIABLE, *SECRET_VARIABLES})
"""Variables that no setting has the name of."""
ENV_FILE_MODES = (0o600, 0o400)


def find_secrets(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the keys that stand in the environment, by their variable; several are written with commas.

    A variable that is empty counts as absent, as `.env` files have it.

    Raises:
        ConfigurationError: One holds no key, or something that no client could send, or the file of the same
            is named, too. The message never shows the value.
    """
    found = {}
    for variable, file_variable in SECRET_VARIABLES.items():
        text = environ.get(variable, "").strip()
        if not text:
            continue
        if environ.get(file_variable):
            message = f"{variable}: {file_variable} is set, too; take one of them away"
            raise ConfigurationError(message)
        keys = tuple(part.strip() for part in text.split(",") if part.strip())
        if not keys:
            message = f"{variable}: holds no key; write keys with commas between them"
            raise ConfigurationError(message)
        if not all(_is_sendable(key) for key in keys):
            message = f"{variable}: a key may have visible characters of ASCII only, and no blanks"
            raise ConfigurationError(message)
        found[variable] = keys
    return found


def _is_sendable(key: str) -> bool:
    return key.isascii() and key.isprintable() and " " not in key


def check_env_file(environ: Mapping[str, str], root: Path) -> None:
    """See that nobody but its owner may read the `.env`, where `APPLIANCE_ENV_FILE` names it.

    Only its mode is looked at: in a container it belongs to a user of the host, and needn't be readable.

    Args:
        environ: The environment.
        root: Folder that a relative path counts from.

    Raises:
        ConfigurationError: It isn't a file, can't be looked at, or has another mode than 0600 or 0400.
    """
    name = environ.get(ENV_FILE_VARIABLE)
    if not name:
        return
    path = root / name
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no path"
        message = f"{ENV_FILE_VARIABLE}: {path}: can't be looked at: {reason}"
        raise ConfigurationError(message) from None
    if not stat.S_ISREG(mode):
        message = (
            f"{ENV_FILE_VARIABLE}: {path}: isn't a file; Compose makes a folder of a .env that is missing"
        )
        raise ConfigurationError(message)
    if stat.S_IMODE(mode) not in ENV_FILE_MODES:
        message = f"{ENV_FILE_VARIABLE}: {path}: its mode is {stat.S_IMODE(mode):04o}; chmod 600 the .env"
        raise ConfigurationError(message)
