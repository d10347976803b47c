"""Every metric of the gateway, declared once, in one registry.

Owns: names, labels, buckets; every label pair that can occur exists with 0 from the start.
Refuses to know: when a number changes (the gateway counts) and how it is scraped.

Prefix `tts_`, base units, `_total` on counters, labels from closed sets only: no text, no voice, no
address. The table in `docs/metrics.md` is generated from here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

Metric = TypeVar("Metric", Counter, Gauge, Histogram)

DURATION_BUCKETS_S = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)
"""An edge exactly at the 500 ms objective."""
START_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Few, as there is a set of them for each route."""
LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
COMMIT_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
TTFA_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, *DURATION_BUCKETS_S)

OUTCOMES = ("completed", "failed", "cancelled", "expired", "interrupted")
REJECTIONS = ("quota", "capacity", "draining", "invalid", "poison", "storage")
STAGES = ("queue", "synth", "encode", "total")
WORKER_STATES = ("ready", "busy", "hung", "recycling")
EXIT_CAUSES = ("lost", "hung", "progress", "cancel", "protocol", "recycled")
OTHER_SIGNAL = "other"
EXIT_SIGNALS = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGKILL", "SIGSEGV", "SIGTERM", OTHER_SIGNAL)
DENIAL_RULES = (
    "admin_network",
    "admin_key",
    "api_key",
    "host",
    "origin",
    "spoof",
    "peer_uid",
    "wrong_keys",
)
ENGINES = ("coqui", "espeak", "tone", "vits")
FALLBACK_REASONS = (
    "no_workers",
    "overloaded",
    "poison_request",
    "voice_not_found",
    "worker_lost",
    "synthesis_timeout",
    "engine_failed",
    "unspeakable_text",
    "utterance_too_long",
)
"""Codes of the errors that another voice can spare a client."""
UNKNOWN_ENGINE = "unknown"
"""Of a voice that isn't there."""
FALLBACK_FROM = ("coqui", "tone", "vits", UNKNOWN_ENGINE)
IMPORT_STATES = (
    "waiting",
    "downloading",
    "loading",
    "exporting",
    "quantising",
    "checking",
    "storing",
    "done",
    "failed",
)
"""As `voice_imports.ImportState` has them."""
STORE_ERRORS = ("busy", "full", "readonly", "corrupt", "failed")
"""As `store.errors.STATES` has them."""
BACKUP_RESULTS = ("ok", "failed")
CACHE_RESULTS = ("hit", "miss", "shared")
CACHE_PLACES = ("memory", "files")
CLASSES = ("first", "rest", "background")
JOB_STATES = ("queued", "running", "paused")
JOB_OUTCOMES = ("completed", "failed", "cancelled")
"""As `store.jobs` has both."""
STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "broken")
CONNECTION_STATES = ("head", "body", "answer", "idle")
SPAN_RESULTS = ("sent", "failed", "dropped")
CLOSE_REASONS = (
    "head_late",
    "silent",
    "body_late",
    "write_late",
    "many_heads",
    "descriptors",
    "memory",
    "vanished",
)


class GatewayMetrics:
    """The gateway's registry and all that is in it."""

    def __init__(self, routes: Sequence[str] = ()) -> None:
        """Declare every metric.

        Args:
            routes: The closed set of route names that HTTP metrics are labelled with.
        """
        self.registry = CollectorRegistry(auto_describe=True)
        self._declare_requests()
        self._declare_probes()
        self._declare_pool()
        self._declare_http(routes)
        self._declare_store()
        self._declare_backups()
        self._declare_records()
        self._declare_cache()
        self._declare_process()

    def _declare_requests(self) -> None:
        self.accepted = self._counter("tts_requests_accepted", "Speech requests taken in.")
        self.finished = self._counter(
            "tts_requests_finished", "Speech requests that ended, by how.", outcome=OUTCOMES
        )
        self.rejected = self._counter(
            "tts_requests_rejected", "Speech requests refused before any work, by reason.", reason=REJECTIONS
        )
        self.ledger_errors = self._counter(
            "tts_ledger_errors", "Lines of log.ledger_file that couldn't be written."
        )
        self.in_flight = self._gauge("tts_requests_in_flight", "Speech requests taken in and not ended.")
        self.draining = self._gauge(
            "tts_draining", "1 while new requests are refused at an operator's word or for a stop, else 0."
        )
        self.duration_s = self._histogram(
            "tts_request_duration_seconds",
            "Seconds a speech request spent in a stage.",
            DURATION_BUCKETS_S,
            stage=STAGES,
        )
        self.ttfa_s = self._histogram(
            "tts_time_to_first_audio_seconds",
            "Seconds from request headers read to first audio byte written.",
            TTFA_BUCKETS_S,
            engine=ENGINES,
        )
        self.audio_s = self._counter("tts_audio_seconds", "Seconds of audio synthesized.")

    def _declare_probes(self) -> None:
        self.probe_success = self._gauge(
            "tts_probe_success", "1 when the engine's last probe was heard, else 0.", engine=ENGINES
        )
        self.probe_busy = self._gauge(
            "tts_probe_busy",
            "1 when the engine's last probe was refused for others' work, else 0.",
            engine=ENGINES,
        )
        self.probe_timestamp_s = self._gauge(
            "tts_probe_timestamp_seconds",
            "Wall clock of the engine's last probe; 0 while it isn't probed.",
            engine=ENGINES,
        )
        self.probe_latency_s = self._gauge(
            "tts_probe_latency_seconds",
            "Seconds from asking to first audio of the last probe.",
            engine=ENGINES,
        )

    def _declare_pool(self) -> None:
        self.worker_state = self._gauge(
            "tts_worker_state", "Connected workers in a state.", state=WORKER_STATES
        )
        self.worker_exits = self._counter(
            "tts_worker_exits", "Workers that were lost, killed or recycled, by cause.", cause=EXIT_CAUSES
        )
        self.worker_signals = self._counter(
            "tts_worker_signals", "Worker processes that a signal ended.", signal=EXIT_SIGNALS
        )
        self.heartbeat_timestamp_s = self._gauge(
            "tts_worker_heartbeat_timestamp_seconds",
            "Wall clock of the stalest worker's last sign; 0 without workers.",
        )
        self.queue_utterances = self._gauge(
            "tts_queue_utterances", "Utterances waiting for a worker, by class.", **{"class": CLASSES}
        )
        self.queue_wait_expected_s = self._gauge(
            "tts_queue_wait_expected_seconds", "Seconds a newcomer's first utterance would wait now."
        )
        self.voice_imports = self._gauge(
            "tts_voice_imports", "Imports that /health shows, by state.", state=IMPORT_STATES
        )
        self.retries = self._counter("tts_utterance_retries", "Utterances given to a second worker.")
        self.fallbacks = self._counter(
            "tts_voice_fallbacks",
            "Accepted speech requests that espeak-ng was given in a voice's place, by why and its engine.",
            reason=FALLBACK_REASONS,
            engine=FALLBACK_FROM,
        )
        self.stale_frames = self._counter(
            "tts_stale_frames", "Wire frames dropped because their id isn't current."
        )
        self.protocol_errors = self._counter(
            "tts_protocol_errors", "Worker connections closed for a protocol error."
        )
        self.worker_refusals = self._counter(
            "tts_worker_refusals", "Worker connections refused because there were too many."
        )

    def _declare_http(self, routes: Sequence[str]) -> None:
        self.http_requests = self._counter(
            "tts_http_requests", "HTTP requests by route and status.", route=routes, status=STATUSES
        )
        self.http_duration_s = self._histogram(
            "tts_http_request_duration_seconds",
            "Seconds an HTTP request took; a WebSocket's hours aren't one's.",
            DURATION_BUCKETS_S,
            route=routes,
        )
        self.http_response_start_s = self._histogram(
            "tts_http_response_start_seconds",
            "Seconds from request headers read to the answer's headers; those of audio leave with its first.",
            START_BUCKETS_S,
            route=routes,
        )
        self.http_connections = self._gauge(
            "tts_http_connections",
            "Clients' TCP connections, by what they wait for.",
            state=CONNECTION_STATES,
        )
        self.http_connections_closed = self._counter(
            "tts_http_connections_closed",
            "Clients' TCP connections that a limit ended, by which.",
            reason=CLOSE_REASONS,
        )
        self.http_accept_paused = self._gauge(
            "tts_http_accept_paused", "1 while newcomers wait because few descriptors are left, else 0."
        )
        self.http_accept_pauses = self._counter(
            "tts_http_accept_pauses", "Times that accepting stopped because few descriptors were left."
        )
        self.security_denied = self._counter(
            "tts_security_denied", "Requests turned away by an access rule.", rule=DENIAL_RULES
        )

    def _declare_store(self) -> None:
        self.db_commit_s = self._histogram(
            "tts_db_commit_seconds", "Seconds that a commit to the database took.", COMMIT_BUCKETS_S
        )
        self.db_errors = self._counter(
            "tts_db_errors", "Times that the database couldn't be used, by why.", state=STORE_ERRORS
        )
        self.db_up = self._gauge("tts_db_up", "1 while the database takes what is written, else 0.")
        self.disk_alert = self._gauge(
            "tts_disk_alert",
            "1 while disk.alert_ratio of the disk is used or nothing can be written, else 0.",
        )
        self.disk_refusing = self._gauge(
            "tts_disk_refusing",
            "1 while disk.refuse_ratio of the disk is used or nothing can be written, else 0.",
        )

    def _declare_backups(self) -> None:
        self.backups = self._counter(
            "tts_backups",
            "Backups of the database that the gateway has made or failed to make.",
            result=BACKUP_RESULTS,
        )
        self.backup_last_ok = self._gauge("tts_backup_last_ok", "1, or 0 after a backup that failed.")
        self.backup_last_ok.set(1)
        self.backup_damaged = self._gauge(
            "tts_backup_damaged",
            "1 while no backup was made since one whose check found the database damaged, else 0.",
        )
        self.backup_scheduled = self._gauge("tts_backup_scheduled", "1 where store.backup_at is set, else 0.")
        self.backup_last_success_s = self._gauge(
            "tts_backup_last_success_timestamp_seconds", "Unix time of the newest backup; 0 without one."
        )

    def _declare_records(self) -> None:
        self.history_unrecorded = self._counter(
            "tts_history_unrecorded",
            "Requests of killed gateways that have no row in the history, found at this one's start.",
        )
        self.jobs = self._gauge("tts_jobs", "Jobs that haven't ended, by state.", state=JOB_STATES)
        self.jobs_accepted = self._counter("tts_jobs_accepted", "Jobs taken in.")
        self.jobs_finished = self._counter(
            "tts_jobs_finished", "Jobs that ended, by how.", outcome=JOB_OUTCOMES
        )
        self.job_utterances = self._counter("tts_job_utterances", "Utterances that were spoken for jobs.")

    def _declare_cache(self) -> None:
        self.cache_requests = self._counter(
            "tts_cache_requests",
            "Requests for speech whose answer may be kept: found, made, or heard with another one's.",
            result=CACHE_RESULTS,
        )
        self.cache_bytes = self._gauge("tts_cache_bytes", "Bytes of kept answers.", place=CACHE_PLACES)
        self.unsent_bytes = self._gauge(
            "tts_unsent_bytes", "Bytes of audio that answers hold for their clients, beyond what is kept."
        )
        self.cache_evictions = self._counter(
            "tts_cache_evictions", "Kept answers that had to go for others, for their age or for the disk."
        )

    def _declare_process(self) -> None:
        self.log_lines_dropped = self._counter(
            "tts_log_lines_dropped", "Log lines of the gateway dropped because nobody read them."
        )
        self.log_lines_suppressed = self._counter(
            "tts_log_lines_suppressed", "Log lines of the gateway held back because they repeated others."
        )
        self.trace_spans = self._counter(
            "tts_trace_spans",
            "Spans that the collector has taken, that it hasn't, and that there was no room for.",
            result=SPAN_RESULTS,
        )
        self.trace_failing_since_s = self._gauge(
            "tts_trace_failing_since_timestamp_seconds",
            "Unix time since which the collector takes no spans; 0 where it does or none is set.",
        )
        self.event_loop_lag_s = self._histogram(
            "tts_event_loop_lag_seconds", "Seconds the event loop woke up late.", LAG_BUCKETS_S
        )
        self.build = Info("tts_gateway_build", "What runs.", registry=self.registry)

    def _counter(self, name: str, text: str, **labels: Iterable[str]) -> Counter:
        return _filled(Counter(name, text, tuple(labels), registry=self.registry), labels)

    def _gauge(self, name: str, text: str, **labels: Iterable[str]) -> Gauge:
        return _filled(Gauge(name, text, tuple(labels), registry=self.registry), labels)

    def _histogram(
        self, name: str, text: str, buckets: Sequence[float], **labels: Iterable[str]
    ) -> Histogram:
        return _filled(Histogram(name, text, tuple(labels), registry=self.registry, buckets=buckets), labels)


def _filled(metric: Metric, labels: dict[str, Iterable[str]]) -> Metric:
    """Create every label pair of a metric, so that each is scraped from the start."""
    if labels:
        for values in itertools.product(*labels.values()):
            metric.labels(*values)
    return metric
