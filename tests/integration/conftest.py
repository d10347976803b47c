"""One appliance that all tests of the HTTP API share; the gateway of tests with a real worker process."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.parts.appliance import Appliance, running_appliance
from tests.parts.worker_link import WorkerProcess, WorkersSocket


@pytest.fixture(scope="session")
def speaking() -> Iterator[Appliance]:
    """An appliance with both engines, whose tone workers take orders from the text."""
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    settings = {"WORKERS_ESPEAK": 2, "WORKERS_TONE": 2, "TONE_HOOKS": "true", "WORKERS_PROGRESS_S": 1.0}
    with running_appliance(base, **settings) as appliance:
        yield appliance
    shutil.rmtree(base)


@pytest.fixture
async def http(speaking: Appliance) -> AsyncIterator[ClientSession]:
    """A client of that appliance."""
    async with ClientSession(speaking.base_url) as session:
        yield session


@pytest.fixture
def gateway(run_dir: Path) -> Iterator[WorkersSocket]:
    """Where a worker connects to, with the test as its gateway."""
    with WorkersSocket(run_dir) as server:
        yield server


@pytest.fixture
def start(run_dir: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """A function that starts a worker; all are ended with the test."""
    with contextlib.ExitStack() as stack:

        def start_worker(engine: str = "tone", **arguments: Any) -> WorkerProcess:
            return stack.enter_context(WorkerProcess(run_dir, engine, **arguments))

        yield start_worker
