"""Space that is kept for the database on a disk that others fill.

Owns: one file of a fixed size beside the database, deleted first when the disk is full and made anew when
there is room for it twice.
Refuses to know: what the space is used for. Everything here blocks.

Without it nothing can be written on a full disk, not even that something is deleted. Source: faults.md, D3.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

BALLAST_NAME = "ballast"
ROOM = 2
"""It is made only where this many of it would fit."""


class Ballast:
    """The file, whether or not it is there."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        """Remember where it lies; nothing is written.

        Args:
            folder: The database's folder.
            size_bytes: How large it is; 0 keeps nothing.
        """
        self._path = folder / BALLAST_NAME
        self._size_bytes = size_bytes

    def drop(self) -> bool:
        """Give its space to the disk; return whether there was any."""
        try:
            had_space = self._path.stat().st_size > 0
            self._path.unlink()
        except OSError:
            return False
        return had_space

    def keep(self) -> bool:
        """Make it, if it isn't there in its right size and there is room; return whether it is there."""
        if not self._size_bytes:
            self.drop()
            return False
        try:
            if self._path.exists() and self._path.stat().st_size == self._size_bytes:
                return True
            self.drop()
            return self._has_room() and self._make()
        except OSError:
            return False

    def _has_room(self) -> bool:
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize >= ROOM * self._size_bytes

    def _make(self) -> bool:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size_bytes)
        except OSError:
            with suppress(OSError):
                self._path.unlink()
            raise
        finally:
            os.close(descriptor)
        return True
