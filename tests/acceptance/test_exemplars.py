"""A real Prometheus scrapes an appliance that sends traces: the same series, and traces beside them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.settings import ROOT
from tests.parts.appliance import Appliance, eventually
from tests.parts.collector import running_collector
from tests.parts.monitoring import EXEMPLARS, WAIT_S, Prometheus, needed, read_yaml, running_prometheus
from tests.parts.scrape import scrape
from tests.parts.speaking import speak

pytestmark = pytest.mark.timeout(300)
NOBODY = "127.0.0.1:9"
"""Who is told of alerts."""
HISTOGRAMS = (
    "tts_http_request_duration_seconds_bucket",
    "tts_request_duration_seconds_bucket",
    "tts_time_to_first_audio_seconds_bucket",
)


@pytest.fixture(scope="module")
def traced(appliance_factory: Callable[..., Appliance]) -> Iterator[Appliance]:
    needed("prometheus")
    with running_collector() as collector:
        made = appliance_factory(VOICES_DEFAULT="tone-low", TRACING_ENDPOINT=collector.url)
        made.wait_until_ready()
        yield made


@pytest.fixture(scope="module")
def prometheus(traced: Appliance) -> Iterator[Prometheus]:
    with (
        tempfile.TemporaryDirectory(prefix="tts-", dir="/tmp") as base,
        running_prometheus(Path(base), traced, NOBODY) as prometheus,
    ):
        eventually(lambda: prometheus.samples("tts_up == 1"), WAIT_S)
        yield prometheus


def test_histograms_when_a_request_is_traced_then_prometheus_knows_its_trace(
    traced: Appliance, prometheus: Prometheus
) -> None:
    assert speak(traced, "Which trace is it?").status == 200
    trace_id = traced.wait_for("request_finished")["trace_id"]
    assert eventually(
        lambda: all(trace_id in prometheus.trace_ids(name) for name in HISTOGRAMS),
        WAIT_S,
    )


def test_series_when_scraped_in_openmetrics_then_those_of_plain_text(
    traced: Appliance, prometheus: Prometheus
) -> None:
    plain = {name for name, *_labels in scrape(traced.exporter_url)}
    assert len(plain) > 50

    def missing() -> set[str]:
        return {name for name in plain if not prometheus.samples(f"count({name})")}

    eventually(lambda: not missing(), WAIT_S)


def test_compose_when_read_then_its_prometheus_stores_exemplars() -> None:
    assert EXEMPLARS in read_yaml(ROOT / "docker-compose.yml")["services"]["prometheus"]["command"]
