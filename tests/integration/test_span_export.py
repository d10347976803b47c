"""Spans leave for a real collector that takes them, hangs, refuses or isn't there: nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from appliance.metrics import SPAN_RESULTS, GatewayMetrics
from appliance.span_export import BATCH_SPANS, CLOSE_S, MAX_SPANS, SpanExport
from appliance.tracing import Span, SpanContext
from appliance.tracing_settings import TracingSettings
from tests.parts.appliance import eventually, free_port
from tests.parts.collector import Collector, running_collector

CONTEXT = SpanContext("a" * 32, "b" * 16)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


@pytest.fixture
def metrics() -> GatewayMetrics:
    return GatewayMetrics()


def counted(metrics: GatewayMetrics) -> dict[str, int]:
    values = {
        result: metrics.registry.get_sample_value("tts_trace_spans_total", {"result": result})
        for result in SPAN_RESULTS
    }
    return {result: int(value) for result, value in values.items() if value}


def failing_since_s(metrics: GatewayMetrics) -> float:
    return metrics.registry.get_sample_value("tts_trace_failing_since_timestamp_seconds") or 0.0


def some(count: int) -> Iterator[Span]:
    now_s = time.monotonic()
    return (Span("queue", CONTEXT.child(), CONTEXT.span_id, now_s - 1, now_s) for _ in range(count))


def started(url: str, metrics: GatewayMetrics) -> SpanExport:
    export = SpanExport(TracingSettings(endpoint=url), metrics)
    export.start()
    return export


def test_spans_when_taken_then_all_of_them_with_the_wall_clocks_time(
    collector: Collector, metrics: GatewayMetrics
) -> None:
    export = started(collector.url, metrics)
    for span in some(BATCH_SPANS + 1):
        export.put(span)
    export.close()
    spans = collector.spans()
    assert len(spans) == BATCH_SPANS + 1
    assert all(abs(span.ended_ns - span.begun_ns - 1e9) < 1e4 for span in spans)
    assert all(abs(time.time() - span.ended_ns / 1e9) < 60 for span in spans)
    assert counted(metrics) == {"sent": BATCH_SPANS + 1}
    assert failing_since_s(metrics) == 0


def test_spans_when_the_collector_hangs_then_the_queue_is_bounded_and_the_end_is_not_held_up(
    collector: Collector, metrics: GatewayMetrics
) -> None:
    collector.go.clear()
    export = started(collector.url, metrics)
    for span in some(BATCH_SPANS):
        export.put(span)
    collector.wait_for_post()
    for span in some(MAX_SPANS + 50):
        export.put(span)
    assert counted(metrics) == {"dropped": 50}
    begun_s = time.monotonic()
    export.close()
    assert time.monotonic() - begun_s < 2 * CLOSE_S
    assert counted(metrics)["dropped"] == MAX_SPANS + 50
    collector.go.set()
    export._thread.join(20)
    assert not export._thread.is_alive()


@pytest.mark.parametrize("status", [307, 400, 404, 500, 503])
def test_spans_when_the_collector_refuses_then_counted_and_later_ones_are_taken(
    collector: Collector, metrics: GatewayMetrics, status: int
) -> None:
    collector.status = status
    export = started(collector.url, metrics)
    for span in some(3):
        export.put(span)
    eventually(lambda: counted(metrics) == {"failed": 3})
    assert 0 < failing_since_s(metrics) <= time.time()
    collector.status = 200
    for span in some(2):
        export.put(span)
    eventually(lambda: counted(metrics) == {"failed": 3, "sent": 2})
    assert failing_since_s(metrics) == 0
    export.close()


def test_spans_when_nobody_listens_then_counted(metrics: GatewayMetrics) -> None:
    export = started(f"http://127.0.0.1:{free_port()}", metrics)
    for span in some(3):
        export.put(span)
    eventually(lambda: counted(metrics) == {"failed": 3})
    assert failing_since_s(metrics) > 0
    export.close()
    for span in some(1):
        export.put(span)
    assert counted(metrics) == {"failed": 3, "dropped": 1}
