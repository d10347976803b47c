"""The detector of false green sees one."""

from __future__ import annotations

import contextlib
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.parts.appliance import eventually
from tests.parts.deceiver import deceiving
from tests.parts.green_watch import GreenWatch

LOOKS = 5
LEAST_S = 0.5
"""Of what so many looks take at least."""


class There(NamedTuple):
    port: int


@pytest.mark.parametrize("is_refusing", [True, False])
def test_watch_when_health_is_green_then_it_is_false_while_nobody_is_heard(is_refusing: bool) -> None:
    with deceiving(is_refusing=is_refusing) as url:
        port = urlsplit(url).port
        assert port
        with contextlib.closing(GreenWatch(There(port), "tone-low")) as watch:
            eventually(lambda: watch.looks >= LOOKS)
            assert (watch.false_green_s() >= LEAST_S) == is_refusing
