"""Where imports beside the appliance stand: those in another container or checkout on the same data folder.

Owns: `data/imports/import.json`, who may write it, and what of it is believed.
Refuses to know: importers that the appliance starts itself (`voice_imports`).

A process id says nothing in another container. So the folder's lock is held for as long as the writer lives.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.lifecycle import write_json
from appliance.voice_folders import locked
from appliance.voice_imports import IMPORTS_FILE, VoiceImport, buried, parse_imports, read_imports

FOLDER = "imports"
"""In the data folder."""
MAX_FILE_BYTES = 131_072
CLAIM_S = 1.0
"""Seconds to wait for a reader, who has the lock for an instant."""
CLAIM_LOOK_S = 0.02


@contextmanager
def claimed(data_dir: Path) -> Iterator[Path | None]:
    """Be the importer whose state is shown; None where another one is, or the folder can't be made.

    What an earlier importer has told is gone then. Blocks for `CLAIM_S` seconds at most.

    Args:
        data_dir: The data folder.
    """
    folder = data_dir / FOLDER
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    deadline_s = time.monotonic() + CLAIM_S
    while folder.is_dir() and time.monotonic() < deadline_s:
        with locked(folder) as is_ours:
            if is_ours:
                with suppress(OSError):
                    (folder / IMPORTS_FILE).unlink()
                yield folder
                return
        time.sleep(CLAIM_LOOK_S)
    yield None


def write_beside(folder: Path, imports: Iterable[VoiceImport]) -> None:
    """Say how the imports stand; blocks for the disk.

    Args:
        folder: As `claimed` gave it.
        imports: Those of this importer's life.

    Raises:
        OSError: The disk is full or can't be written.
    """
    write_json(folder / IMPORTS_FILE, {"imports": [each.as_dict() for each in imports]})


def read_beside(data_dir: Path) -> list[VoiceImport]:
    """Return the imports of the importer that ran last beside the appliance; blocks for the disk.

    Those under way have failed once their importer is gone. A file that is absent, broken, too large or no
    file at all is no import.
    """
    folder = data_dir / FOLDER
    with locked(folder) as is_ours:  # so nobody writes
        is_alive = not is_ours
    try:
        content = json.loads(_text(folder / IMPORTS_FILE))
    except (OSError, ValueError, RecursionError):
        return []
    found = parse_imports(content.get("imports") if isinstance(content, dict) else None)
    return found if is_alive else [buried(each) for each in found]


def read_all_imports(run_dir: Path, data_dir: Path) -> list[VoiceImport]:
    """Return the imports of the appliance's own importers and of one beside it; blocks for the disk.

    Of a model that both have imported, it is that of the importer that has told something last.
    """
    found = [
        (_changed_s(run_dir / IMPORTS_FILE), read_imports(run_dir)),
        (_changed_s(data_dir / FOLDER / IMPORTS_FILE), read_beside(data_dir)),
    ]
    in_order = sorted(found, key=lambda each: each[0])
    return list({each.model: each for _, entries in in_order for each in entries}.values())


def _text(path: Path) -> bytes:
    """Read a file of a bounded size, whatever lies there.

    Raises:
        OSError: It isn't there or can't be read.
        ValueError: It is no file, or too large.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            message = f"{path} isn't a file"
            raise ValueError(message)
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        message = f"{path} is larger than {MAX_FILE_BYTES} bytes"
        raise ValueError(message)
    return content


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
