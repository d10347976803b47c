"""What the fault tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loadtests.figures import Figure
from tests.parts.appliance import Appliance
from tests.parts.doctor import Score
from tests.parts.measured import say

NAMED_PERCENT = 90
"""The least share of faults that `ttsctl doctor` names first, of those that are tried."""


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


@pytest.fixture(scope="session")
def score() -> Iterator[Score]:
    """What the doctor has named of all faults that were tried, said at the end."""
    made = Score()
    yield made
    if made.tried:
        say(
            "O1",
            Figure("faults tried", len(made.tried), ""),
            Figure("faults named first, with a command", made.named_percent, "%", least=NAMED_PERCENT),
        )
