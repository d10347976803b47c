"""Kept answers as files, each checked whenever it is read.

Owns: which there are, in what order they go, what a disk that fails does (nothing, to requests).
Refuses to know: HTTP, what a key means, what is in memory, the files' form (`answer_form`).

What there is is known without asking the disk. A file that isn't as it was written is removed. All work on
the disk is done in threads of its own, with a limit of time, so that a disk that stalls costs a request that
limit once, and then nothing for a while. Readers never change anything, and don't wait behind what does.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from loguru import logger

from appliance.cache_settings import CacheSettings
from appliance.store.disk import look_at_disk
from processes.gateway.answer_form import (
    MAX_FILES,
    BrokenAnswerError,
    Entry,
    find_answers,
    note_pin,
    note_uses,
    path_of,
    pin_path_of,
    read_answer,
    read_pin,
    size_of,
    write_answer,
)
from processes.gateway.audio_memory import Audio

Result = TypeVar("Result")

MAX_PINS = 10_000
MAX_WAITING_BYTES = 16_777_216
"""Answers on their way to the disk, however long that takes; a single one may be larger."""
DISK_S = 0.5
"""Seconds that anybody waits for the disk."""
PIN_S = 5.0
"""Seconds that whoever pins waits for it, since a pin is forced to the disk."""
REST_S = 10.0
"""Seconds for which a disk that didn't answer isn't asked."""
TOUCH_S = 3_600.0
"""A file's time of use is written this much later at most."""
DAY_S = 86_400.0
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What stops us from reading any file for a while; everything else is this file's own."""
MANY_FILES = 1_000
"""Files looked at in one go when there is too much, so that nobody waits for a walk over all of them."""


class AnswerFiles:
    """The folder of kept answers. All state is the event loop's; only plain work on files is in threads."""

    def __init__(
        self,
        folder: Path,
        settings: CacheSettings,
        evict_ratio: float,
        age_limit_s: Callable[[float], float],
    ) -> None:
        """Remember where they lie; nothing is opened.

        Args:
            folder: Theirs alone; made when the first is written.
            settings: How many bytes, how long.
            evict_ratio: Used share of the disk above which files go, the least used first.
            age_limit_s: As `Retention.age_limit_s`.
        """
        self._folder = folder
        self._settings = settings
        self._evict_ratio = evict_ratio
        self._age_limit_s = age_limit_s
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="cache-reader")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="cache-writer")
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._used_keys: set[str] = set()
        """Files whose time of use is to be written down."""
        self._waiting_bytes = 0
        self._rests_until_s = {"read": 0.0, "write": 0.0}
        """Monotonic; until then the disk isn't asked for that."""
        self.opened = asyncio.Event()
        """Set once it is known what there is, as far as the disk tells."""
        self.pins: set[str] = set()
        self.idle_pins: set[str] = set()
        """Those of whose requests no answer can be kept now."""
        self.bytes = 0
        """What the files hold."""
        self.evicted = 0
        self._states = {"read": "ok", "write": "ok"}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_on(self) -> bool:
        """Whether files are kept at all."""
        return self._settings.disk_bytes > 0

    @property
    def state(self) -> str:
        """`ok`, or why nothing is written or read now."""
        return next((state for state in self._states.values() if state != "ok"), "ok")

    def has(self, key: str) -> bool:
        """Return whether there is a file that can be asked for now; asks no disk."""
        return key in self._entries and time.monotonic() >= self._rests_until_s["read"]

    def keys(self) -> list[str]:
        """Return the names of all files, the least recently used first."""
        return list(self._entries)

    def use(self, key: str) -> None:
        """Note that an answer was used, wherever it came from."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.used_at = time.time()
            self._entries.move_to_end(key)
            if entry.used_at - entry.noted_at > TOUCH_S:
                self._used_keys.add(key)

    async def open(self) -> None:
        """Learn what there is, the least recently used first; remove what a killed gateway has left."""
        if self.is_on:
            await self._find()
        self.opened.set()

    async def _find(self) -> None:
        try:
            found, pins = await self._in_thread(
                self._writer, lambda: find_answers(self._folder), limit_s=None
            )
        except (OSError, TimeoutError) as error:
            self._failed("read", error)
            return
        for key, entry in sorted(found.items(), key=lambda each: each[1].used_at):
            self._enter(key, entry)
        self.pins |= pins
        await self.tidy()

    async def read(self, key: str) -> Audio | None:
        """Return an answer; None where the disk can't give it now, or the file was broken, and is no more."""
        try:
            audio = await self._in_thread(self._readers, lambda: read_answer(self._path(key)))
        except (BrokenAnswerError, FileNotFoundError) as error:
            logger.warning("cache_entry_broken", key=key[:16], reason=str(error) or type(error).__name__)
            self._forget(key)
            await self._take_away(key)
            return None
        except (OSError, TimeoutError) as error:
            if isinstance(error, TimeoutError) or error.errno in SHORTAGES:
                self._failed("read", error)
            else:  # no more than this file: the next answer takes its place
                logger.warning("cache_entry_broken", key=key[:16], reason=error.strerror)
                self._forget(key)
            return None
        self._works("read")
        self.use(key)
        return audio

    async def write(self, key: str, audio: Audio) -> None:
        """Keep an answer; a disk that refuses or stalls is said once, and nothing is raised.

        What takes longer than `DISK_S`, or whose caller is cancelled, is written all the same, in the end.
        """
        size_bytes = size_of(audio)
        is_in_time = time.monotonic() >= self._rests_until_s["write"]
        has_room = not self._waiting_bytes or self._waiting_bytes + size_bytes <= MAX_WAITING_BYTES
        most_bytes = self._settings.disk_bytes
        if key in self._entries or not is_in_time or not has_room or size_bytes > most_bytes:
            return
        self._waiting_bytes += size_bytes
        work = asyncio.get_running_loop().run_in_executor(self._writer, self._write, key, audio)
        work.add_done_callback(lambda work: self._written(work, key, size_bytes))
        try:
            async with asyncio.timeout(DISK_S):
                is_written = await asyncio.shield(work)
        except (OSError, TimeoutError) as error:
            self._failed("write", error)
            return
        if self.bytes > most_bytes or len(self._entries) > MAX_FILES or not is_written:
            await self._make_room()

    async def tidy(self) -> None:
        """Remove what is too old or too much, the least recently used first; note when files were used."""
        if self.is_on:
            while await self._make_room() >= MANY_FILES:
                pass
            await self._note_uses()

    async def _make_room(self) -> int:
        """Remove what is too old or too much of the least recently used files; return how many went.

        Looks at `MANY_FILES` and those that are pinned, however many there are.
        """
        try:
            surplus_bytes = await self._in_thread(self._writer, self._disk_surplus_bytes)
        except (OSError, TimeoutError) as error:
            self._failed("write", error)
            return 0
        surplus_bytes = max(surplus_bytes, self.bytes - self._settings.disk_bytes)
        oldest = time.time() - self._age_limit_s(self._settings.days * DAY_S)
        removed = 0
        for key, entry in list(islice(self._entries.items(), len(self.pins) + MANY_FILES)):
            is_too_many = len(self._entries) > MAX_FILES
            if surplus_bytes <= 0 and entry.used_at >= oldest and not is_too_many:
                break
            if key not in self.pins or key in self.idle_pins:
                surplus_bytes -= entry.size_bytes
                if not await self.remove(key):
                    return 0
                self.evicted += 1
                removed += 1
        return removed

    async def remove(self, key: str) -> bool:
        """Forget a file and take it away, if there is one; return whether the disk did it, else it stays."""
        entry = self._forget(key)
        is_gone = await self._take_away(key)
        if not is_gone and entry is not None and key not in self._entries:
            self._enter(key, entry)
            self._entries.move_to_end(key, last=False)
        return is_gone

    async def purge(self) -> tuple[set[str], bool]:
        """Take all away but what is pinned; return the keys that went, and whether those were all of them.

        Pins of whose requests no answer can be kept now go, too.
        """
        gone: set[str] = set()
        try:
            for key in [*self.idle_pins]:
                await self.unpin(key)
        except (OSError, TimeoutError) as error:
            self._failed("write", error)
            return gone, False
        for key in [key for key in self._entries if key not in self.pins]:
            if not await self.remove(key):
                return gone, False
            gone.add(key)
        return gone, True

    async def pin(self, key: str, request: bytes) -> None:
        """Keep a file for good, also one that is yet to be written.

        Args:
            key: The file's.
            request: Whose answer it is, as of `pack_request`; at most `MAX_PIN_BYTES`.

        Raises:
            OSError: That can't be noted on the disk.
            TimeoutError: Not now.
        """
        path = pin_path_of(self._folder, key)
        await self._in_thread(self._writer, lambda: note_pin(path, request), PIN_S)
        self.pins.add(key)
        self.idle_pins.discard(key)

    def note_idle(self, key: str, *, is_idle: bool) -> None:
        """Note whether no answer can be kept now of a pin's request; then its file goes like any other."""
        if is_idle and key in self.pins:
            self.idle_pins.add(key)
        else:
            self.idle_pins.discard(key)

    async def pinned_request(self, key: str) -> dict[str, Any] | None:
        """Return the request whose answer is kept for good; None where the disk has lost it.

        Raises:
            OSError: It can't be read.
            TimeoutError: Not now.
        """
        return await self._in_thread(self._readers, lambda: read_pin(pin_path_of(self._folder, key)))

    async def unpin(self, key: str) -> bool:
        """Let a file go when its time comes; return whether it was pinned.

        Raises:
            OSError: That can't be noted on the disk; it stays pinned.
            TimeoutError: Not now.
        """
        was_pinned = key in self.pins
        pin = pin_path_of(self._folder, key)
        await self._in_thread(self._writer, lambda: pin.unlink(missing_ok=True))
        self.pins.discard(key)
        self.idle_pins.discard(key)
        return was_pinned

    def close(self) -> None:
        """Let no more work in; what runs ends by itself."""
        for threads in (self._readers, self._writer):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(
        self, threads: ThreadPoolExecutor, work: Callable[[], Result], limit_s: float | None = DISK_S
    ) -> Result:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(limit_s):
            return await loop.run_in_executor(threads, work)

    def _written(self, work: asyncio.Future[bool], key: str, size_bytes: int) -> None:
        """Note what has become of a file, whether or not anybody has waited for that."""
        self._waiting_bytes -= size_bytes
        if not work.cancelled() and work.exception() is None and work.result():
            self._works("write")
            now = time.time()
            self._enter(key, Entry(size_bytes, now, now))

    async def _take_away(self, key: str) -> bool:
        """Delete a file, if there is one; return whether the disk did it."""
        try:
            await self._in_thread(self._writer, lambda: self._path(key).unlink(missing_ok=True))
        except (OSError, TimeoutError) as error:
            self._failed("write", error)
            return False
        return True

    def _forget(self, key: str) -> Entry | None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.size_bytes
        return entry

    def _enter(self, key: str, entry: Entry) -> None:
        if key not in self._entries:
            self._entries[key] = entry
            self.bytes += entry.size_bytes

    def _failed(self, work: str, error: OSError | TimeoutError) -> None:
        """Say what is wrong with the disk, once for as long as it lasts, and leave it alone for a while."""
        state = "stalled" if isinstance(error, TimeoutError) else (error.strerror or type(error).__name__)
        self._rests_until_s[work] = time.monotonic() + REST_S
        if state not in self._states.values():
            logger.warning("cache_disk_failed", reason=state)
        self._states[work] = state

    def _works(self, work: str) -> None:
        """Note that the disk does its work; one that can be written can be read, too."""
        was_ok = self.state == "ok"
        self._states["read"] = "ok"
        if work == "write":
            self._states["write"] = "ok"
        if not was_ok and self.state == "ok":
            logger.info("cache_disk_recovered")

    async def _note_uses(self) -> None:
        times = []
        for key in self._used_keys:
            entry = self._entries.get(key)
            if entry is not None:
                entry.noted_at = entry.used_at
                times.append((self._path(key), entry.used_at))
        self._used_keys.clear()
        if times:
            with suppress(OSError, TimeoutError):
                await self._in_thread(self._writer, lambda: note_uses(times))

    # What follows is done in threads.

    def _path(self, key: str) -> Path:
        return path_of(self._folder, key)

    def _write(self, key: str, audio: Audio) -> bool:
        """Write a file; return whether the disk has room for it."""
        path = self._path(key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._disk_surplus_bytes() > 0:
            return False
        write_answer(path, audio)
        return True

    def _disk_surplus_bytes(self) -> float:
        """Return how many bytes of the disk are used above the share that is meant to be."""
        return look_at_disk(self._folder).bytes_above(self._evict_ratio) if self._folder.is_dir() else 0.0
