"""Whether the wall clock can be trusted to say what is too old.

Owns: for how long nothing is deleted by its age, and the note of that beside the database.
Refuses to know: what is deleted, and by whom; bounds of size and number hold whatever the clock says.

A clock that jumps ahead by weeks makes everything too old at once. So nothing goes by its age for a day after
a step, nor after a start at which the newest row is from another time than the clock: whoever looks after the
appliance has that day to set it right. Until the store has told its newest row nothing goes, either.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress

from loguru import logger

from appliance.clock_watch import ClockWatch, boot_s
from appliance.lifecycle import read_json, write_json
from appliance.settings import Settings

STEP_S = 3_600.0
"""Seconds that the clock may be set by, which retention of days doesn't mind."""
WAIT_S = 86_400.0
"""Seconds that a wait takes, of those in which a gateway runs."""
DAY_S = 86_400.0
NOTE_SUFFIX = ".retention.json"


class Retention:
    """Lengthens ages without end while the clock isn't trusted."""

    def __init__(
        self, settings: Settings, wall: Callable[[], float] = time.time, boot: Callable[[], float] = boot_s
    ) -> None:
        """Read both clocks; nothing is deleted by its age before `begin`.

        Args:
            settings: Name the database and the days for which things are kept.
            wall: Reads the wall clock, in seconds.
            boot: Reads the clock that nobody sets, in seconds.
        """
        path = settings.store_path()
        self._path = path.with_name(path.name + NOTE_SUFFIX)
        days = (settings.store.history_days, settings.jobs.keep_days, settings.cache.days)
        self._shortest_s = max(DAY_S, min(each * DAY_S for each in days if each))
        self._wall = wall
        self._boot = boot
        self._watch = ClockWatch(wall, boot)
        self._left_s = math.inf
        """Of a wait; without end as long as nothing is known."""
        self._looked_at_s = boot()

    async def begin(self, newest_at: float) -> None:
        """Take the newest row's time, and what an earlier gateway has left of its wait.

        Args:
            newest_at: Wall clock, seconds; 0 where there is no row.
        """
        noted_s = (await asyncio.to_thread(read_json, self._path)).get("left_s")
        gap_s = self._wall() - newest_at
        is_odd = bool(newest_at) and not -STEP_S <= gap_s <= self._shortest_s
        if isinstance(noted_s, int | float):
            left_s = min(max(0.0, noted_s), WAIT_S)
        else:
            left_s = WAIT_S if is_odd else 0.0
        if self._left_s < math.inf:  # the database was opened anew
            left_s = max(left_s, self._left_s)
        self._looked_at_s = self._boot()
        if left_s > 0:
            self._say(newest_row_age_s=round(gap_s), waits_s=round(left_s))
        self._left_s = left_s

    def age_limit_s(self, kept_s: float) -> float:
        """Return the age from which things are too old: as long as they are kept, or infinite for now."""
        now_s = self._boot()
        was_left_s = self._left_s
        self._left_s = max(0.0, was_left_s - (now_s - self._looked_at_s))
        self._looked_at_s = now_s
        step_s = self._watch.look()
        if abs(step_s) > STEP_S and self._left_s < math.inf:
            if not was_left_s:
                self._say(step_s=round(step_s), waits_s=WAIT_S)
            self._left_s = WAIT_S
        if was_left_s and not self._left_s:
            logger.info("retention_goes_on")
        return math.inf if self._left_s else kept_s

    async def note(self) -> None:
        """Leave what is left of the wait for the next gateway; where the disk refuses, that begins anew."""
        if self._left_s < math.inf:
            with suppress(OSError):
                await asyncio.to_thread(self._write)

    def _write(self) -> None:
        if self._left_s:
            write_json(self._path, {"left_s": self._left_s})
        else:
            self._path.unlink(missing_ok=True)

    def _say(self, **fields: float) -> None:
        if not 0 < self._left_s < math.inf:  # else it has been said
            logger.warning("retention_waits", **fields)
