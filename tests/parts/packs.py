"""Packs of spoken utterances, opened outside a gateway."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from processes.gateway.job_folder import PACK_NAME
from processes.gateway.job_pack import MAGIC, SpokenPack, SpokenUtterance

NAME_CHARS = 64


@contextmanager
def opened(path: Path) -> Iterator[SpokenPack]:
    """A pack, as a job's next try opens it: what was cut short is cut off."""
    with closing(SpokenPack(path)) as pack:
        pack.open()
        while pack.index_some():
            pass
        yield pack


@contextmanager
def opened_copy(path: Path) -> Iterator[SpokenPack]:
    """A pack as it would be opened, left as it is; one that isn't there is empty."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "spoken" / PACK_NAME
        copy.parent.mkdir()
        if path.exists():
            shutil.copyfile(path, copy)
        with opened(copy) as pack:
            yield pack


def whole_in(path: Path) -> dict[str, SpokenUtterance]:
    """What a pack holds, by its names."""
    data = path.read_bytes() if path.exists() else b""
    names = {part[:NAME_CHARS].rstrip(b"\0").decode("ascii", "replace") for part in data.split(MAGIC)[1:]}
    with opened_copy(path) as pack:
        found = {name: pack.find(name) for name in names}
        read = {name: pack.read(name, stored.sha256) for name, stored in found.items() if stored is not None}
    return {name: spoken for name, spoken in read.items() if spoken is not None}
