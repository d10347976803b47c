"""Fixtures of every ring."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from tests.parts.appliance import Appliance
from tests.parts.signals import heard_signals

# Read when onnxruntime is imported, which tests do themselves, too. See `appliance.engines.vits`.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

ENDING_S = 2.0
"""Seconds that a thread may take from its last word to its end, such as that of a closed database."""

# How long an example takes on a busy machine says nothing about the code.
hypothesis.settings.register_profile("appliance", deadline=None)
hypothesis.settings.load_profile("appliance")


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Our own code that blocks the event loop raises."""
    with blockbuster_ctx(scanned_modules=["appliance", "processes"]) as detector:
        yield detector


@pytest.fixture(autouse=True)
def signals_are_heard() -> Iterator[None]:
    """What a test starts and interrupts hears it, however the tests were started."""
    with heard_signals():
        yield


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that starts no shared part leaves no thread and no process."""
    is_sharing = bool({"speaking", "appliance_factory", "appliance", "guarded"} & set(request.fixturenames))
    threads, children = set(threading.enumerate()), set(psutil.Process().children())
    yield
    if not is_sharing:
        left = set(threading.enumerate()) - threads
        for thread in left:
            thread.join(ENDING_S)
        assert [thread for thread in left if thread.is_alive()] == []
        assert [child for child in psutil.Process().children() if child not in children] == []


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
