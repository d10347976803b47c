"""What the dashboard shows, row by row: a panel is a title, what it says, and its queries.

`$instance` is the appliance that a reader has chosen, `$__rate_interval` Grafana's own.
"""

from __future__ import annotations

from dataclasses import dataclass

ONLY = 'instance=~"$instance"'


@dataclass(frozen=True)
class Query:
    """One PromQL expression of a panel; `ONLY` and label sets stand in its text."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture."""

    title: str
    says: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    limit: float | None = None
    """Where it turns red; None for never."""
    least: float | None = None
    """Below which it is red; None for nowhere."""


def one(metric: str, labels: str = "") -> str:
    """The series of a metric that the chosen appliance has."""
    return f"{metric}{{{f'{ONLY}, {labels}' if labels else ONLY}}}"


def total(metric: str, by: str = "", labels: str = "") -> str:
    """The sum of a gauge."""
    return _sum(one(metric, labels), by)


def rate(metric: str, by: str = "", labels: str = "") -> str:
    """How much a counter grows in a second."""
    return _sum(f"rate({one(metric, labels)}[$__rate_interval])", by)


def grown(metric: str, by: str = "") -> str:
    """How much a counter has grown in an hour."""
    return _sum(f"increase({one(metric)}[1h])", by)


def quantile(share: float, metric: str, labels: str = "") -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', 'le', labels)})"


def _sum(expr: str, by: str) -> str:
    return f"sum{f' by ({by})' if by else ''} ({expr})"


def stages(share: float) -> tuple[Query, ...]:
    metric = "tts_request_duration_seconds"
    return tuple(
        Query(quantile(share, metric, f'stage="{stage}"'), stage)
        for stage in ("queue", "synth", "encode", "total")
    )


def percentiles(metric: str, *percents: int) -> tuple[Query, ...]:
    return tuple(Query(quantile(percent / 100, metric), f"p{percent}") for percent in percents)


SYNTHESIS = rate("tts_request_duration_seconds_sum", labels='stage="synth"')
ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        Panel(
            "Is it there",
            "1: exporter, supervisord and gateway answer.",
            (
                Query(f'min(up{{job="tts-appliance", {ONLY}}})', "exporter"),
                *(
                    Query(f"min({one(metric)})", part)
                    for metric, part in (
                        ("tts_supervisor_up", "supervisord"),
                        ("tts_up", "gateway"),
                        ("tts_db_up", "database"),
                    )
                ),
            ),
            kind="stat",
            least=1,
        ),
        Panel(
            "Success in 10 minutes",
            "Of the requests that were taken in; below 95 % somebody is woken.",
            (Query(one("instance:tts_success:ratio_rate10m"), "{{instance}}"),),
            unit="percentunit",
            kind="stat",
            least=0.95,
        ),
        Panel(
            "Alerts",
            "What fires now; the dead man's switch always does.",
            (Query('count by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}"),),
            kind="stat",
        ),
        Panel(
            "Error budget burn",
            "Share of speech that was owed and not given, or begun late, in units of the 0.5 % that may.",
            (
                Query(f"{one('instance:tts_speech_errors:ratio_rate1h')} / 0.005", "errors, 1 h"),
                Query(f"{one('instance:tts_late_audio:ratio_rate1h')} / 0.005", "late, 1 h"),
            ),
            limit=14.4,
        ),
    ),
    "Requests: rate, errors, duration": (
        Panel(
            "Speech requests",
            "Ended, by how; refused before any work, by why.",
            (
                Query(rate("tts_requests_finished_total", "outcome"), "{{outcome}}"),
                Query(rate("tts_requests_rejected_total", "reason"), "refused: {{reason}}"),
            ),
            unit="reqps",
        ),
        Panel(
            "HTTP answers",
            "All routes, by status.",
            (Query(rate("tts_http_requests_total", "status"), "{{status}}"),),
            unit="reqps",
        ),
        Panel(
            "First audio",
            "From headers read to the first audio byte written.",
            percentiles("tts_time_to_first_audio_seconds", 50, 90, 99),
            unit="s",
            limit=0.5,
        ),
        Panel(
            "API, p90 to the answer's headers",
            "Without health, uploads and downloads, over 10 minutes.",
            (Query(one("instance:tts_api_start_seconds:p90_rate10m"), "{{instance}}"),),
            unit="s",
            limit=0.5,
        ),
        Panel("Stages, p90", "Where the seconds of a request go.", stages(0.9), unit="s"),
        Panel(
            "Probe",
            "From asking to first audio of the last real synthesis.",
            (Query(f"{one('tts_probe_latency_seconds')} > 0", "{{engine}}"),),
            unit="s",
        ),
        Panel(
            "Fallbacks and retries",
            "Requests that espeak-ng spoke in a voice's place; utterances given to a second worker.",
            (
                Query(rate("tts_voice_fallbacks_total", "engine"), "fallback of {{engine}}"),
                Query(rate("tts_utterance_retries_total"), "retries"),
            ),
            unit="cps",
        ),
        Panel(
            "Turned away",
            "By the access rule.",
            (Query(rate("tts_security_denied_total", "rule"), "{{rule}}"),),
            unit="reqps",
        ),
    ),
    "Resources: utilisation, saturation, errors": (
        Panel(
            "Queue",
            "Utterances waiting, by class.",
            (Query(total("tts_queue_utterances", "class"), "{{class}}"),),
        ),
        Panel(
            "Expected wait",
            "What a newcomer's first utterance would wait; above 0.3 s newcomers are refused.",
            (Query(f"max({one('tts_queue_wait_expected_seconds')})", "wait"),),
            unit="s",
            limit=0.3,
        ),
        Panel(
            "Real-time factor",
            "Synthesis time by audio duration; below 1 is faster than real time.",
            (Query(f"{SYNTHESIS} / {rate('tts_audio_seconds_total')}", "RTF"),),
        ),
        Panel(
            "Event loop lag, p99",
            "Above 50 ms the gateway itself waits for a core.",
            (Query(quantile(0.99, "tts_event_loop_lag_seconds"), "lag"),),
            unit="s",
            limit=0.05,
        ),
        Panel(
            "Memory",
            "Resident, by program.",
            (Query(total("tts_process_resident_memory_bytes", "program"), "{{program}}"),),
            unit="bytes",
        ),
        Panel(
            "Disk",
            "Used share of the data's disk.",
            (Query(f"max({one('tts_disk_used_ratio')})", "used"),),
            unit="percentunit",
            limit=0.8,
        ),
        Panel(
            "Connections",
            "Clients' TCP connections, by what they wait for.",
            (Query(total("tts_http_connections", "state"), "{{state}}"),),
        ),
        Panel(
            "Log lines lost",
            "Dropped because nobody read them.",
            (
                Query(rate("tts_log_lines_dropped_total"), "gateway"),
                Query(rate("tts_container_log_lines_dropped_total"), "launcher and exporter"),
            ),
            unit="cps",
        ),
    ),
    "Workers": (
        Panel(
            "States of workers",
            "How many are in each.",
            (Query(total("tts_worker_state", "state"), "{{state}}"),),
            kind="state-timeline",
        ),
        Panel(
            "States of programs",
            "supervisord's, without those that run or were stopped.",
            (
                Query(
                    total("tts_process_state", "program, state", 'state!~"running|stopped|exited"'),
                    "{{program}} {{state}}",
                ),
            ),
            kind="state-timeline",
        ),
        Panel(
            "Workers lost and recycled",
            "By cause.",
            (Query(rate("tts_worker_exits_total", "cause"), "{{cause}}"),),
            unit="cps",
        ),
        Panel(
            "Restarts and hangs",
            "Of every kind of program.",
            (
                Query(rate("tts_process_restarts_total", "program"), "{{program}} restarted"),
                Query(rate("tts_process_hangs_total", "program"), "{{program}} hung"),
            ),
            unit="cps",
        ),
    ),
    "Jobs": (
        Panel(
            "Jobs that haven't ended",
            "By state.",
            (Query(total("tts_jobs", "state"), "{{state}}"),),
        ),
        Panel(
            "Jobs accepted and ended",
            "In an hour.",
            (
                Query(grown("tts_jobs_accepted_total"), "accepted"),
                Query(grown("tts_jobs_finished_total", "outcome"), "{{outcome}}"),
            ),
        ),
        Panel(
            "Utterances of jobs",
            "Spoken in a second.",
            (Query(rate("tts_job_utterances_total"), "utterances"),),
            unit="cps",
        ),
    ),
    "Cache": (
        Panel(
            "Answers",
            "Found, made, or heard with another one's.",
            (Query(rate("tts_cache_requests_total", "result"), "{{result}}"),),
            unit="reqps",
        ),
        Panel(
            "Kept and held",
            "Bytes of kept answers, and of audio that slow clients have yet to take.",
            (
                Query(total("tts_cache_bytes", "place"), "{{place}}"),
                Query(total("tts_unsent_bytes"), "unsent"),
            ),
            unit="bytes",
        ),
        Panel(
            "Evicted",
            "Kept answers that had to go.",
            (Query(rate("tts_cache_evictions_total"), "evicted"),),
            unit="cps",
        ),
    ),
    "Ledger and database": (
        Panel(
            "Requests that are in no account",
            "Accepted, minus finished, minus in flight: 0 at every scrape.",
            (
                Query(
                    f"{total('tts_requests_accepted_total')} - {total('tts_requests_finished_total')}"
                    f" - {total('tts_requests_in_flight')}",
                    "difference",
                ),
            ),
            limit=1,
        ),
        Panel("In flight", "Taken in and not ended.", (Query(total("tts_requests_in_flight"), "in flight"),)),
        Panel(
            "Commits, p99",
            "Of the database.",
            (Query(quantile(0.99, "tts_db_commit_seconds"), "commit"),),
            unit="s",
        ),
        Panel(
            "Size of the database",
            "And of its write-ahead log.",
            (
                Query(total("tts_db_bytes"), "database"),
                Query(total("tts_db_wal_bytes"), "log"),
            ),
            unit="bytes",
        ),
        Panel(
            "Errors of the database",
            "By why.",
            (Query(rate("tts_db_errors_total", "state"), "{{state}}"),),
            unit="cps",
        ),
        Panel(
            "Age of the newest backup",
            "Above 26 h a night is missing.",
            (Query(f"time() - max({one('tts_backup_last_success_timestamp_seconds')} > 0)", "age"),),
            unit="s",
            limit=93_600,
        ),
    ),
}
