"""Fixtures of every ring."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A run directory with a short path, since a Unix socket's path has 108 bytes at most."""
    path = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    yield path
    shutil.rmtree(path)
