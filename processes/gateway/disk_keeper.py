"""The disk of the data, looked at all the time while the gateway runs.

Owns: when it is looked at, what is logged and counted of it, what the store's own errors say of it.
Refuses to know: what follows for whom (`appliance.store.disk`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from loguru import logger

from appliance.metrics import GatewayMetrics
from appliance.settings import Settings
from appliance.store.disk import ALERTING, REFUSING, DiskState, DiskWatch
from processes.gateway.store_keeper import StoreKeeper

LOOK_S = 1.0
"""Seconds between two looks."""


class DiskKeeper:
    """Looks at the disk; `run` is its life."""

    def __init__(self, settings: Settings, metrics: GatewayMetrics, store: StoreKeeper) -> None:
        """Remember whose disk it is; nothing is looked at.

        Args:
            settings: Name the data's folder and the limits.
            metrics: Learn of the state.
            store: Notices a disk that fails without a word of the system's.
        """
        self.watch = DiskWatch(settings.data.dir, settings.disk)
        self._metrics = metrics
        self._store = store
        self._said = DiskState.OK

    def as_dict(self) -> dict[str, Any]:
        """Return what `/health` says of the disk."""
        return {"state": self._said.value, "used_ratio": round(self.watch.space.used_ratio, 4)}

    async def run(self) -> None:
        """Look again and again until cancelled; a disk that can't be looked at is left at its last state."""
        is_lost = False
        while True:
            self.watch.is_failing = self._store.state == "readonly"
            try:
                state = await asyncio.to_thread(self.watch.look)
                is_lost = False
            except OSError as error:
                state = self.watch.state
                if not is_lost:
                    logger.error("disk_not_seen", reason=error.strerror)
                is_lost = True
            self._say(state)
            await asyncio.sleep(LOOK_S)

    def _say(self, state: DiskState) -> None:
        self._metrics.disk_alert.set(state in ALERTING)
        self._metrics.disk_refusing.set(state in REFUSING)
        if state != self._said:
            level = "WARNING" if state in ALERTING else "INFO"
            used = round(self.watch.space.used_ratio, 4)
            logger.log(level, "disk_state", state=state.value, was=self._said.value, used_ratio=used)
            self._said = state
