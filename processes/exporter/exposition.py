"""The exporter's metrics: what it saw, as Prometheus reads it.

Owns: names, types and labels of every metric that isn't the gateway's; joining them with the gateway's text.
Refuses to know: where the numbers come from (`sources`).

Every label pair is there at every scrape, with 0 where there is nothing to count; of a disk that can't be
looked at the figures are NaN.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

import appliance

KINDS = ("gateway", "worker", "exporter", "watchdog", "importer")
"""supervisord's programs by kind: all workers are one kind."""
STATES = ("stopped", "starting", "running", "backoff", "stopping", "exited", "fatal", "unknown")
"""Source: supervisor 4.3, `supervisor.states`."""
END = "# EOF\n"
"""Source: OpenMetrics 1.0, "Overall Structure"."""


@dataclass(frozen=True, slots=True)
class Process:
    """One of supervisord's programs."""

    kind: str
    """One of `KINDS`."""
    state: str
    """One of `STATES`."""
    resident_bytes: int = 0
    restarts: int = 0
    is_ready: bool = False
    """Whether it said READY=1 to the watchdog."""
    hangs: int = 0
    """Times that it was killed because it hung: by the watchdog, and the watchdog by the launcher."""
    is_degraded: bool = False
    """Whether it ends again and again, and the watchdog backs off from starting it."""


@dataclass(frozen=True, slots=True)
class Observation:
    """All that was seen for one scrape."""

    gateway_text: str = ""
    """The gateway's own exposition; empty when the gateway is gone."""
    is_openmetrics: bool = False
    """Whether that is OpenMetrics 1.0, and no plain text."""
    processes: tuple[Process, ...] | None = ()
    """None when supervisord doesn't answer."""
    log_lines_dropped: int = 0
    log_lines_suppressed: int = 0
    disk_used_ratio: float = math.nan
    """0..1; NaN when the disk can't be looked at, as is the next."""
    disk_free_bytes: float = math.nan
    clock_step_s: float = 0.0
    """By how much the wall clock was set forward, or back below 0, of late; see `clock_watch`."""
    db_bytes: int = 0
    db_wal_bytes: int = 0


def render(observation: Observation) -> bytes:
    """Write an observation as the gateway has written its part, which comes first.

    Returns:
        Prometheus' text format 0.0.4, or OpenMetrics 1.0, which alone has exemplars.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(observation))
    gateway_text = observation.gateway_text
    own: bytes
    if observation.is_openmetrics:
        gateway_text = gateway_text.removesuffix(END)  # one end is enough
        own = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]  # has no types
    else:
        own = generate_latest(registry)
    return gateway_text.encode() + own


def is_joinable(gateway_text: str, *, is_openmetrics: bool = False) -> bool:
    """Tell whether a gateway's exposition is whole and shares no metric with the exporter's."""
    parse = openmetrics_families if is_openmetrics else text_string_to_metric_families
    try:
        names = {metric.name for metric in parse(gateway_text)}
    except (ValueError, KeyError, IndexError):  # what prometheus_client's parsers raise on broken text
        return False
    own = {metric.name for metric in metrics(Observation())}
    return bool(names) and gateway_text.endswith("\n") and not names & own


def metrics(seen: Observation) -> Iterator[Metric]:
    """Yield every metric of the exporter."""
    build = InfoMetricFamily("tts_build", "What runs.")
    build.add_metric([], {"version": appliance.__version__, "sqlite": sqlite3.sqlite_version})
    yield build
    yield _gauge("tts_up", "1 when the gateway answers, else 0.", bool(seen.gateway_text))
    yield _gauge("tts_supervisor_up", "1 when supervisord answers, else 0.", seen.processes is not None)
    yield from _process_metrics(seen.processes or ())
    yield CounterMetricFamily(
        "tts_container_log_lines_dropped",
        "Log lines of launcher and exporter dropped because nobody read them.",
        value=seen.log_lines_dropped,
    )
    yield CounterMetricFamily(
        "tts_container_log_lines_suppressed",
        "Lines of output and of the exporter held back because they repeated others.",
        value=seen.log_lines_suppressed,
    )
    yield _gauge(
        "tts_disk_used_ratio", "Used share of the data directory's disk, 0..1.", seen.disk_used_ratio
    )
    yield _gauge("tts_disk_free_bytes", "Bytes left to the appliance on that disk.", seen.disk_free_bytes)
    yield _gauge(
        "tts_clock_step_seconds",
        "Seconds by which the wall clock was set forward (back: below 0), the most in the last hour; else 0.",
        seen.clock_step_s,
    )
    yield _gauge("tts_db_bytes", "Bytes of the database; 0 without one.", seen.db_bytes)
    yield _gauge("tts_db_wal_bytes", "Bytes of the database's write-ahead log.", seen.db_wal_bytes)


def _process_metrics(processes: Iterable[Process]) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        "tts_process_state", "supervisord's programs in a state.", labels=("program", "state")
    )
    memory = GaugeMetricFamily(
        "tts_process_resident_memory_bytes",
        "Resident memory of all programs of a kind; what they share counts in each.",
        labels=("program",),
    )
    restarts = CounterMetricFamily(
        "tts_process_restarts", "Starts that nobody asked for.", labels=("program",)
    )
    ready = GaugeMetricFamily(
        "tts_process_ready", "Programs that said they are ready; workers don't.", labels=("program",)
    )
    hangs = CounterMetricFamily(
        "tts_process_hangs",
        "Programs that were killed because they hung: by the watchdog, and that by the launcher.",
        labels=("program",),
    )
    degraded = GaugeMetricFamily(
        "tts_process_degraded",
        "Programs that end again and again, and are held before each start.",
        labels=("program",),
    )
    for kind in KINDS:
        alike = [process for process in processes if process.kind == kind]
        for name in STATES:
            state.add_metric([kind, name], sum(process.state == name for process in alike))
        memory.add_metric([kind], sum(process.resident_bytes for process in alike))
        restarts.add_metric([kind], sum(process.restarts for process in alike))
        ready.add_metric([kind], sum(process.is_ready for process in alike))
        hangs.add_metric([kind], sum(process.hangs for process in alike))
        degraded.add_metric([kind], sum(process.is_degraded for process in alike))
    yield from (state, memory, restarts, ready, hangs, degraded)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


class _Collected(Collector):
    """What `generate_latest` asks for metrics."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation

    def collect(self) -> Iterable[Metric]:
        return metrics(self._observation)
