"""Secrets of the environment become files that only this user may read.

Owns: `run/secrets/`, what is written there and when it goes.
Refuses to know: which variables hold secrets (`appliance.secret_settings`), what they open.

    APPLIANCE_ADMIN_KEY=…  ──▶  run/secrets/admin_key, mode 0600
                                APPLIANCE_ADMIN_KEY_FILE=<that path>  in the place of the variable

An environment can't be forgotten: `/proc/<pid>/environ` shows what a process was started with for as long as
it lives, to every process of the same user. So the launcher begins anew, under the same process id, once the
secrets are in their files; whatever it starts then never had them.
"""

from __future__ import annotations

import os
from pathlib import Path

from appliance.errors import ConfigurationError
from appliance.lifecycle import make_private_dir
from appliance.secret_settings import SECRET_VARIABLES, find_secrets
from appliance.settings import PREFIX, Settings

FOLDER = "secrets"


def take_secrets(run_dir: Path, environ: dict[str, str]) -> dict[str, str] | None:
    """Write the environment's secrets to files; blocks for the disk.

    Args:
        run_dir: The run directory, held by this launcher.
        environ: What the launcher was started with.

    Returns:
        The environment without them, which names the files; None where it holds none.

    Raises:
        ConfigurationError: A secret can't be one, or can't be written.
    """
    found = find_secrets(environ)
    left = {name: value for name, value in environ.items() if name not in SECRET_VARIABLES}
    if left == environ:
        return None
    make_private_dir(run_dir / FOLDER)
    for variable, keys in found.items():
        path = run_dir / FOLDER / variable.removeprefix(PREFIX).lower()
        _write(path, "".join(f"{key}\n" for key in keys))
        left[SECRET_VARIABLES[variable]] = str(path)
    return left


def remove_secrets(run_dir: Path, settings: Settings | None = None) -> None:
    """Remove what was written, but for the files that the settings name.

    Raises:
        ConfigurationError: A file can't be removed.
    """
    named = (settings.http.api_keys_file, settings.admin.key_file) if settings is not None else ()
    kept = {Path(name) for name in named}
    folder = run_dir / FOLDER
    try:
        for path in list(folder.iterdir()) if folder.exists() else ():
            if path not in kept:
                path.unlink()
    except OSError as error:
        message = f"{folder}: can't be emptied: {error.strerror}"
        raise ConfigurationError(message) from None


def _write(path: Path, text: str) -> None:
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        message = f"{path}: can't be written: {error.strerror}"
        raise ConfigurationError(message) from None
