"""From what age things are deleted, whatever the wall clock does."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loguru import logger

from appliance.settings import Settings, load_settings
from processes.gateway.retention import DAY_S, NOTE_SUFFIX, STEP_S, WAIT_S, Retention
from tests.unit.test_clock_watch import YEAR_2026_S, Clocks

WEEK_S = 7 * DAY_S
"""The shortest time for which anything is kept by default: jobs."""
KEPT_S = 30 * DAY_S


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def made(tmp_path: Path, clocks: Clocks) -> Callable[[], Retention]:
    settings: Settings = load_settings({"APPLIANCE_DATA_DIR": str(tmp_path)})
    return lambda: Retention(settings, clocks.wall, clocks.boot)


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(line.record["message"]))
    yield lines
    logger.remove(sink)


@pytest.mark.parametrize("step_s", [3 * WEEK_S, -3 * WEEK_S, STEP_S + 2])
async def test_age_limit_when_the_clock_has_stepped_then_none_for_a_day_and_said_once(
    made: Callable[[], Retention], clocks: Clocks, said: list[str], step_s: float
) -> None:
    retention = made()
    await retention.begin(clocks.wall())
    assert retention.age_limit_s(KEPT_S) == KEPT_S
    clocks.offset_s += step_s
    assert retention.age_limit_s(KEPT_S) == math.inf
    clocks.boot_s += 0.9 * WAIT_S
    assert retention.age_limit_s(KEPT_S) == math.inf
    assert said == ["retention_waits"]
    clocks.boot_s += 0.1 * WAIT_S
    assert retention.age_limit_s(KEPT_S) == KEPT_S
    assert said == ["retention_waits", "retention_goes_on"]


async def test_age_limit_when_the_clock_has_stepped_by_little_then_as_before(
    made: Callable[[], Retention], clocks: Clocks, said: list[str]
) -> None:
    retention = made()
    await retention.begin(clocks.wall())
    clocks.offset_s += STEP_S / 2
    assert retention.age_limit_s(KEPT_S) == KEPT_S
    assert said == []


@pytest.mark.parametrize(
    ("age_s", "is_odd"),
    [(0.0, False), (WEEK_S - 1, False), (WEEK_S + 1, True), (-STEP_S + 1, False), (-STEP_S - 1, True)],
)
async def test_age_limit_when_the_newest_row_at_the_start_is_of_another_time_then_none_for_a_day(
    made: Callable[[], Retention], clocks: Clocks, said: list[str], age_s: float, is_odd: bool
) -> None:
    retention = made()
    assert retention.age_limit_s(KEPT_S) == math.inf  # the store hasn't told anything yet
    await retention.begin(clocks.wall() - age_s)
    assert retention.age_limit_s(KEPT_S) == (math.inf if is_odd else KEPT_S)
    assert said == ["retention_waits"] * is_odd
    clocks.boot_s += WAIT_S
    assert retention.age_limit_s(KEPT_S) == KEPT_S


async def test_age_limit_when_there_is_no_row_then_as_set(
    made: Callable[[], Retention], said: list[str]
) -> None:
    retention = made()
    await retention.begin(0.0)
    assert retention.age_limit_s(KEPT_S) == KEPT_S
    assert said == []


async def test_age_limit_when_the_gateway_restarts_while_it_waits_then_the_rest_is_waited_for(
    made: Callable[[], Retention], clocks: Clocks, tmp_path: Path
) -> None:
    note = tmp_path / f"appliance.sqlite{NOTE_SUFFIX}"
    first = made()
    await first.begin(clocks.wall())
    await first.note()
    assert not await asyncio.to_thread(note.exists)
    clocks.offset_s += 3 * WEEK_S
    first.age_limit_s(KEPT_S)
    await first.note()
    clocks.boot_s = 0.0  # the machine, too
    clocks.offset_s = YEAR_2026_S + 3 * WEEK_S
    second = made()
    await second.begin(clocks.wall())  # rows by the clock as it is now
    clocks.boot_s += 0.9 * WAIT_S
    assert second.age_limit_s(KEPT_S) == math.inf
    await second.note()
    third = made()
    await third.begin(clocks.wall())
    clocks.boot_s += 0.1 * WAIT_S + 1
    assert third.age_limit_s(KEPT_S) == KEPT_S
    await third.note()
    assert not await asyncio.to_thread(note.exists)
