"""Small disks of a test's own, where the tests may mount any."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


class Disk:
    """A mounted file system; its folder goes with the block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def remount(self, options: str) -> None:
        done = _run("mount", "-o", f"remount,{options}", str(self.folder))
        assert done.returncode == 0, done.stderr

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Whoever writes to it within the block hangs until its end; of what ext4 has, not what tmpfs has."""
        done = _run("fsfreeze", "--freeze", str(self.folder))
        assert done.returncode == 0, done.stderr
        try:
            yield
        finally:
            done = _run("fsfreeze", "--unfreeze", str(self.folder))
            assert done.returncode == 0, done.stderr

    def fill(self) -> Path:
        """Leave not a byte; return the file that takes it all."""
        path = self.folder / "others"
        with path.open("ab") as file, contextlib.suppress(OSError):
            while True:
                os.write(file.fileno(), bytes(1 << 16))
        with path.open("ab") as file, contextlib.suppress(OSError):
            while True:
                os.write(file.fileno(), bytes(512))
        return path

    def fill_to(self, share: float) -> Path:
        """Have a share of it used, by a file of a fitting size; return the file."""
        path = self.folder / "others"
        path.unlink(missing_ok=True)
        found = os.statvfs(self.folder)
        used = found.f_blocks - found.f_bfree
        path.write_bytes(bytes(max(0, int(share * (used + found.f_bavail) - used) * found.f_frsize)))
        return path


@contextlib.contextmanager
def mounted(folder: Path, kind: str, *arguments: str) -> Iterator[Disk]:
    """Mount a file system, or skip the test where that isn't allowed.

    Args:
        folder: Where; it is made.
        kind: Such as `tmpfs`, also the device's name.
        arguments: Of `mount`.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    folder.mkdir(exist_ok=True)
    done = _run("mount", "-t", kind, *arguments, str(folder))
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        done = _run("umount", "--lazy", str(folder))
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def memory_disk(folder: Path, size: str) -> Iterator[Disk]:
    """A disk in memory, of a size such as `8m`."""
    with mounted(folder, "tmpfs", "-o", f"size={size}", "tmpfs") as disk:
        yield disk


@contextlib.contextmanager
def file_disk(folder: Path, image: Path, size_bytes: int) -> Iterator[Disk]:
    """An ext4 disk in a file, which can fail."""
    with image.open("wb") as file:
        file.truncate(size_bytes)
    made = _run("mkfs.ext4", "-q", "-F", str(image))
    if made.returncode:
        pytest.skip(f"no ext4 can be made here: {made.stderr.strip()}")
    with mounted(folder, "ext4", "-o", "loop", str(image)) as disk:
        yield disk
