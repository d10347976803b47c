"""The file of the keys that `ttsctl keys` has created, and how it is changed.

Owns: `data/keys/keys.json`, its mode, its lock, changing it in one step.
Refuses to know: what a record says (`key_records`), keys from files that settings name (`keys`).

The folder is the lock, so that none can be left behind. Everything here blocks for the disk.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from appliance.errors import ConfigurationError
from appliance.key_records import Records, format_records, parse_records
from appliance.lifecycle import make_private_dir
from appliance.voice_folders import locked, sync

MAX_FILE_BYTES = 1_048_576
LOCK_S = 5.0
"""Seconds to wait for another change; one takes milliseconds."""
LOCK_LOOK_S = 0.02
OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Mode bits of everybody but the owner."""

Changed = TypeVar("Changed")


def read_records(path: Path) -> Records:
    """Read the records; a file that isn't there has none.

    Raises:
        ConfigurationError: It can't be read, is broken or too large, has an id twice, or others may read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unusable(path, f"can't be read: {error.strerror}") from None
    try:
        _check_mode(path, os.fstat(descriptor).st_mode)
        with open(descriptor, "rb", closefd=False) as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unusable(path, f"can't be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(text) > MAX_FILE_BYTES:
        raise _unusable(path, f"is larger than {MAX_FILE_BYTES} bytes")
    try:
        return parse_records(text)
    except ConfigurationError as error:
        raise _unusable(path, error.message) from None


def _check_mode(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise _unusable(path, "isn't a file")
    if stat.S_IMODE(mode) & OTHERS:
        raise _unusable(path, "others may read the keys' hashes; chmod 600 it")


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: {why}")


def change_records(path: Path, change: Callable[[Records], tuple[Records, Changed]]) -> Changed:
    """Change the records in one step, which is on the disk when this returns.

    Blocks for another change, for `LOCK_S` seconds at most.

    Args:
        path: The file; its folder is made where it isn't there.
        change: From the records now to the records then, and what is to be returned.

    Raises:
        ConfigurationError: The file can't be used, or belongs to another user; nothing has changed.
    """
    with _changing(path.parent):
        records, returned = change(read_records(path))
        temporary = path.with_name(f".{path.name}.new")
        try:
            _write_private(temporary, format_records(records))
            temporary.replace(path)
            sync(path.parent)
        except OSError as error:
            raise _unusable(path, f"can't be written: {error.strerror}") from None
    return returned


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)  # what a killed change has left
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with this process.

    Raises:
        ConfigurationError: It is another user's, can't be made, or stays locked.
    """
    _check_owner(folder.parent)
    make_private_dir(folder)
    deadline_s = time.monotonic() + LOCK_S
    while True:
        with locked(folder) as is_ours:
            if is_ours:
                yield
                return
        if time.monotonic() > deadline_s:
            raise _unusable(folder, "another command is changing keys; try again")
        time.sleep(LOCK_LOOK_S)


def _check_owner(data_dir: Path) -> None:
    """See that what is written can be read by the appliance, which runs as the data directory's owner.

    Raises:
        ConfigurationError: The directory belongs to another user.
    """
    try:
        owner = data_dir.stat().st_uid
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(data_dir, f"can't be looked at: {error.strerror}") from None
    if owner != os.geteuid():
        why = f"belongs to user {owner}; change keys as that user, who runs the appliance"
        raise _unusable(data_dir, why)
