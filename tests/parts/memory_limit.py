"""A real limit of memory: a cgroup of a test's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from appliance.machine import CGROUPS, MEMBERSHIP, MEMORY_FILES

JOIN = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


@contextlib.contextmanager
def memory_limit(limit_bytes: int) -> Iterator[list[str]]:
    """Begin a command line with what this gives, and it may use so much memory and no more.

    The test is skipped where this user may make no such cgroup. What was begun must end inside the block.
    """
    try:
        folder = Path(mkdtemp(prefix="tts-", dir=_own_cgroup()))
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error.strerror}")
    try:
        files = [folder / name for name in MEMORY_FILES if (folder / name).exists()]
        if not files:
            pytest.skip("the cgroups of this machine have no limit of memory to give")
        files[0].write_text(str(limit_bytes), "ascii")
        yield ["sh", "-c", JOIN, str(folder)]
    finally:
        folder.rmdir()


def _own_cgroup() -> Path:
    """The cgroup of this process that limits memory, of version 1 or 2."""
    for line in MEMBERSHIP.read_text("ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return CGROUPS / "memory" / path.lstrip("/")
    return CGROUPS / MEMBERSHIP.read_text("ascii").rpartition("0::/")[2].strip()
