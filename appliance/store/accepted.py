"""How many requests a run of the gateway has accepted, where a kill can't undo it.

Owns: the two places that count: memory that the launcher holds, and a small file beside the database.
Refuses to know: rows, and what becomes of the difference (`history`).

The memory outlives a gateway and is written at once, since no disk is behind it. It ends with the launcher.
The file outlives that too; a thread writes it, as a disk that hangs holds up whoever writes, so that it may
be some milliseconds behind.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from contextlib import suppress
from pathlib import Path

COUNTER_SUFFIX = ".accepted"
COUNTER = struct.Struct("=QQ")
"""The run's token and the number of requests that it accepted."""


def shared_memory(descriptor: int) -> mmap.mmap:
    """Return the memory behind a file without a disk, as large as the counter; closes the descriptor.

    Raises:
        OSError: It can't be mapped.
    """
    try:
        os.ftruncate(descriptor, COUNTER.size)
        return mmap.mmap(descriptor, COUNTER.size)
    finally:
        os.close(descriptor)


class AcceptedCounter:
    """What every accepted request is counted in at once, for the gateway after a kill.

    Counting takes a microsecond and never raises: a disk that refuses makes the file useless, no more.
    """

    def __init__(self, database: Path, memory: mmap.mmap | None = None) -> None:
        """Remember where they lie; nothing is opened.

        Args:
            database: The file lies beside it.
            memory: `shared_memory` of the launcher, where there is one.
        """
        self._path = database.with_name(database.name + COUNTER_SUFFIX)
        self._memory = memory
        self._token = 0
        self._counted: tuple[int, int] | None = None
        self._news = threading.Lock()
        """Held while the thread has written what was counted last."""
        self._thread: threading.Thread | None = None

    def open(self) -> tuple[int, int]:
        """Open the file; return the token and the number that the last run left. Blocks.

        Returns:
            The memory's, where a run has counted in it: it was never behind. (0, 0) where there are none.
        """
        left = self._open_file()
        remembered: tuple[int, int] = (0, 0) if self._memory is None else COUNTER.unpack_from(self._memory)
        return remembered if remembered[0] else left

    def _open_file(self) -> tuple[int, int]:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return 0, 0
        try:
            token, accepted = COUNTER.unpack(os.pread(descriptor, COUNTER.size, 0))
        except (OSError, struct.error):
            token, accepted = 0, 0
        if self._thread is not None and self._thread.is_alive():
            os.close(descriptor)
        else:
            self._news.acquire(blocking=False)
            self._thread = threading.Thread(
                target=self._write, args=(descriptor,), name="accepted", daemon=True
            )
            self._thread.start()
        return token, accepted

    def begin(self, token: int, accepted: int) -> None:
        """Count for a new run from now on."""
        self._token = token
        self.count(accepted)

    def count(self, accepted: int) -> None:
        """Note how many requests were accepted so far; nothing is forced to the disk.

        Before a run has begun nothing is noted: the number that the last one left is still there.
        """
        if not self._token:
            return
        if self._memory is not None:
            COUNTER.pack_into(self._memory, 0, self._token, accepted)
        self._tell((self._token, accepted))

    def close(self) -> None:
        """Count no more: a number that isn't in the file yet stays out of it, and the thread ends."""
        self._tell(None)

    def _tell(self, counted: tuple[int, int] | None) -> None:
        self._counted = counted
        if self._news.locked():  # else the thread hasn't looked yet, and nobody but we releases it
            self._news.release()

    def _write(self, descriptor: int) -> None:
        """Write what is counted, the newest number each time; the thread's whole life."""
        with suppress(OSError):
            while True:
                self._news.acquire()
                if (counted := self._counted) is None:
                    break
                os.pwrite(descriptor, COUNTER.pack(*counted), 0)
        os.close(descriptor)
