"""Rows D1, D2 and W10 for jobs: what kills the gateway loses none that was acknowledged.

The long form is a command of its own: `python -m loadtests.durability`.
"""

from __future__ import annotations

import pytest

from loadtests.durability.strikes import run_control, run_cuts, run_kills
from loadtests.figures import Figure

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


def missed(figures: list[Figure]) -> list[str]:
    return [figure.name for figure in figures if figure.is_missed]


def test_jobs_when_the_gateway_is_killed_amid_commits_then_each_is_spoken_once_and_whole() -> None:
    assert missed(run_kills(10, print)) == []


def test_jobs_when_the_power_goes_amid_commits_then_each_is_spoken_once_and_whole() -> None:
    assert missed(run_cuts(5, print)) == []


def test_cuts_when_nothing_is_forced_to_the_disk_then_jobs_are_seen_to_be_lost() -> None:
    assert missed(run_control(8, print)) == []
