"""What was spoken for a job, one utterance behind the other in one file: `data/jobs/ID/spoken/pack`.

Owns: the form of its records, where each begins, what a kill, a power cut or the disk has made of them.
Refuses to know: rows, workers, whether there is room on the disk. Everything here blocks; one thread at a
time.

    record   its head, the times of its words as JSON (nothing where it has none), PCM
    head     magic, name, rate in Hz, two sizes in bytes, a checksum of what follows, one of the head

The file is the only truth: where records begin is found by going from head to head. Behind a head that isn't
whole the next one is searched for, so a damaged record costs itself alone; what stands behind the last whole
one was cut short, and is cut off. Whether a record's audio is as it was written is told when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from appliance.speech import MAX_UTTERANCE_PCM_BYTES, SAMPLE_WIDTH_BYTES, WordMark
from appliance.voice_folders import sync

MAGIC = b"\xf5TTS"
"""Its first byte is none of UTF-8."""
FIELDS = struct.Struct(">4s64sIIII")
CHECKSUM = struct.Struct(">I")
HEAD_BYTES = FIELDS.size + CHECKSUM.size
MAX_BODY_BYTES = 2 * MAX_UTTERANCE_PCM_BYTES
"""A head that says more is none of ours."""
FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
INDEXED = 500
"""Records, or pieces of the file that are searched for one, in one go."""
SEARCHED_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class SpokenUtterance:
    """An utterance's audio."""

    pcm: bytes
    """Int16 little-endian mono."""
    sample_rate_hz: int
    marks: tuple[WordMark, ...] = ()

    @property
    def audio_s(self) -> float:
        """Seconds."""
        return len(self.pcm) / (SAMPLE_WIDTH_BYTES * self.sample_rate_hz)


class Stored(NamedTuple):
    """An utterance's audio on the disk; the rest of its row but for the number."""

    name: str
    sha256: str
    """Of its record's head."""
    audio_s: float


class SpokenPack:
    """A job's pack, while it is open."""

    def __init__(self, path: Path) -> None:
        """Name it; nothing is touched yet."""
        self._path = path
        self._descriptor = -1
        self._index = _Index()
        self._size_bytes = self._at_byte = self._end_byte = self._synced_byte = 0

    def open(self) -> None:
        """Open it, or make it empty; it can be used once `index_some` has nothing left to do.

        Raises:
            OSError: It can't be opened.
        """
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._descriptor = os.open(self._path, FLAGS, 0o600)
        self._size_bytes = os.fstat(self._descriptor).st_size
        for folder in (self._path.parent, self._path.parent.parent):
            sync(folder)

    def close(self) -> None:
        """Close it, if it is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def index_some(self) -> bool:
        """Look where some more records begin; return whether there may be more of them.

        In the end what was cut short is cut off, and all else is on the disk.

        Raises:
            OSError: It can't be read, cut or written through.
        """
        for _ in range(INDEXED):
            if self._at_byte + HEAD_BYTES > self._size_bytes:
                os.ftruncate(self._descriptor, self._end_byte)
                os.fdatasync(self._descriptor)
                self._synced_byte = self._end_byte
                return False
            head = self._head_at(self._at_byte)
            end_byte = self._at_byte + HEAD_BYTES + (0 if head is None else head.body_bytes)
            if head is None or end_byte > self._size_bytes:
                self._at_byte = self._next_magic(self._at_byte + 1)
            else:
                self._index.put(head.name, self._at_byte)
                self._at_byte = self._end_byte = end_byte
        return True

    def put(self, name: str, spoken: SpokenUtterance) -> Stored:
        """Append an utterance's audio, whose row has to wait for `sync`.

        Whether there is room for it is the caller's business: several are written at a time.

        Args:
            name: Of its sound; up to 64 characters of ASCII.
            spoken: The audio.

        Raises:
            OSError: It can't be written; the next one takes its place.
        """
        values = [[mark.start_char, mark.end_char, mark.time_s] for mark in spoken.marks]
        marks = json.dumps(values).encode() if values else b""
        checksum = zlib.crc32(spoken.pcm, zlib.crc32(marks))
        head = _Head(name, spoken.sample_rate_hz, len(marks), len(spoken.pcm), checksum)
        packed = head.packed()
        try:
            self._write((packed, marks, spoken.pcm))
        except OSError:
            self._cut(self._end_byte)
            raise
        self._index.put(name, self._end_byte)
        self._end_byte += HEAD_BYTES + head.body_bytes
        return head.stored(packed)

    def sync(self) -> None:
        """Have all that was put on the disk.

        Raises:
            OSError: It can't be written through. What was put since the last time is gone then: the system
                says so once, and what it still holds of that looks whole.
        """
        if self._synced_byte == self._end_byte:
            return
        try:
            os.fdatasync(self._descriptor)
        except OSError:
            self._cut(self._synced_byte)
            raise
        self._synced_byte = self._end_byte

    def has(self, name: str) -> bool:
        """Return whether there is a record of an utterance, whole or not; doesn't block."""
        return self._index.find(name) is not None

    def find(self, name: str) -> Stored | None:
        """Return what is known of an utterance's audio, if there is a record of it, whole or not.

        Raises:
            OSError: The disk can't be read.
        """
        found = self._find(name)
        return None if found is None else found[1].stored(found[1].packed())

    def read(self, name: str, sha256: str) -> SpokenUtterance | None:
        """Return an utterance's audio; None if it isn't as its row says, or not as it was written.

        One that isn't as it was written is found no more.

        Raises:
            OSError: The disk can't be read.
        """
        found = self._find(name)
        if found is None:
            return None
        at_byte, head = found
        if head.stored(head.packed()).sha256 != sha256:
            return None
        at_byte += HEAD_BYTES
        marks = os.pread(self._descriptor, head.marks_bytes, at_byte)
        pcm = os.pread(self._descriptor, head.pcm_bytes, at_byte + head.marks_bytes)
        if zlib.crc32(pcm, zlib.crc32(marks)) != head.checksum:
            self._index.forget(name)
            return None
        values = json.loads(marks) if marks else ()
        return SpokenUtterance(pcm, head.sample_rate_hz, tuple(WordMark(*value) for value in values))

    def _find(self, name: str) -> tuple[int, _Head] | None:
        at_byte = self._index.find(name)
        if at_byte is None:
            return None
        head = self._head_at(at_byte)
        return None if head is None or head.name != name else (at_byte, head)

    def _head_at(self, at_byte: int) -> _Head | None:
        return _Head.unpacked(os.pread(self._descriptor, HEAD_BYTES, at_byte))

    def _next_magic(self, at_byte: int) -> int:
        """Return where the next head may begin, or up to where there is none."""
        data = os.pread(self._descriptor, SEARCHED_BYTES, at_byte)
        place = data.find(MAGIC)
        return at_byte + (place if place >= 0 else SEARCHED_BYTES - len(MAGIC) + 1)

    def _write(self, parts: Sequence[bytes]) -> None:
        left, at_byte = [memoryview(part) for part in parts], self._end_byte
        while left:
            count = os.pwritev(self._descriptor, left, at_byte)
            at_byte += count
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if left:
                left[0] = left[0][count:]

    def _cut(self, end_byte: int) -> None:
        """Forget what stands behind a place. On a disk where that can't be cut off it is written over."""
        self._end_byte = end_byte
        self._index.forget_from(end_byte)
        with suppress(OSError):
            os.ftruncate(self._descriptor, end_byte)


class _Head(NamedTuple):
    """The head of a record."""

    name: str
    sample_rate_hz: int
    marks_bytes: int
    pcm_bytes: int
    checksum: int
    """CRC-32 of the marks and the PCM."""

    @property
    def body_bytes(self) -> int:
        """Of what follows the head."""
        return self.marks_bytes + self.pcm_bytes

    def packed(self) -> bytes:
        """Return it as it stands in the file."""
        name, *numbers = self
        fields = FIELDS.pack(MAGIC, name.encode(), *numbers)
        return fields + CHECKSUM.pack(zlib.crc32(fields))

    @classmethod
    def unpacked(cls, data: bytes) -> _Head | None:
        """Return what `packed` has made, or None if that isn't whole."""
        fields, checksum = data[: FIELDS.size], data[FIELDS.size :]
        if len(data) != HEAD_BYTES or checksum != CHECKSUM.pack(zlib.crc32(fields)):
            return None
        magic, name, *numbers = FIELDS.unpack(fields)
        head = cls(name.rstrip(b"\0").decode("ascii", "replace"), *numbers)
        is_ours = magic == MAGIC and head.sample_rate_hz > 0 and head.body_bytes <= MAX_BODY_BYTES
        return head if is_ours else None

    def stored(self, packed: bytes) -> Stored:
        """Return what a row says of the record with this head."""
        audio_s = self.pcm_bytes / (SAMPLE_WIDTH_BYTES * self.sample_rate_hz)
        return Stored(self.name, hashlib.sha256(packed).hexdigest(), audio_s)


class _Index:
    """Where the newest record of each name begins, in 16 bytes for each.

    Names are told apart by 64 bits of a hash. Of two that share them the older one is lost, which is seen
    when its record is read.
    """

    def __init__(self) -> None:
        self._hashes = array("q")
        """In their order."""
        self._at_bytes = array("q")

    def put(self, name: str, at_byte: int) -> None:
        """Note where a name's record begins."""
        place, is_there = self._place(name)
        if is_there:
            self._at_bytes[place] = at_byte
        else:
            self._hashes.insert(place, hash(name))
            self._at_bytes.insert(place, at_byte)

    def find(self, name: str) -> int | None:
        """Return where a name's record begins, if there is one."""
        place, is_there = self._place(name)
        return self._at_bytes[place] if is_there else None

    def forget(self, name: str) -> None:
        """Forget a name's record."""
        place, is_there = self._place(name)
        if is_there:
            del self._hashes[place], self._at_bytes[place]

    def forget_from(self, at_byte: int) -> None:
        """Forget the records that begin at a place or behind it."""
        kept = [place for place, at in enumerate(self._at_bytes) if at < at_byte]
        self._hashes = array("q", (self._hashes[place] for place in kept))
        self._at_bytes = array("q", (self._at_bytes[place] for place in kept))

    def _place(self, name: str) -> tuple[int, bool]:
        """Return where a name stands or would, and whether it does."""
        key = hash(name)
        place = bisect_left(self._hashes, key)
        return place, place < len(self._hashes) and self._hashes[place] == key
