"""Whether all that waits can be done in time."""

from __future__ import annotations

import pytest

from processes.gateway.admission import lateness_s


@pytest.mark.parametrize(
    ("work_s", "rest", "expected_s"),
    [
        (0.0, [], -5.0),
        (7.0, [], 2.0),
        (2.0, [(60.0, 2.0)] * 3, -3.0),
        (2.0, [(0.0, 2.0)] * 3, 3.0),
        (2.0, [(-30.0, 2.0)] * 3, 3.0),
        (2.0, [(60.0, 2.0)] * 40, 22.0),
        (2.0, [(60.0, 2.0)] * 20 + [(1.0, 2.0)] * 3, 3.0),
        (2.0, [(float("inf"), 100.0)], -3.0),
    ],
    ids=["idle", "too-much", "far-ahead", "at-once", "dry", "too-much-even-far-ahead", "some-soon", "never"],
)
def test_lateness_when_rest_waits_then_it_counts_by_when_it_is_needed(
    work_s: float, rest: list[tuple[float, float]], expected_s: float
) -> None:
    assert lateness_s(work_s, rest, 5.0) == expected_s
