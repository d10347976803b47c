"""Folders that several processes use: held by a lock, and on the disk before they count.

Owns: a folder's lock, writing a folder through to the disk.
Refuses to know: what is in a folder.
"""

from __future__ import annotations

import fcntl
import os
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


def _lock(descriptor: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Have a folder and its files on the disk before anything that relies on them; blocks.

    Raises:
        OSError: A file can't be read or written through.
    """
    for path in folder.iterdir():
        sync(path)
    sync(folder)


def sync(path: Path) -> None:
    """Have one file or folder on the disk; blocks.

    Raises:
        OSError: It can't be read or written through.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
