"""The last lines of all programs in a file of bounded size, for `ttsctl logs`.

Owns: `run/log/appliance.log` and the file of the lines before it.
Refuses to know: what the lines say; the container's log, which goes its own way.

    every line of the container's log → bounded queue → this thread → appliance.log, at `RING_BYTES` → .log.1

A disk that is full, hangs or is read-only loses lines here and nowhere else; `launcher.json` counts them.
"""

from __future__ import annotations

import os
from pathlib import Path

from appliance.lifecycle import LOG_DIR, OLDER_RING_FILE, RING_FILE
from appliance.logs import LineWriter

RING_BYTES = 4_194_304
"""Of each of the two files: some 15,000 lines, of an idle appliance days, of a busy one (50 requests in a
second) five minutes."""


class LogRing(LineWriter):
    """Writes lines to a file, and begins it anew when it is full."""

    def __init__(self, path: Path, ring_bytes: int = RING_BYTES) -> None:
        """Start the thread; nothing is opened yet.

        Args:
            path: The file; the lines before those in it lie beside it.
            ring_bytes: What each of both may hold.
        """
        self._path = path
        self._ring_bytes = ring_bytes
        self._descriptor = -1
        self._written_bytes = 0
        self._lost_lines = 0
        super().__init__([], "launcher")

    @property
    def lost_lines(self) -> int:
        """Lines that aren't in the file, since the start: the disk didn't take them, or not in time."""
        return self._lost_lines + self.dropped_lines

    def _write(self, lines: bytes | bytearray) -> None:
        """Write whole lines, or count them as lost; blocks as long as the disk does."""
        try:
            if self._descriptor < 0:
                self._open()
            elif self._written_bytes + len(lines) > self._ring_bytes:
                self._turn()
            written = os.write(self._descriptor, lines)
            self._written_bytes += written
            if written < len(lines):  # the disk is full: what is there of a line is no line
                os.ftruncate(self._descriptor, self._written_bytes - written)
                self._written_bytes -= written
                self._lose(lines)
        except OSError:
            self._lose(lines)
            self._close()

    def _lose(self, lines: bytes | bytearray) -> None:
        self._lost_lines += lines.count(b"\n")

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        self._written_bytes = os.fstat(self._descriptor).st_size

    def _turn(self) -> None:
        """Make the full file the older one, in place of the one before it."""
        self._path.replace(self._path.with_name(OLDER_RING_FILE))
        self._close()
        self._open()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_ring(run_dir: Path) -> LogRing:
    """Return the ring of a run directory; what an earlier launcher left stays in it."""
    return LogRing(run_dir / LOG_DIR / RING_FILE)
