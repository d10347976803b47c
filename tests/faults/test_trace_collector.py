"""A collector of traces that hangs, refuses or isn't there: speech is as ever, and it is told once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.parts.appliance import Appliance, eventually, free_port
from tests.parts.collector import Collector, running_collector
from tests.parts.scrape import scrape
from tests.parts.speaking import HOOKED, speak

pytestmark = pytest.mark.timeout(180)
SPAN_COUNT, SINCE = "tts_trace_spans_total", "tts_trace_failing_since_timestamp_seconds"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


@pytest.fixture
def traced(appliance_factory: Callable[..., Appliance], collector: Collector) -> Appliance:
    made = appliance_factory(**HOOKED, TRACING_ENDPOINT=collector.url)
    made.wait_until_ready()
    return made


def counted(appliance: Appliance, result: str) -> float:
    return scrape(appliance.exporter_url)[SPAN_COUNT, result]


def test_collector_when_it_hangs_then_requests_are_served_and_the_end_is_not_held_up(
    traced: Appliance, collector: Collector
) -> None:
    collector.go.clear()
    assert speak(traced, "The first one.").status == 200
    collector.wait_for_post()
    for number in range(10):  # all of them while its answer is waited for, or in vain
        answer = speak(traced, f"Number {number}.")
        assert (answer.status, answer.is_whole) == (200, True)
    eventually(lambda: counted(traced, "failed") > 0)
    assert scrape(traced.exporter_url)[SINCE,] > 0
    assert traced.stop() == 0
    assert [line for line in traced.lines if line["event"] == "gateway_stops_unfinished"] == []
    assert len([line for line in traced.lines if line["event"] == "trace_collector_lost"]) == 1


def test_collector_when_it_fails_and_comes_back_then_each_is_told_once(
    traced: Appliance, collector: Collector
) -> None:
    collector.status = 500
    for number in range(3):
        assert speak(traced, f"Number {number}.").status == 200
        collector.wait_for_post(number + 1)
    lost = traced.wait_for("trace_collector_lost")
    assert (lost["level"], "500" in lost["reason"]) == ("WARNING", True)
    collector.status = 200
    assert speak(traced, "Again.").status == 200
    traced.wait_for("trace_collector_back")
    assert counted(traced, "sent") > 0
    assert scrape(traced.exporter_url)[SINCE,] == 0
    assert len([line for line in traced.lines if line["event"] == "trace_collector_lost"]) == 1
    assert [line for line in traced.lines if "opentelemetry" in str(line.get("logger"))] == []


def test_collector_when_nobody_listens_then_speech_is_as_ever(
    appliance_factory: Callable[..., Appliance],
) -> None:
    alone = appliance_factory(**HOOKED, TRACING_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    alone.wait_until_ready()
    for number in range(5):
        assert speak(alone, f"Number {number}.").status == 200
    alone.wait_for("trace_collector_lost")
    assert counted(alone, "failed") > 0
    assert counted(alone, "sent") == 0
    assert alone.stop() == 0
