"""The server's half of the ledger: a line on disk for each accepted request, once it has ended.

Owns: an append-only file of JSON lines, their length, what a disk that fails does (nothing, to requests).
Refuses to know: what is compared with it (`loadtests/ledger`), the text, the caller.

A line is in the kernel's hands before an answer's last byte leaves, so that a client that has a whole answer
finds its line whatever happens to the gateway next; it is not forced to the disk. A kill in the middle of a
write can leave a torn last line; the next gateway begins a new one behind it. A file that somebody renames or
deletes gets some more lines, until the next look at its place.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from loguru import logger

from appliance.metrics import GatewayMetrics

MAX_LINE_BYTES = 1_024
"""More than the longest line: an id of 64 characters and a worker's name besides numbers and constants."""
MAX_FILE_BYTES = 4 << 30
"""Past this nothing more is written: some 15 million requests."""
FILE_MODE = 0o600
LOOK_S = 1.0
LOOK_LINES = 1_000
"""Seconds and lines, whichever is over first, between two looks at whether the file is still in its place."""
_ENCODER = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """The end of one accepted request."""

    request_id: str
    state: str
    """An outcome of `tts_requests_finished_total`; every request has exactly one."""
    ended_by: str
    bytes: int
    """Bytes of the body that were written; where audio for GET was made whole to be kept, those of that.

    It can be shared, taken in ranges, or taken by nobody.
    """
    audio_s: float
    worker: str
    """The last worker that spoke for it."""
    utterances: int
    """Into how many it was split, as far as they were queued."""
    orders: int
    """Orders to speak one of them that workers were given."""
    retried: bool
    """Whether any of it was given to a second worker."""


class LedgerFile:
    """Appends lines. A disk error is counted, and logged at the first of a row; the next line tries again."""

    def __init__(self, path: Path, metrics: GatewayMetrics) -> None:
        """Remember where to write; the file is opened with the first line."""
        self._path = path
        self._metrics = metrics
        self._descriptor = -1
        self._size_bytes = 0
        self._looked_at_s = 0.0
        self._unseen_lines = 0
        self._is_torn = False
        self._has_failed = False

    def write(self, line: LedgerLine) -> None:
        """Append a line: hand it to the kernel, which takes some 10 µs, or as long as the disk is stalled."""
        stamped = {"ts": datetime.now(UTC).isoformat(timespec="milliseconds"), **asdict(line)}
        data = _ENCODER.encode(stamped).encode() + b"\n"
        try:
            self._append(data)
        except OSError as error:
            self._metrics.ledger_errors.inc()
            if not self._has_failed:
                logger.error("ledger_not_written", path=str(self._path), reason=error.strerror)
            self._has_failed = True
        else:
            self._has_failed = False

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _append(self, data: bytes) -> None:
        if len(data) > MAX_LINE_BYTES:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        self._look()
        if self._descriptor < 0:
            self._open()
        if self._size_bytes + len(data) >= MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        data = b"\n" + data if self._is_torn else data
        written = os.write(self._descriptor, data)
        self._unseen_lines += 1
        self._size_bytes += written
        self._is_torn = written < len(data)
        if self._is_torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _look(self) -> None:
        """Let go, now and then, of a file that isn't in its place any more."""
        is_due = self._unseen_lines >= LOOK_LINES or time.monotonic() - self._looked_at_s >= LOOK_S
        if self._descriptor < 0 or not is_due:
            return
        self._looked_at_s, self._unseen_lines = time.monotonic(), 0
        try:
            is_in_place = os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except OSError:
            is_in_place = False
        if not is_in_place:
            self.close()

    def _open(self) -> None:
        """Open the file, never waiting for a pipe's other end; one that can't be made private isn't kept."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = os.open(self._path, flags, FILE_MODE)
        self._looked_at_s, self._unseen_lines = time.monotonic(), 0
        try:
            self._look_at_end()
        except OSError:
            self.close()
            raise

    def _look_at_end(self) -> None:
        """Make the file private, and see how long it is and whether its last line is whole."""
        status = os.fstat(self._descriptor)
        if stat.S_ISREG(status.st_mode):  # a device stays as others need it
            os.fchmod(self._descriptor, FILE_MODE)
        self._size_bytes = status.st_size
        last = os.pread(self._descriptor, 1, self._size_bytes - 1) if self._size_bytes else b"\n"
        self._is_torn = last != b"\n"
