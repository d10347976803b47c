"""What tests of the container and of proxies share: an engine and its images, a house with two LANs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts.appliance import Appliance
from tests.parts.container import Container
from tests.parts.docker_engine import Engine, running_engine
from tests.parts.networks import HOUSE, Lans, lans_of_a_house
from tests.parts.proxies import Certificate


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker engine, or the test is skipped."""
    with running_engine() as found:
        yield found


@pytest.fixture(scope="session")
def slim_image(engine: Engine) -> str:
    return engine.build("slim")


@pytest.fixture(scope="session")
def default_image(engine: Engine) -> str:
    return engine.build("default")


@pytest.fixture
def start_container(engine: Engine, default_image: str) -> Iterator[Callable[..., Container]]:
    """A function that starts a healthy container (see `Container`); all end with the test."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Container:
            made = stack.enter_context(contextlib.closing(Container(engine, default_image, **options)))
            made.start_healthy()
            return made

        yield start


@pytest.fixture(scope="module")
def lans() -> Iterator[Lans]:
    with lans_of_a_house() as made:
        yield made


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that the proxies' own users may enter, with a certificate in it."""
    with tempfile.TemporaryDirectory(prefix="tts-", dir="/tmp") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture(scope="module")
def certificate(place: Path) -> Certificate:
    return Certificate(place)


@pytest.fixture(scope="module")
def admin_key(place: Path) -> str:
    """The path of the admin key's file; the key is `admin-key`."""
    path = place / "admin"
    path.write_text("admin-key\n")
    path.chmod(0o600)
    return str(path)


@pytest.fixture(scope="module")
def house(lans: Lans, place: Path, admin_key: str, appliance_factory: Callable[..., Appliance]) -> Appliance:
    """An appliance in the house, with an admin key and both ways in for a proxy."""
    made = appliance_factory(
        inside=lans.inside(HOUSE),
        HTTP_HOST="0.0.0.0",
        HTTP_PORT=8000,
        HTTP_TRUSTED_PROXIES="127.0.0.1/32",
        HTTP_WRONG_KEYS_PER_MIN=10_000,  # the tests send many from one address
        HTTP_PROXY_SOCKET=place / "gateway.sock",
        HTTP_PROXY_SOCKET_GROUP="www-data",
        ADMIN_KEY_FILE=admin_key,
        VOICES_DEFAULT="tone-low",
        TONE_CHUNK_DELAY_S=0.3,
        HEALTH_PROBE_INTERVAL_S=3600,
    )
    made.wait_until_ready()
    return made
