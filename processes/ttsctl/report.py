"""The overview as text for a person.

Owns: what stands where. Refuses to know: where the values come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from processes.ttsctl.table import NOTHING, format_delay, format_size, format_span, format_table

WORKER_COLUMNS = ("WORKER", "STATE", "PID", "MEMORY", "UTTERANCES", "RESTARTS", "LAST EXIT")
PROGRAM_COLUMNS = ("PROGRAM", "STATE", "PID", "UP", "RESTARTS", "LAST EXIT")

IMPORT_COLUMNS = ("IMPORT", "STATE", "DONE", "VOICE OR REASON")


def format_overview(overview: dict[str, Any]) -> str:
    """Lay out what `overview.merge` returned; parts that nobody knows are left out."""
    parts = [_headline(overview), *(f"problem: {problem}" for problem in overview["problems"])]
    if overview["workers"]:
        parts += ["", format_table(WORKER_COLUMNS, map(_worker_row, overview["workers"]))]
    if overview["programs"]:
        parts += ["", format_table(PROGRAM_COLUMNS, map(_program_row, overview["programs"]))]
    if overview["requests"] is not None:
        parts += ["", *_numbers(overview)]
    if overview["imports"]:
        parts += ["", format_table(IMPORT_COLUMNS, map(_import_row, overview["imports"]))]
    return "\n".join(parts)


def _headline(overview: dict[str, Any]) -> str:
    pieces = [overview["status"]]
    if overview["version"] is not None:
        pieces += [f"version {overview['version']}", f"up {format_span(overview['uptime_s'])}"]
    if (maintenance := overview["maintenance"]) is not None and maintenance["message"]:
        pieces.append(maintenance["message"])
    return ", ".join(pieces)


def _worker_row(worker: dict[str, Any]) -> tuple[object, ...]:
    return (
        worker["name"],
        worker["state"],
        worker["pid"],
        format_size(worker["rss_bytes"]),
        worker["utterances"],
        worker["restarts"],
        worker["last_exit"],
    )


def _program_row(program: dict[str, Any]) -> tuple[object, ...]:
    return (
        program["name"],
        program["state"].lower(),
        program["pid"],
        format_span(program["uptime_s"]),
        program["restarts"],
        program["last_exit"],
    )


def _import_row(entry: dict[str, Any]) -> tuple[object, ...]:
    return (
        entry["model"],
        entry["state"],
        f"{entry['fraction']:.0%}",
        entry["voice"] or entry["reason"] or None,
    )


def _numbers(overview: dict[str, Any]) -> Iterator[str]:
    queue, requests, latency = overview["queue"], overview["requests"], overview["latency"]
    finished = requests["finished"]
    ratio = overview["success_ratio"]
    yield (
        f"queue     {queue['waiting']} waiting, {queue['running']} running, "
        f"expected wait {format_delay(queue['expected_wait_s'])}"
    )
    yield (
        f"requests  {requests['accepted']} accepted, {requests['in_flight']} in flight, "
        f"{finished['completed']} completed, {finished['failed']} failed, "
        f"{finished['expired']} expired, {finished['cancelled']} cancelled, "
        f"{finished['interrupted']} interrupted, "
        f"{requests['rejected']} rejected"
    )
    yield (
        f"latency   first audio p50 {format_delay(latency['ttfa_p50_s'])}, "
        f"p90 {format_delay(latency['ttfa_p90_s'])}; whole p50 {format_delay(latency['total_p50_s'])}, "
        f"p90 {format_delay(latency['total_p90_s'])} ({latency['samples']} requests)"
    )
    yield f"success   {NOTHING if ratio is None else f'{ratio:.2%}'}"
