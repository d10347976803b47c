"""The files of jobs: `data/jobs/ID/`, one folder for each.

Owns: names and forms of the files, and that each is whole under its name: written under another one, forced
to the disk, renamed.
Refuses to know: rows, workers, what is in an audio file or in the pack (`job_pack`). Everything here blocks.

    upload           what a client sends, while it comes and is read
    text             a line with the hash of what follows: what is spoken, UTF-8
    utterances.jsonl its utterances, a line each; they stay as they are, whatever version goes on
    spoken/pack      what was spoken, one utterance behind the other
    audio            the result
    captions.KIND, chapters.json
    result.json      what the row of a completed job says of it; the last to be written
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

from appliance.job_errors import JobDamagedError
from appliance.store.disk import look_at_disk
from appliance.store.errors import StoreFullError
from appliance.store.jobs import JobResult
from appliance.voice_folders import sync
from processes.gateway.job_pack import SpokenPack

JOBS_NAME = "jobs"
UPLOAD_NAME = "upload"
TEXT_NAME = "text"
UTTERANCES_NAME = "utterances.jsonl"
SPOKEN_NAME = "spoken"
PACK_NAME = "pack"
OLDER_NAME = re.compile("([0-9a-f]{32}){1,2}")
"""Of an utterance's file: before there were packs each had its own."""
AUDIO_NAME = "audio"
FOLDER_NAME = re.compile("[0-9a-f]{32}")
"""Of a job: its id. Whatever else lies there is somebody else's."""
CHAPTERS_NAME = "chapters.json"
RESULT_NAME = "result.json"
PARTIAL_SUFFIX = ".partial"
READ_BYTES = 65_536
BUFFER_BYTES = 65_536
"""Written at a time."""
PRIVATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
LEAST_FREE_BYTES = 8_388_608
"""A job leaves as much of the disk free, so that the database can go on writing."""
ENCODING = ("utf-8", "surrogatepass")


class JobFolder:
    """One job's folder."""

    def __init__(self, data_dir: Path, job_id: str, refuse_ratio: float) -> None:
        """Name it.

        Args:
            data_dir: `data.dir`.
            job_id: Of the database, 32 hexadecimal digits: never what a client sent.
            refuse_ratio: Used share of the disk from which nothing is written any more.
        """
        self.path = data_dir / JOBS_NAME / job_id
        self._refuse_ratio = refuse_ratio

    def check_room(self, needed_bytes: float = 0.0) -> None:
        """See whether the disk has room for what is to be written; the folder needn't be there.

        Args:
            needed_bytes: How much that is.

        Raises:
            StoreFullError: It has too little.
            OSError: It can't be asked.
        """
        space = look_at_disk(self.path)
        free_bytes = space.usable_bytes - space.used_bytes
        is_much = space.bytes_above(self._refuse_ratio) + needed_bytes >= 0
        if is_much or free_bytes < needed_bytes + LEAST_FREE_BYTES:
            raise StoreFullError("There is too little space on the disk")

    def make(self) -> None:
        """Make it, empty.

        Raises:
            OSError: It can't be made.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700)

    @property
    def upload_path(self) -> Path:
        """Where what a client sends is collected."""
        return self.path / UPLOAD_NAME

    def append_upload(self, piece: bytes) -> None:
        """Write some more of what a client sends.

        Raises:
            StoreFullError: Too little space would be left.
            OSError: It can't be written.
        """
        self.check_room(len(piece))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with os.fdopen(os.open(self.upload_path, flags, 0o600), "wb") as file:
            file.write(piece)

    def put_text(self, text: str) -> None:
        """Put the job's text on the disk, in the place of what the client has sent.

        Raises:
            StoreFullError: Too little space would be left.
            OSError: It can't be written.
        """
        self.upload_path.unlink()
        (self.path / SPOKEN_NAME).mkdir(mode=0o700)  # an older version that comes back looks for it
        data = text.encode(*ENCODING)
        self.write(TEXT_NAME, [hashlib.sha256(data).hexdigest().encode() + b"\n", data])
        for folder in (self.path.parent, self.path.parent.parent):  # the first job makes `jobs`, too
            sync(folder)

    def remove(self) -> None:
        """Delete all of it, as far as that goes."""
        shutil.rmtree(self.path, ignore_errors=True)

    def forget_spoken(self) -> None:
        """Delete what is needed only until there is a result."""
        shutil.rmtree(self.path / SPOKEN_NAME, ignore_errors=True)
        for name in (TEXT_NAME, UTTERANCES_NAME):
            (self.path / name).unlink(missing_ok=True)

    def forget_leftovers(self) -> None:
        """Delete what a kill has left half written, and an older version's utterances, while nobody writes.

        Raises:
            OSError: It can't be deleted.
        """
        with suppress(FileNotFoundError):
            for path in self.path.iterdir():
                if path.name.endswith(PARTIAL_SUFFIX):
                    path.unlink(missing_ok=True)
        with suppress(FileNotFoundError), os.scandir(self.path / SPOKEN_NAME) as entries:
            for entry in entries:
                if OLDER_NAME.fullmatch(entry.name):
                    (self.path / SPOKEN_NAME / entry.name).unlink(missing_ok=True)

    def pack(self) -> SpokenPack:
        """Return what keeps the job's utterances; it isn't open."""
        return SpokenPack(self.path / SPOKEN_NAME / PACK_NAME)

    def has_audio(self) -> bool:
        """Return whether there is a result."""
        return (self.path / AUDIO_NAME).exists()

    def look_at(self, name: str) -> os.stat_result:
        """Return what the system says of a file that can be read.

        Raises:
            OSError: It can't, or isn't there.
        """
        with (self.path / name).open("rb") as file:
            return os.fstat(file.fileno())

    def put_result(self, result: JobResult) -> None:
        """Note what has come of the job, once all of its files are in place.

        Raises:
            StoreFullError, OSError: It can't be written.
        """
        self.write(RESULT_NAME, [json.dumps(result._asdict()).encode()])

    def find_result(self) -> JobResult | None:
        """Return what has come of the job, if its audio is there as it was made.

        Raises:
            OSError: The disk can't be read.
        """
        try:
            result = JobResult(**json.loads((self.path / RESULT_NAME).read_bytes()))
            size_bytes = (self.path / AUDIO_NAME).stat().st_size
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return result if result.size_bytes == size_bytes else None

    def read_text(self) -> Iterator[str]:
        """Yield the text in pieces.

        Raises:
            JobDamagedError: It isn't as it was written; nothing is yielded.
            OSError: It can't be read.
        """
        with (self.path / TEXT_NAME).open("rb") as file:
            sha256, begin = file.readline(), file.tell()
            if sha256.rstrip() != hashlib.file_digest(file, "sha256").hexdigest().encode():
                raise JobDamagedError("The job's text is damaged")
            file.seek(begin)
            text = TextIOWrapper(file, *ENCODING, newline="")
            while piece := text.read(READ_BYTES):
                yield piece

    def has_text(self) -> bool:
        """Return whether the text is there."""
        return (self.path / TEXT_NAME).exists()

    def has_utterances(self) -> bool:
        """Return whether the text has been split."""
        return (self.path / UTTERANCES_NAME).exists()

    def read_chapters(self) -> list[dict[str, Any]]:
        """Return the chapters of the result, each with its title and its beginning in seconds.

        Raises:
            JobDamagedError: They aren't as they were written.
            OSError: They can't be read.
        """
        try:
            chapters: list[dict[str, Any]] = json.loads((self.path / CHAPTERS_NAME).read_bytes())
        except FileNotFoundError:
            return []
        except ValueError:
            raise JobDamagedError("The job's list of chapters is damaged") from None
        return chapters

    def read_lines(self, at_byte: int, limit: int) -> tuple[list[bytes], int]:
        """Return some lines of the utterances from a place on, and the place behind them.

        Raises:
            OSError: They can't be read.
        """
        with (self.path / UTTERANCES_NAME).open("rb") as file:
            file.seek(at_byte)
            lines: list[bytes] = []
            while len(lines) < limit and (line := file.readline()):
                lines.append(line)
            return lines, file.tell()

    def write(self, name: str, parts: Iterable[bytes]) -> None:
        """Write a file that is whole and on the disk under its name, or isn't there.

        Raises:
            StoreFullError: Too little space would be left.
            OSError: It can't be written.
        """
        final = self.path / name
        partial = final.with_name(f"{final.name}-{time.monotonic_ns()}{PARTIAL_SUFFIX}")
        self.check_room()
        try:
            with private(partial) as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(final)
            sync(final.parent)
        finally:
            partial.unlink(missing_ok=True)


def private(path: Path) -> BinaryIO:
    """Make an empty file that only its owner can read, and open it for writing."""
    return os.fdopen(os.open(path, PRIVATE_FLAGS, 0o600), "w+b", BUFFER_BYTES)


def sweep(data_dir: Path, older_s: float) -> list[str]:
    """Return the names of jobs' folders that haven't changed for a time, of which some may have no row.

    Args:
        data_dir: `data.dir`.
        older_s: Seconds since the last change, so that none is named that is just being made.
    """
    names: list[str] = []
    with suppress(FileNotFoundError):
        folders = (data_dir / JOBS_NAME).iterdir()
        ours = [path for path in folders if FOLDER_NAME.fullmatch(path.name)]
        names += [path.name for path in ours if time.time() - path.stat().st_mtime > older_s]
    return names
