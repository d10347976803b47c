"""One appliance that all tests of the HTTP API share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.parts.appliance import Appliance, running_appliance


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
