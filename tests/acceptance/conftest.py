"""A house with two LANs and an appliance in it, for each module that asks from there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parts.appliance import Appliance
from tests.parts.networks import HOUSE, Lans, lans_of_a_house
from tests.parts.proxies import Certificate


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
        HTTP_PROXY_SOCKET=place / "gateway.sock",
        HTTP_PROXY_SOCKET_GROUP="www-data",
        ADMIN_KEY_FILE=admin_key,
        VOICES_DEFAULT="tone-low",
        TONE_CHUNK_DELAY_S=0.3,
        HEALTH_PROBE_INTERVAL_S=3600,
    )
    made.wait_until_ready()
    return made
