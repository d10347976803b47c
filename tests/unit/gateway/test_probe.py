"""What the metrics say of a probe, and of an engine that isn't probed any more."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from appliance.metrics import GatewayMetrics
from appliance.settings import DispatchSettings, HealthSettings
from appliance.voices import VoiceCatalog
from appliance.worker_settings import WorkersSettings
from processes.gateway.dispatch import Dispatcher
from processes.gateway.pool import WorkerPool
from processes.gateway.probe import BUSY, Prober, ProbeResult

ENGINE = "vits"


@pytest.fixture
def metrics() -> GatewayMetrics:
    return GatewayMetrics()


@pytest.fixture
def prober(metrics: GatewayMetrics) -> Prober:
    """A prober of an engine that has no voice."""
    catalog = VoiceCatalog({}, "amy")
    pool = WorkerPool(WorkersSettings(), catalog, metrics)
    dispatcher = Dispatcher(DispatchSettings(), 1, pool, metrics)
    return Prober(HealthSettings(), [ENGINE], catalog, dispatcher, metrics)


def values(metrics: GatewayMetrics) -> tuple[float | None, ...]:
    names = ("tts_probe_success", "tts_probe_busy", "tts_probe_timestamp_seconds")
    return tuple(metrics.registry.get_sample_value(name, {"engine": ENGINE}) for name in names)


def result(cause: str) -> ProbeResult:
    return ProbeResult(ENGINE, cause == "none", cause, 0.1, 1.0, -20.0, time.monotonic())


@pytest.mark.parametrize(
    ("cause", "success", "busy"), [("none", 1, 0), (BUSY, 0, 1), ("silent", 0, 0), ("timeout", 0, 0)]
)
def test_probe_when_it_ends_then_refused_for_load_is_told_from_failed(
    metrics: GatewayMetrics, prober: Prober, cause: str, success: int, busy: int
) -> None:
    begun = time.time()
    prober._take(result(cause))
    assert values(metrics)[:2] == (success, busy)
    assert (values(metrics)[2] or 0) >= begun


@pytest.mark.parametrize("cause", ["none", BUSY])
async def test_probe_when_the_engines_last_voice_is_removed_then_no_result_is_left_to_get_old(
    metrics: GatewayMetrics, prober: Prober, cause: str
) -> None:
    prober._take(result(cause))
    assert values(metrics) != (0, 0, 0)
    task = asyncio.create_task(prober.run())
    await asyncio.sleep(0)  # one turn of it, up to its wait for the next
    assert prober.results == {}
    assert values(metrics) == (0, 0, 0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
