"""The list of what is to be spoken before anybody asks for it.

Owns: what is on it, how much may be, reading the file of the start.
Refuses to know: how it is spoken (`cache_warming`).
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from loguru import logger

MAX_WANTED = 1_000
MAX_FILE_BYTES = 4_194_304
"""What a list has beyond either isn't taken, and that is logged."""


class WarmList:
    """What is wanted."""

    def __init__(self, file: Path | None) -> None:
        """Take the list of the start; nothing is read.

        Args:
            file: Of JSON objects as POST takes them, one a line; None for none.
        """
        self._file = file
        self._wanted: deque[dict[str, Any]] = deque()
        self._is_wanted = asyncio.Event()
        self.failed = 0
        """How many couldn't be spoken."""

    @property
    def waiting(self) -> int:
        """How many are yet to be spoken."""
        return len(self._wanted)

    @property
    def has_room(self) -> bool:
        """Whether another one may be put on the list."""
        return len(self._wanted) < MAX_WANTED

    def want(self, wanted: Iterable[dict[str, Any]]) -> int:
        """Put something on the list; return how many there was room for."""
        taken = 0
        for values in wanted:
            if self.has_room:
                self._wanted.append(values)
                taken += 1
        self._is_wanted.set()
        return taken

    async def load(self) -> None:
        """Put the file's requests on the list; say how many there was no room for."""
        if self._file is not None:
            wanted = await asyncio.to_thread(read_warm_file, self._file)
            taken = self.want(wanted)
            if taken < len(wanted):
                reason = f"{len(wanted) - taken} requests more than may wait"
                logger.warning("cache_warm_file_cut", reason=reason)

    async def next(self) -> dict[str, Any]:
        """Wait for something to be spoken; it stays the first of the list until `done` or `postpone`."""
        while not self._wanted:
            self._is_wanted.clear()
            await self._is_wanted.wait()
        return self._wanted[0]

    def postpone(self) -> None:
        """Have the first wait behind all the others."""
        self._wanted.rotate(-1)

    def done(self) -> None:
        """Take the first off the list."""
        self._wanted.popleft()


def read_warm_file(path: Path) -> list[dict[str, Any]]:
    """Return what a list wants to be spoken; a line that is none is said by its number. Blocks.

    Of a file that is too long the whole lines within `MAX_FILE_BYTES` are taken.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        logger.warning("cache_warm_file_unreadable", reason=error.strerror or type(error).__name__)
        return []
    if len(data) > MAX_FILE_BYTES:
        logger.warning("cache_warm_file_cut", reason=f"longer than {MAX_FILE_BYTES} bytes")
        data = data[: data.rfind(b"\n", 0, MAX_FILE_BYTES) + 1]
    wanted = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            wanted.append(values)
        else:
            logger.warning("cache_warm_line_wrong", line=number)
    return wanted
