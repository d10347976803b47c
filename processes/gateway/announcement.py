"""What the watchdog is told about this gateway.

Owns: telling it again until it was taken, and with each heartbeat: a watchdog that comes later than the
gateway, or in place of one that has died with what it was told, learns everything; the heartbeat's rhythm.
Refuses to know: what is worth telling.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from appliance.watched import notify


class Announcement:
    """The latest value of each assignment of sd_notify's protocol, until the watchdog has taken it."""

    def __init__(self, run_dir: Path, heartbeat_s: float) -> None:
        """Begin with nothing to tell.

        Args:
            run_dir: The run directory.
            heartbeat_s: Seconds between two heartbeats.
        """
        self._run_dir = run_dir
        self._heartbeat_s = heartbeat_s
        self._beat_s = 0.0
        self._latest: dict[str, str] = {}
        self._untold: dict[str, str] = {}

    def tell(self, **assignments: str) -> None:
        """Tell something, now or with the next `repeat` that succeeds; never blocks.

        Args:
            assignments: For example READY="1", STATUS="3 of 3 workers".
        """
        self._latest |= assignments
        if "STOPPING" in assignments:
            self._latest.pop("READY", None)
        self._untold |= assignments
        self.repeat()

    def repeat(self) -> None:
        """Tell what hasn't been taken yet; never blocks."""
        if self._untold and notify(self._run_dir, *(f"{key}={value}" for key, value in self._untold.items())):
            self._untold.clear()

    def beat(self, engines_ready: int, workers: Iterable[int]) -> None:
        """Say that the event loop runs, and all the rest, if that is due; never blocks.

        To be called more often than it is due.

        Args:
            engines_ready: Engines of which a worker serves now.
            workers: Process ids of the workers that are connected now.
        """
        now_s = time.monotonic()
        if now_s - self._beat_s >= self._heartbeat_s:
            self._beat_s = now_s
            beat = {
                "WATCHDOG": "1",
                "X_ENGINES_READY": str(engines_ready),
                "X_WORKERS": ",".join(map(str, workers)),
            }
            notify(self._run_dir, *(f"{key}={value}" for key, value in (beat | self._latest).items()))
