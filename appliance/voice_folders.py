"""Folders that several processes use: held by a lock, replaced whole, and on the disk before they count.

Owns: a folder's lock, the renames by which one takes another's place, writing a folder through to the disk.
Refuses to know: what is in a folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a folder's lock, which ends with this process at the latest; say whether we have it.

    Args:
        folder: One that isn't there counts as held by somebody else, who has just taken it away.
        wait: Whether to block until the lock is free.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield False
        return
    try:
        yield _lock(descriptor, wait=wait)
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Return whether a process holds a folder's lock; of two that ask at once, neither is taken for one."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(descriptor: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def replace_folder(made: Path, place: Path, old: Path) -> None:
    """Rename a folder to another's place; what was there gets the name `old`, locked meanwhile.

    Raises:
        OSError: A folder can't be renamed.
    """
    with locked(place):
        if place.exists():
            place.rename(old)
        made.rename(place)


def take_away(place: Path, old: Path, prefix: str) -> list[Path]:
    """Rename a folder and what a `replace_folder` that was killed has left of the one before.

    Args:
        place: The folder, which needn't be there.
        old: The name that `replace_folder` gave the one before.
        prefix: Begins the new names.

    Returns:
        The folders under their new names.
    """
    taken = []
    with locked(old, wait=True):
        for path in (old, place):  # the old one first: with only the other gone, it would be put back
            gone = place.parent / f"{prefix}{path.name}-{os.getpid()}"
            try:
                path.rename(gone)
            except FileNotFoundError:
                continue
            taken.append(gone)
    return taken


def restore_replaced(folder: Path, prefix: str) -> bool:
    """Mend what a `replace_folder` that was killed has left; return whether a folder has its name again.

    Args:
        folder: Where places lie.
        prefix: Stands before the place's name in the name of what was there.
    """
    is_restored = False
    for old in folder.glob(f"{prefix}*"):
        place = folder / old.name.removeprefix(prefix)
        with locked(old) as is_ours:
            if is_ours and place.exists():
                shutil.rmtree(old, ignore_errors=True)
            elif is_ours:
                old.rename(place)
                is_restored = True
    return is_restored


def sync_folder(folder: Path) -> None:
    """Have a folder and its files on the disk before anything that relies on them; blocks.

    Raises:
        OSError: A file can't be read or written through.
    """
    for path in folder.iterdir():
        sync(path)
    sync(folder)


def sync(path: Path | str) -> None:
    """Have one file or folder on the disk; blocks.

    Raises:
        OSError: It can't be read or written through.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
