"""Where the appliance that ttsctl speaks to has its sockets.

Owns: the choice of the run directory, without reading any other setting.
Refuses to know: what is said over the sockets.

The standard library only: the container's health check starts this every few seconds.
"""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
"""The checkout, or the image's application folder."""

GATEWAY_SOCKET = "gateway.sock"
"""As `appliance.lifecycle` has it, whose import takes longer than the whole health check."""
BEAT_FILE = "watchdog-beat.txt"
"""As `appliance.watched` has it; likewise."""


def find_run_dir(given: Path | None) -> Path:
    """Return the run directory: the argument, APPLIANCE_RUN_DIR, the settings file's, the default's.

    A relative argument counts from the current directory, as paths on a command line do; the others are
    settings and count from the checkout. A settings file that can't be read counts as one that doesn't say;
    `ttsctl check-config` names its fault.
    """
    if given is not None:
        return given.absolute()
    if from_environment := os.environ.get("APPLIANCE_RUN_DIR"):
        return CHECKOUT / from_environment
    return CHECKOUT / (_dir_in_settings_file() or "run")


def _dir_in_settings_file() -> str | None:
    import tomllib  # not at the top: a health check names its run directory and needs none

    path = CHECKOUT / os.environ.get("APPLIANCE_CONFIG", "config/appliance.toml")
    try:
        section = tomllib.loads(path.read_text("utf-8")).get("run", {})
    except (OSError, ValueError):
        return None
    found = section.get("dir") if isinstance(section, dict) else None
    return found if isinstance(found, str) else None
