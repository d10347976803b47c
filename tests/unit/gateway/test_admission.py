"""Whether all that waits can be done in time, and what who is refused is told."""

from __future__ import annotations

import time

import pytest

from appliance.metrics import GatewayMetrics
from appliance.settings import DispatchSettings
from appliance.voices import VoiceCatalog
from appliance.worker_settings import WorkersSettings
from processes.gateway.admission import Admission, lateness_s
from processes.gateway.cost import CostModel
from processes.gateway.pool import WorkerPool
from tests.parts.tickets import make_utterance


@pytest.fixture
def admission() -> Admission:
    pool = WorkerPool(WorkersSettings(), VoiceCatalog({}, "tone-low"), GatewayMetrics())
    return Admission(DispatchSettings(), 4, pool, CostModel())


@pytest.mark.parametrize(
    ("work_s", "rest", "expected_s"),
    [
        (7.0, [], float("-inf")),
        (2.0, [(60.0, 2.0)] * 3, -52.0),
        (2.0, [(0.0, 2.0)] * 3, 3.0),
        (2.0, [(-30.0, 2.0)] * 3, 3.0),
        (2.0, [(60.0, 2.0)] * 40, 22.0),
        (2.0, [(60.0, 2.0)] * 20 + [(1.0, 2.0)] * 3, 3.0),
        (2.0, [(float("inf"), 100.0)], float("-inf")),
    ],
    ids=["none", "far-ahead", "at-once", "dry", "too-much-even-far-ahead", "some-soon", "never"],
)
def test_lateness_when_rest_waits_then_it_counts_by_when_it_is_needed(
    work_s: float, rest: list[tuple[float, float]], expected_s: float
) -> None:
    assert lateness_s(work_s, rest, 5.0) == expected_s


def test_overloaded_when_another_engine_has_promised_much_then_this_one_promises_its_own_capacity(
    admission: Admission,
) -> None:
    slow, quick = make_utterance(engine="slow"), make_utterance(engine="quick")
    admission._costs.learn_request("slow", 5.0)
    told_s = [admission._overloaded(f"c{number}", slow, 1.0).retry_after_s for number in range(3)]
    assert max(told_s) > 5
    assert admission._overloaded("newcomer", quick, 1.0).retry_after_s < 2


@pytest.mark.parametrize(("outage_s", "told_s"), [(0, 2.0), (20, 10.0), (3600, 30.0)])
def test_no_workers_when_an_outage_lasts_then_all_are_told_longer_and_different_times(
    admission: Admission, outage_s: float, told_s: float
) -> None:
    admission._alive_at_s["tone"] = time.monotonic() - outage_s
    told = [admission.no_workers("tone").retry_after_s for _ in range(200)]
    assert 0.79 * told_s < min(told) < 0.9 * told_s
    assert 1.1 * told_s < max(told) < 1.21 * told_s
