"""What the long run takes for growth, and what it doesn't."""

from __future__ import annotations

import pytest

from loadtests.appliance import Resources
from loadtests.long_run import MOST_MIB, Growth, figures_of

SAMPLES = 120


def growth(*, mib: float = 0.0, descriptors: int = 0, threads: int = 0, files: int = 0) -> Growth:
    """An appliance that grew by so much, evenly, over twice the time that is judged."""
    grown = Growth()
    for number in range(SAMPLES):
        share = number / SAMPLES
        used = Resources(
            round((50 + mib * share) * 1024**2), 40 + round(descriptors * share), 9 + round(threads * share)
        )
        grown.at_s.append(float(number))
        grown.used.append({"gateway": used})
        grown.files.append(20 + round(files * share))
    return grown


def missed(grown: Growth) -> list[str]:
    return [figure.name.split(",")[0] for figure in figures_of(grown, 1000, 600.0) if figure.is_missed]


def test_growth_when_nothing_grows_then_every_bound_is_held() -> None:
    assert missed(growth()) == []


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"mib": 4 * MOST_MIB}, "gateway"),
        ({"descriptors": 8}, "open descriptors of all processes"),
        ({"threads": 8}, "threads of all processes"),
        ({"files": 8}, "files in its directories of all processes"),
    ],
)
def test_growth_when_one_thing_grows_then_that_is_missed(what: dict[str, float], said: str) -> None:
    assert missed(growth(**what)) == [said]  # type: ignore[arg-type]  # numbers all of them


def test_growth_when_something_grew_only_before_the_middle_then_it_is_a_cache_that_was_filled() -> None:
    grown = growth(descriptors=8)
    for number in range(SAMPLES // 2, SAMPLES):
        grown.used[number] = grown.used[SAMPLES // 2]
    assert missed(grown) == []
