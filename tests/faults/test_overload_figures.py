"""The figures of rows L1 to L3, measured with clients that follow a schedule: in the full form only."""

from __future__ import annotations

import pytest

from loadtests import overload
from tests.parts.measured import say
from tests.parts.rounds import is_full


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not is_full(), reason="takes six minutes of the whole machine; make faults runs it")
def test_overload_when_three_times_the_capacity_is_asked_for_then_every_bound_is_held() -> None:
    figures = overload.run(is_short=False)
    say("L1", *figures)
    assert [figure.name for figure in figures if figure.is_missed] == []
