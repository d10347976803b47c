"""The watchdog's watchdog: a watchdog that hangs is killed, and supervisord starts it again.

Owns: when the watchdog's heartbeat counts as missing.
Refuses to know: what the watchdog does.
"""

from __future__ import annotations

import time
from pathlib import Path

from loguru import logger

from appliance.unix_calls import RPC_ERRORS, supervisor_rpc
from appliance.watched import can_beat, read_beat

SILENCE_S = 20.0
"""Seconds without a heartbeat that mean hung. Longer than what `ttsctl live` needs to see it, and than any
answer of supervisord's that the watchdog waits for."""
FORGIVEN_LAG_S = 2.0
"""Seconds between two looks after which this process was stopped itself; the clock starts anew."""


class WatchdogCare:
    """Sees that the watchdog's heartbeat changes."""

    def __init__(self, run_dir: Path, silence_s: float = SILENCE_S) -> None:
        """Begin the clock.

        Args:
            run_dir: The run directory.
            silence_s: Seconds without a heartbeat that mean hung.
        """
        self._run_dir = run_dir
        self._silence_s = silence_s
        self.hangs = 0
        """Times that it was killed because it hung."""
        self._beat = ""
        self._changed_s = self._looked_s = time.monotonic()

    def look(self) -> None:
        """Kill a watchdog that hangs; blocks for supervisord's answer then. To be called every second.

        One that can't write its heartbeat, or that somebody has stopped, doesn't hang.
        """
        now_s, beat = time.monotonic(), read_beat(self._run_dir)
        if beat != self._beat or now_s - self._looked_s > FORGIVEN_LAG_S:
            self._beat, self._changed_s = beat, now_s
        self._looked_s = now_s
        if now_s - self._changed_s <= self._silence_s:
            return
        self._changed_s = now_s
        if not can_beat(self._run_dir):
            return
        try:
            with supervisor_rpc(self._run_dir) as supervisor:
                if supervisor.getProcessInfo("watchdog")["statename"] != "RUNNING":
                    return
                logger.error("watchdog_hung", silence_s=self._silence_s)
                supervisor.signalProcess("watchdog", "KILL")
                self.hangs += 1
        except RPC_ERRORS as error:  # it has just ended, or supervisord hangs too: seen after the same time
            logger.warning("supervisord_refused", error=str(error))
