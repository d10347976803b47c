"""What the fault tests share."""

from __future__ import annotations

import pytest

from tests.parts.appliance import Appliance


@pytest.fixture(scope="module", params=["appliance", "keeping"])
def either(request: pytest.FixtureRequest) -> Appliance:
    """The module's appliance, and then `keeping`, its like that keeps answers and shares what is being made.

    Whoever takes it runs twice, since requests go other ways in the two; equal texts would be hits.
    """
    made: Appliance = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def used(request: pytest.FixtureRequest) -> Appliance:
    """The one of the module's appliances that the test is about."""
    made: Appliance = request.getfixturevalue("either" if "either" in request.fixturenames else "appliance")
    return made
