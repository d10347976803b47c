"""How full the disk of the data is, and what that forbids.

Owns: the states, the errors of who wants to write much, the bytes that are used above a share.
Refuses to know: who writes, and when the disk is looked at.

    ok ─▶ evict ─▶ alert ─▶ refuse          by the used share of the disk; back as soon as there is room
    readonly                                 it can't be written to; as refuse

Source: faults.md, D3 and D4.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from appliance.store.errors import StoreFullError, StoreReadonlyError
from appliance.store_settings import DiskSettings


class DiskState(StrEnum):
    """What is to be done about the disk."""

    OK = "ok"
    EVICT = "evict"
    """Caches give space back."""
    ALERT = "alert"
    """An operator should look."""
    REFUSE = "refuse"
    """No new job is taken."""
    READONLY = "readonly"
    """Nothing can be written."""


ALERTING = (DiskState.ALERT, DiskState.REFUSE, DiskState.READONLY)
REFUSING = (DiskState.REFUSE, DiskState.READONLY)


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """A disk at one moment."""

    used_bytes: int = 0
    usable_bytes: int = 0
    """Used or free for this user: what `df` reckons with."""
    is_readonly: bool = False

    @property
    def used_ratio(self) -> float:
        """Used share, 0..1."""
        return self.used_bytes / self.usable_bytes if self.usable_bytes else 0.0

    def bytes_above(self, ratio: float) -> float:
        """Return how many bytes are used above a share of the disk; below 0 as many are left to it."""
        return self.used_bytes - ratio * self.usable_bytes


def look_at_disk(folder: Path) -> DiskSpace:
    """Look at the disk of a folder, or of its nearest parent while it isn't there; blocks for the disk.

    Raises:
        OSError: It can't be looked at.
    """
    found = os.statvfs(next(path for path in (folder, *folder.parents) if path.exists()))
    used = found.f_blocks - found.f_bfree
    return DiskSpace(
        used_bytes=used * found.f_frsize,
        usable_bytes=(used + found.f_bavail) * found.f_frsize,
        is_readonly=bool(found.f_flag & os.ST_RDONLY),
    )


class DiskWatch:
    """What the last look at the disk means; `look` again and again, everything else doesn't block."""

    def __init__(self, folder: Path, limits: DiskSettings) -> None:
        """Take the limits; until the first look everything is allowed.

        Args:
            folder: Whose disk it is.
            limits: Shares of the disk.
        """
        self._folder = folder
        self._limits = limits
        self.space = DiskSpace()
        self.is_failing = False
        """Whether writing has failed as on a read-only disk, whatever the system says of it."""

    def look(self) -> DiskState:
        """Look at the disk; blocks. After an error the last look counts.

        Raises:
            OSError: It can't be looked at.
        """
        self.space = look_at_disk(self._folder)
        return self.state

    @property
    def state(self) -> DiskState:
        """The state by the last look."""
        if self.space.is_readonly or self.is_failing:
            return DiskState.READONLY
        ratio = self.space.used_ratio
        if ratio >= self._limits.refuse_ratio:
            return DiskState.REFUSE
        if ratio >= self._limits.alert_ratio:
            return DiskState.ALERT
        return DiskState.EVICT if ratio >= self._limits.evict_ratio else DiskState.OK

    def check(self) -> None:
        """Refuse who wants to write much, such as a job, as long as the disk is full.

        Raises:
            StoreFullError: At least `disk.refuse_ratio` is used.
            StoreReadonlyError: Nothing can be written.
        """
        if self.state is DiskState.READONLY:
            raise StoreReadonlyError
        if self.state is DiskState.REFUSE:
            raise StoreFullError("The disk has no room for this")
