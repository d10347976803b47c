"""Where imports beside the appliance stand: those in other containers or checkouts on the same data folder.

Owns: `data/imports/1/import.json` and so on, a place for each importer that lives, who may write there, and
what of it is believed.
Refuses to know: importers that the appliance starts itself (`voice_imports`).

A process id says nothing in another container. So a place's lock is held for as long as its writer lives.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from appliance.lifecycle import write_json
from appliance.voice_folders import is_held, locked
from appliance.voice_imports import (
    IMPORTS_FILE,
    MAX_IMPORTS,
    VoiceImport,
    buried,
    parse_imports,
    read_imports,
)

FOLDER = "imports"
"""In the data folder."""
PLACES = tuple(str(number) for number in range(1, 9))
"""In that folder, each for an importer that lives: one makes a voice while the others wait."""
MAX_FILE_BYTES = 131_072
CLAIM_S = 1.0
"""Seconds to wait for a reader, who has the lock for an instant."""
CLAIM_LOOK_S = 0.02


@contextmanager
def claimed(data_dir: Path) -> Iterator[Path | None]:
    """Be an importer whose state is shown; None where all places are taken, or none can be made.

    What importers have told that have ended is gone then. Blocks for `CLAIM_S` seconds at most.

    Args:
        data_dir: The data folder.
    """
    folders = _places(data_dir)
    with suppress(OSError):
        (data_dir / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    deadline_s = time.monotonic() + CLAIM_S
    while (data_dir / FOLDER).is_dir() and time.monotonic() < deadline_s:
        for folder in folders:
            with suppress(OSError):
                folder.mkdir(mode=0o700, exist_ok=True)
            with locked(folder) as is_ours:
                if is_ours:
                    _forget_ended(folder, folders)
                    yield folder
                    return
        time.sleep(CLAIM_LOOK_S)
    yield None


def _forget_ended(own: Path, folders: Iterable[Path]) -> None:
    """Take away what is told in the own place, and in those that nobody holds."""
    for folder in folders:
        with (
            nullcontext(enter_result=True) if folder == own else locked(folder) as is_ours,
            suppress(OSError),
        ):
            if is_ours:
                (folder / IMPORTS_FILE).unlink()


def write_beside(folder: Path, imports: Iterable[VoiceImport]) -> None:
    """Say how the imports stand; blocks for the disk.

    Args:
        folder: As `claimed` gave it.
        imports: Those of this importer's life.

    Raises:
        OSError: The disk is full or can't be written.
    """
    write_json(folder / IMPORTS_FILE, {"imports": [each.as_dict() for each in imports]})


def read_all_imports(run_dir: Path, data_dir: Path) -> list[VoiceImport]:
    """Return the imports of the appliance's own importers and of those beside it; blocks for the disk.

    Those under way have failed once their importer is gone. A file that is absent, broken, too large or no
    file at all is no import. Of a model that several import, it is that of the importer that has told
    something last. Of more than `MAX_IMPORTS`, those that ended first are left out.
    """
    own = (_changed_s(run_dir / IMPORTS_FILE), read_imports(run_dir))
    told = sorted([own, *map(_told_in, _places(data_dir))], key=lambda each: each[0])
    found = list({each.model: each for _, entries in told for each in entries}.values())
    if len(found) > MAX_IMPORTS:
        found = sorted(found, key=lambda each: each.is_under_way)[-MAX_IMPORTS:]
    return found


def _places(data_dir: Path) -> list[Path]:
    return [data_dir / FOLDER / name for name in PLACES]


def _told_in(folder: Path) -> tuple[float, list[VoiceImport]]:
    """Return when a place was written to, and the imports that are told there."""
    is_alive = is_held(folder)
    path = folder / IMPORTS_FILE
    try:
        content = json.loads(_text(path))
    except (OSError, ValueError, RecursionError):
        return 0.0, []
    found = parse_imports(content.get("imports") if isinstance(content, dict) else None)
    return _changed_s(path), found if is_alive else [buried(each) for each in found]


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
