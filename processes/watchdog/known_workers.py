"""Which workers the gateway knows, and which it hasn't known for too long.

Owns: the list in the gateway's heartbeats, and the clock of each worker that isn't on it.
Refuses to know: supervisord, what is done about a worker.

A worker that hangs is killed by the gateway that it is connected to. One that hangs with the interpreter's
lock held while its gateway dies never says hello to the next: no gateway knows of it, and to supervisord it
runs.

Workers are judged by a heartbeat of a gateway that is ready, and by nothing else: while there is none, no
worker is unknown. With another gateway, as after a stop of the watchdog itself, all clocks start anew.
"""

from __future__ import annotations

from collections.abc import Mapping

from appliance.settings import Settings
from processes.watchdog.program import WORKER_PREFIX

NOBODY = -1
"""No gateway's process id."""


class KnownWorkers:
    """When the gateway knew each worker last."""

    def __init__(self, settings: Settings) -> None:
        """Begin with nobody known.

        A worker has the time that it takes by itself to leave what it speaks, and `watchdog.silence_s` to
        come back; one that was never known here may be getting warm first.

        Args:
            settings: Hold these limits; a `watchdog.silence_s` of 0 switches all this off.
        """
        workers, silence_s = settings.workers, settings.watchdog.silence_s
        self._workers = workers
        self._silence_s = silence_s
        self._gateway = NOBODY
        self._told: frozenset[int] | None = None
        self._known_s: dict[int, float] = {}
        self._met: set[int] = set()

    def heard(self, gateway: int, assignments: Mapping[str, str], now_s: float) -> None:
        """Take the list out of a heartbeat of the gateway; one without a list says nothing.

        Args:
            gateway: Its process id. It has to be ready.
            assignments: The heartbeat's; X_WORKERS has process ids with commas between them.
            now_s: Monotonic clock, seconds.
        """
        if gateway != self._gateway:
            self._gateway = gateway
            self.restart(now_s)
        self._told = _parse(assignments.get("X_WORKERS"))

    def restart(self, now_s: float) -> None:
        """Forgive all time up to now."""
        self._known_s = dict.fromkeys(self._known_s, now_s)

    def overdue(self, workers: Mapping[int, str], now_s: float) -> int | None:
        """Return one that hangs, if any does; its clock starts anew, so that another one is next.

        Without a heartbeat since the last call nobody hangs. The clock of one that is new here starts now.

        Args:
            workers: All workers that run: process id → name, which holds the engine's.
            now_s: Monotonic clock, seconds.
        """
        told, self._told = self._told, None
        if told is None or not self._silence_s:
            return None
        self._met = {pid for pid in workers if pid in told or pid in self._met}
        self._known_s = {pid: now_s if pid in told else self._known_s.get(pid, now_s) for pid in workers}
        for pid, known_s in self._known_s.items():
            if now_s - known_s > self._allowed_s(pid, workers[pid]):
                self._known_s[pid] = now_s
                return pid
        return None

    def _allowed_s(self, pid: int, name: str) -> float:
        engine = name.removeprefix(WORKER_PREFIX).rpartition("-")[0]
        limit_s = self._workers.cancel_s + self._workers.least_progress_s(engine) + self._silence_s
        return limit_s if pid in self._met else self._workers.warm_up_s + limit_s


def _parse(text: str | None) -> frozenset[int] | None:
    """Return process ids, or None for what is no list of them."""
    if text is None:
        return None
    words = text.split(",") if text else []
    return frozenset(int(word) for word in words) if all(map(str.isdecimal, words)) else None
