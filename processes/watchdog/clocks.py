"""How long something has been missing: a program's heartbeat, its READY, an engine.

Owns: the two clocks. Time in which the watchdog itself didn't run never counts: `restart` forgives it.
Refuses to know: what is done about it.
"""

from __future__ import annotations

from collections.abc import Iterable


class HeartbeatClock:
    """When each process was heard last."""

    def __init__(self, silence_s: float) -> None:
        """Begin with nobody.

        Args:
            silence_s: Seconds without a heartbeat that mean hung; 0 never.
        """
        self._silence_s = silence_s
        self._heard_s: dict[int, float] = {}

    def heard(self, pid: int, now_s: float) -> None:
        """Note a heartbeat. Processes that don't have to beat are forgotten with the next `silent`."""
        self._heard_s[pid] = now_s

    def restart(self, now_s: float) -> None:
        """Forgive all silence up to now."""
        self._heard_s = dict.fromkeys(self._heard_s, now_s)

    def silent(self, pids: Iterable[int], now_s: float) -> list[int]:
        """Return those that are hung; the clock of one that is new here starts now.

        Args:
            pids: All processes that have to beat.
            now_s: Monotonic clock, seconds.
        """
        self._heard_s = {pid: self._heard_s.get(pid, now_s) for pid in pids}
        if not self._silence_s:
            return []
        return [pid for pid, heard_s in self._heard_s.items() if now_s - heard_s > self._silence_s]


class EngineClock:
    """How long no engine has been ready although somebody wants to hear one."""

    def __init__(self, limit_s: float, now_s: float) -> None:
        """Begin with an engine a moment ago.

        Args:
            limit_s: Seconds without any engine after which the appliance gives up; 0 never.
            now_s: Monotonic clock, seconds.
        """
        self._limit_s = limit_s
        self._seen_s = now_s

    def restart(self, now_s: float) -> None:
        """Forgive all time up to now."""
        self._seen_s = now_s

    def is_over(self, now_s: float, *, is_fine: bool) -> bool:
        """Tell whether the limit has passed.

        Args:
            now_s: Monotonic clock, seconds.
            is_fine: Whether an engine is ready now, or nobody wants one.
        """
        if is_fine:
            self._seen_s = now_s
        return bool(self._limit_s) and now_s - self._seen_s > self._limit_s
