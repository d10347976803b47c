"""The page about a run of the load test: verdicts, tables and plots, in one file that needs nothing else.

Owns: the page. Refuses to know: how anything was measured or judged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from loadtests.chart import line_chart
from loadtests.exchange import Ending
from loadtests.figures import machine
from loadtests.gate import HEADER, P90, Check, Verdict, troubles
from loadtests.limits import Entry, Profile
from loadtests.samples import EntrySamples, Samples, Series
from processes.ttsctl.voice_bench.figures import percentile

STEPS = 60
"""Points of a line over the run's time."""
CURVE_SHARES = [step / 100 for step in range(100)]
"""Points of a distribution; the last hundredth would flatten the rest."""
STYLE = """
body {font: 15px/1.4 sans-serif; max-width: 68em; margin: 2em auto; padding: 0 1em; color: #222}
table {border-collapse: collapse; margin: 1em 0} td, th {padding: .25em .6em; border: 1px solid #ddd}
th {background: #f4f4f4; text-align: left; white-space: nowrap}
td.number {text-align: right; font-variant-numeric: tabular-nums}
tr.missed td {background: #fbe3dd} tr.few td {background: #fdf3d0} svg {width: 100%; margin: .5em 0}
.held {color: #2a6b32} .missed {color: #b03a20}
"""
ENTRY_HEADER = (
    "entry",
    "requests",
    "completed",
    "refused",
    "failed",
    "first audio p50",
    "p90",
    "p99",
    "answer p50",
    "p90",
    "p99",
)
CLASSES = {Verdict.HELD: "", Verdict.MISSED: "missed", Verdict.TOO_FEW: "few"}


def write_report(path: Path, name: str, profile: Profile, samples: Samples, checks: Sequence[Check]) -> None:
    """Write the page.

    Raises:
        OSError: The file can't be written.
    """
    path.write_text("\n".join(_parts(name, profile, samples, checks)), "utf-8")


def _parts(name: str, profile: Profile, samples: Samples, checks: Sequence[Check]) -> Iterator[str]:
    is_held = all(check.verdict is Verdict.HELD for check in checks)
    verdict = "every limit held" if is_held else "not every limit held"
    seconds = _last_due_s(samples)
    yield "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    yield f"<title>Load: {escape(name)}, {verdict}</title><style>{STYLE}</style>"
    color = "held" if is_held else "missed"
    yield f"<h1>Load, profile {escape(name)}: <span class={color}>{verdict}</span></h1>"
    yield f"<p>{time.strftime('%Y-%m-%d %H:%M')}, {seconds:.0f} s, of which {profile.warm_up_s:g} s of"
    yield f" warm-up don't count, on {escape(machine())}. Seconds count from the intended start of each"
    yield " request, to the first byte of sound or to the last. Percentiles are exact.</p>"
    rows = [(CLASSES[check.verdict], check.row()) for check in checks]
    yield from ("<h2>Limits</h2>", _table(HEADER, rows))
    yield "<h2>Entries, times in ms</h2>"
    yield _table(ENTRY_HEADER, [("", _entry_row(*each)) for each in _in_order(samples).items()])
    if said := troubles(samples):
        yield "<h2>Not completed</h2><ul>"
        yield from (f"<li>{escape(line)}" for line in said)
        yield "</ul>"
    yield "<h2>Plots</h2>"
    yield from _plots(profile, samples, seconds)


def _plots(profile: Profile, samples: Samples, seconds: float) -> Iterator[str]:
    entries, span = _in_order(samples), (f"{samples.warm_up_s:.0f} s", f"{seconds:.0f} s")

    def over_time(series: Series, share: float) -> list[float]:
        return [1000 * percentile(values, share) for values in _buckets(series, samples.warm_up_s, seconds)]

    def rate(series: Iterable[Series]) -> list[float]:
        step_s = max(seconds - samples.warm_up_s, 1e-9) / STEPS
        every = [_buckets(each, samples.warm_up_s, seconds) for each in series]
        return [sum(map(len, step)) / step_s for step in zip(*every, strict=True)]

    lines = {entry: over_time(found.first_audio, P90) for entry, found in entries.items()}
    limits_s = {limits.first_audio_p90_s for limits in profile.entries().values() if limits.first_audio_p90_s}
    lines |= {f"limit {1000 * limit_s:g} ms": [1000 * limit_s] * STEPS for limit_s in sorted(limits_s)[:1]}
    yield line_chart("first audio, p90 over time, ms", lines, span=span)
    at_speed = {entry: found for entry, found in entries.items() if entry != Entry.SLOW}
    lines = {entry: over_time(found.answer, P90) for entry, found in at_speed.items()}
    yield line_chart("whole answer, p90 over time, ms", lines, span=span)
    rates = {
        "completed": rate([found.answer for found in entries.values()]),
        "refused or failed": rate([found.failed_at for found in entries.values()]),
    }
    if entries:
        yield line_chart("requests per second", rates, span=span)
    lines = {entry: _curve(found.first_audio) for entry, found in entries.items() if found.first_audio}
    yield line_chart("first audio, distribution, ms", lines, span=("the fastest", "all but 1 %"))
    own = {"p50": over_time(samples.control, 0.5), "p90": over_time(samples.control, P90)}
    yield line_chart("the generator's own delay, ms: no figure here is truer than this", own, span=span)


def _in_order(samples: Samples) -> dict[str, EntrySamples]:
    """Return the entries in the order of their names' list, the slow last, so that each keeps its colour."""
    order = sorted(Entry, key=lambda entry: entry is Entry.SLOW)
    return {entry.value: samples.entries[entry] for entry in order if entry in samples.entries}


def _last_due_s(samples: Samples) -> float:
    """Return when the last request that counts was due; what comes later only ends what runs."""
    series = [samples.control]
    for found in samples.entries.values():
        series += [found.first_audio, found.answer, found.failed_at]
    return max((at_s for each in series for at_s in each.at_s), default=samples.warm_up_s)


def _buckets(series: Series, from_s: float, to_s: float) -> list[list[float]]:
    """Return the values of each of `STEPS` even parts of the time."""
    buckets: list[list[float]] = [[] for _ in range(STEPS)]
    width_s = max(to_s - from_s, 1e-9) / STEPS
    for at_s, value_s in zip(series.at_s, series.values_s, strict=True):
        buckets[max(0, min(STEPS - 1, int((at_s - from_s) / width_s)))].append(value_s)
    return buckets


def _curve(series: Series) -> list[float]:
    values = sorted(series.values_s)
    return [1000 * values[int(share * len(values))] for share in CURVE_SHARES]


def _entry_row(entry: str, found: EntrySamples) -> tuple[str, ...]:
    failed = found.attempts - found.endings[Ending.COMPLETED] - found.endings[Ending.REFUSED]
    counts = (found.attempts, found.endings[Ending.COMPLETED], found.endings[Ending.REFUSED], failed)
    return (entry, *map(str, counts), *_percentiles(found.first_audio), *_percentiles(found.answer))


def _percentiles(series: Series) -> Iterator[str]:
    for share in (0.5, P90, 0.99):
        value_s = series.percentile_s(share)
        yield "–" if math.isnan(value_s) else f"{value_s * 1000:.1f}"


def _table(header: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    head = "".join(f"<th>{escape(cell)}" for cell in header)
    body = "\n".join(
        f"<tr class='{kind}'>" + "".join(f"<td{_is_number(cell)}>{escape(cell)}" for cell in cells)
        for kind, cells in rows
    )
    return f"<table><tr>{head}\n{body}</table>"


def _is_number(cell: str) -> str:
    return " class=number" if cell[:1].isdigit() or cell[:1] in "≤≥–" else ""
