"""How kept answers lie on the disk: `data/cache/ab/cdef…`.

Owns: the files' names and form, reading and writing one, finding all there are.
Refuses to know: which are kept, for how long, what is done about a disk that fails. Everything here blocks.

    magic, bytes of each part, seconds of audio, SHA-256 of audio and words │ media type │ audio │ words

Words are the times of the audio's words, which answers of GET have.

A file appears under its name when it is whole. A file `<name>.pin` beside a file, or in its place, keeps it
from ever being taken away but by hand. It holds the request whose answer that is, as JSON: under another
version or setting the answer has another name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from appliance.voice_folders import sync
from processes.gateway.audio_memory import Audio, etag_of

MAGIC = b"TTSANSW2"
HEADER = struct.Struct(">8sHQQd32s32s")
MAX_TYPE_BYTES = 64
KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)
FOLDER_CHARS = 2
"""Of a key: the folder's name; the rest is the file's."""
PIN_SUFFIX, NEW_SUFFIX = ".pin", ".new"
MAX_FILES = 200_000
"""Files known at most, some 40 MB of memory."""
FILE_MODE = 0o600
MAX_PIN_BYTES = 262_144
"""Of a request that is pinned."""


class BrokenAnswerError(Exception):
    """A file isn't what was written."""


@dataclass(slots=True)
class Entry:
    """What is known of a file without asking the disk."""

    size_bytes: int
    used_at: float
    """Wall clock, seconds."""
    noted_at: float
    """What the file itself says of that."""


def path_of(folder: Path, key: str) -> Path:
    """Return where an answer lies."""
    return folder / key[:FOLDER_CHARS] / key[FOLDER_CHARS:]


def pin_path_of(folder: Path, key: str) -> Path:
    """Return the file that says that an answer is kept for good."""
    return path_of(folder, key).with_suffix(PIN_SUFFIX)


def pack_request(values: Mapping[str, Any]) -> bytes:
    """Return a request as a pin holds it."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def note_pin(path: Path, request: bytes) -> None:
    """Write the file that says that an answer is kept for good; it is on the disk when this returns.

    Raises:
        OSError: It can't be written; nothing is left of it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(path, [request], is_forced=True)
    sync(path.parent)


def read_pin(path: Path) -> dict[str, Any] | None:
    """Return the request whose answer is kept for good; None where the file holds none.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_PIN_BYTES + 1)
    try:
        values = json.loads(data) if len(data) <= MAX_PIN_BYTES else None
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def write_answer(path: Path, audio: Audio) -> None:
    """Write a file under another name and give it its own.

    Raises:
        OSError: It can't be written; nothing is left of it.
    """
    _write(path, [_header(audio), audio.data, audio.words], is_forced=False)


def _write(path: Path, parts: Sequence[bytes], *, is_forced: bool) -> None:
    new = path.with_suffix(NEW_SUFFIX)
    try:
        with open(new, "wb", opener=lambda name, flags: os.open(name, flags, FILE_MODE)) as file:
            file.writelines(parts)
            if is_forced:
                file.flush()
                os.fsync(file.fileno())
        new.rename(path)
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def read_answer(path: Path) -> Audio:
    """Return what a file holds.

    Raises:
        BrokenAnswerError: It isn't what was written.
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        head = file.read(HEADER.size)
        if len(head) < HEADER.size:
            raise BrokenAnswerError("cut short")
        magic, type_bytes, data_bytes, words_bytes, audio_s, *digests = HEADER.unpack(head)
        # Before anything of that size is made: the lengths may be as broken as the rest.
        is_in_form = magic == MAGIC and type_bytes <= MAX_TYPE_BYTES
        if not is_in_form or size_bytes != HEADER.size + type_bytes + data_bytes + words_bytes:
            raise BrokenAnswerError("not of our form")
        media_type = file.read(type_bytes)
        data, words = file.read(data_bytes), file.read(words_bytes)
    if [hashlib.sha256(part).digest() for part in (data, words)] != digests or not media_type.isascii():
        raise BrokenAnswerError("not the bytes that were written")
    return Audio(data, media_type.decode("ascii"), etag_of(digests[0]), words, audio_s)


def size_of(audio: Audio) -> int:
    """Return the bytes of the file that holds an answer."""
    return HEADER.size + len(audio.media_type) + len(audio.data) + len(audio.words)


def note_uses(times: list[tuple[Path, float]]) -> None:
    """Write down when files were used, as far as the disk lets that."""
    for path, used_at in times:
        with suppress(OSError):  # on a read-only disk files are forgotten in the order of their writing
            os.utime(path, (used_at, used_at))


def find_answers(folder: Path) -> tuple[dict[str, Entry], set[str]]:
    """Return the files and the pins that there are; remove what is only half written.

    What can't be looked at is passed over.
    """
    found: dict[str, Entry] = {}
    pins: set[str] = set()
    for parent in _listed(folder):
        for path in _listed(parent) if len(parent.name) == FOLDER_CHARS else ():
            with suppress(OSError):
                _look_at(path, found, pins)
    return found, pins


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        logger.warning("cache_folder_unreadable", reason=error.strerror or type(error).__name__)
        return []


def _look_at(path: Path, found: dict[str, Entry], pins: set[str]) -> None:
    key = path.parent.name + path.name.partition(".")[0]
    if not KEY.fullmatch(key):
        return
    if path.suffix == NEW_SUFFIX:
        path.unlink(missing_ok=True)
    elif path.suffix == PIN_SUFFIX:
        pins.add(key)
    elif not path.suffix and len(found) < MAX_FILES:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):  # anything else can't be read, or would never end
            found[key] = Entry(status.st_size, status.st_mtime, status.st_mtime)


def _header(audio: Audio) -> bytes:
    media_type = audio.media_type.encode("ascii")
    digests = (hashlib.sha256(part).digest() for part in (audio.data, audio.words))
    sizes = len(media_type), len(audio.data), len(audio.words)
    return HEADER.pack(MAGIC, *sizes, audio.audio_s, *digests) + media_type
