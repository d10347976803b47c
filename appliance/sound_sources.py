"""What of our own code decides how a text sounds, as a hash of its sources.

Owns: which sources these are, and how they are hashed.
Refuses to know: what is named by that; packages, settings and voices, of which a sound depends as well.

A version of the appliance isn't enough: who changes a rule of the text's front end, or puts a newer checkout
in the place of an older one, would hear what the older one has spoken. Every process computes the hash at its
start, from what it has loaded then: a worker that still runs older sources has another one than a gateway
that was started after the change.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
SOUND_SOURCES = ("audio", "engines", "speech.py", "text", "word_times.py")
"""Modules and packages of the appliance: text front end, engines, resampler, encoders, times of words."""
COMPILED = ".pyc"


def sources_hash(folder: Path, names: Sequence[str]) -> str:
    """Return a hash of sources and data, the same wherever they lie. Blocks for some 5 ms for a hundred.

    Args:
        folder: Where they lie.
        names: Files, or folders of which every file counts, however deep, but what Python has compiled.

    Raises:
        OSError: One can't be read.
    """
    paths: list[Path] = []
    for name in names:
        path = folder / name
        paths += path.rglob("*") if path.is_dir() else [path]
    found = hashlib.sha256()
    for path in sorted(each for each in paths if each.is_file() and each.suffix != COMPILED):
        source = path.read_bytes()
        found.update(f"{path.relative_to(folder).as_posix()} {len(source)}\n".encode() + source)
    return found.hexdigest()


@functools.cache
def sound_sources() -> str:
    """Return the hash of `SOUND_SOURCES`, as they were when this process first asked; see `sources_hash`.

    Raises:
        OSError: One can't be read.
    """
    return sources_hash(HERE, SOUND_SOURCES)
