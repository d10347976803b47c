"""Maintenance: the appliance stays up and takes no requests for speech until somebody says so.

Owns: the file by which it outlasts every restart, what clients are told.
Refuses to know: who refuses them, and who switches it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.errors import DrainingError, default_message
from appliance.lifecycle import read_json, write_json

MAINTENANCE_FILE = "maintenance.json"
"""In the data folder, which outlasts a container, for as long as there is maintenance."""
MAX_MESSAGE_CHARS = 200
RETRY_AFTER_S = 60.0
"""Seconds after which a client is asked to come back: nobody knows how long maintenance takes, and
whoever asks once a minute costs nothing."""


class MaintenanceError(DrainingError):
    """The appliance is being maintained and takes no new requests."""

    code = "maintenance"


@dataclass(frozen=True, slots=True)
class Maintenance:
    """One time of maintenance."""

    message: str
    """What clients read behind the usual words, on one line; may be empty."""
    since: str
    """When it was switched on: UTC, RFC 3339, seconds; empty where the file doesn't tell."""

    def error(self, retry_after_s: float) -> MaintenanceError:
        """Return what a client is told.

        Args:
            retry_after_s: Seconds after which it may come back.
        """
        words = default_message(MaintenanceError)
        return MaintenanceError(
            f"{words.rstrip('.')}: {self.message}" if self.message else words, retry_after_s=retry_after_s
        )

    def as_dict(self) -> dict[str, str]:
        """Return it as `/health` and `ttsctl` tell it."""
        return asdict(self)


def begun_now(message: str) -> Maintenance:
    """Return maintenance that begins now.

    Args:
        message: At most `MAX_MESSAGE_CHARS`, on one line.
    """
    return Maintenance(message, datetime.now(UTC).isoformat(timespec="seconds"))


def read_maintenance(data_dir: Path) -> Maintenance | None:
    """Return the maintenance that was switched on and not off; blocks for the disk.

    A file that is there counts, whatever a crash has left in it.
    """
    path = data_dir / MAINTENANCE_FILE
    if not path.exists():
        return None
    found = read_json(path)
    return Maintenance(str(found.get("message", ""))[:MAX_MESSAGE_CHARS], str(found.get("since", "")))


def write_maintenance(data_dir: Path, maintenance: Maintenance | None) -> None:
    """Have it outlast this process, or end it; blocks for the disk.

    Raises:
        OSError: The data folder can't be written to.
    """
    path = data_dir / MAINTENANCE_FILE
    if maintenance is None:
        path.unlink(missing_ok=True)
    else:
        write_json(path, maintenance.as_dict())
