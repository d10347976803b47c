"""Fixtures of every ring."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.parts.appliance import Appliance

# How long an example takes on a busy machine says nothing about the code.
hypothesis.settings.register_profile("appliance", deadline=None)
hypothesis.settings.load_profile("appliance")


@contextlib.contextmanager
def _short_dir() -> Iterator[Path]:
    """A directory with a short path, since a Unix socket's path has 108 bytes at most."""
    path = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """An empty run directory."""
    with _short_dir() as path:
        yield path


@pytest.fixture(scope="module")
def appliance_factory() -> Iterator[Callable[..., Appliance]]:
    """A function that starts an appliance (see `Appliance`); all are ended with the module."""
    with contextlib.ExitStack() as stack:

        def start(**settings: Any) -> Appliance:
            base = stack.enter_context(_short_dir())
            return stack.enter_context(contextlib.closing(Appliance(base, **settings)))

        yield start
