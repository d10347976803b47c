"""The gate: what was measured against what must hold.

Owns: the verdicts, their table and the exit code.
Refuses to know: where the samples and the limits come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from loadtests.figures import markdown_table
from loadtests.limits import Entry, EntryLimits, Profile
from loadtests.samples import EntrySamples, Samples

EXIT_HELD = 0
EXIT_MISSED = 3
EXIT_TOO_FEW = 4
"""1 is a crash, and 2 what argparse and a wrong limits file end with."""
LEAST_CONTROL_SAMPLES = 20
P90 = 0.9
HEADER = ("entry", "what", "value", "limit", "samples", "verdict")


class Verdict(StrEnum):
    """What a limit's check found."""

    HELD = "held"
    MISSED = "MISSED"
    TOO_FEW = "TOO FEW SAMPLES"


@dataclass(frozen=True, slots=True)
class Check:
    """One limit and what became of it."""

    entry: str
    what: str
    value: str
    limit: str
    samples: int
    verdict: Verdict

    def row(self) -> tuple[str, str, str, str, str, str]:
        """Return the cells of the table, as `HEADER` names them."""
        return self.entry, self.what, self.value, self.limit, str(self.samples), self.verdict.value


def judge(profile: Profile, samples: Samples) -> list[Check]:
    """Return the verdict on every limit of a profile."""
    checks = [
        check
        for entry, limits in profile.entries().items()
        for check in _entry_checks(entry, limits, samples.of(entry))
    ]
    control = samples.control
    few = len(control) < LEAST_CONTROL_SAMPLES
    p90_s = control.percentile_s(P90)
    checks.append(
        Check(
            "control",
            "p90 of the generator's own delay",
            _ms(p90_s),
            f"≤ {_ms(profile.most_control_p90_s)}",
            len(control),
            Verdict.TOO_FEW if few else _verdict(is_held=p90_s <= profile.most_control_p90_s),
        )
    )
    stray = samples.stray_exceptions
    checks.append(
        Check("all", "exceptions of no entry", str(stray), "0", stray, _verdict(is_held=stray == 0))
    )
    return checks


def exit_code(checks: Sequence[Check]) -> int:
    """Return 3 when a limit was missed, else 4 when samples were too few, else 0."""
    verdicts = {check.verdict for check in checks}
    if Verdict.MISSED in verdicts:
        return EXIT_MISSED
    return EXIT_TOO_FEW if Verdict.TOO_FEW in verdicts else EXIT_HELD


def verdict_table(checks: Sequence[Check]) -> str:
    """Return the table of verdicts."""
    return markdown_table(HEADER, [check.row() for check in checks])


def troubles(samples: Samples) -> list[str]:
    """Return a line for each reason for which requests weren't completed."""
    lines = [
        f"{entry}: {count} × {reason}"
        for entry, found in samples.entries.items()
        for reason, count in found.reasons.most_common()
    ]
    for entry, found in samples.entries.items():
        if found.unfinished:
            lines.append(f"{entry}: {found.unfinished} × never ended")
        if found.exceptions:
            lines.append(f"{entry}: {found.exceptions} × exception in the client")
    return lines


def _entry_checks(entry: Entry, limits: EntryLimits, found: EntrySamples) -> Iterator[Check]:
    few = found.attempts < limits.least_samples

    def check(what: str, value: str, limit: str, count: int, *, is_held: bool) -> Check:
        is_few = few or count < limits.least_samples
        verdict = Verdict.TOO_FEW if is_held and is_few else _verdict(is_held=is_held)
        return Check(entry, what, value, limit, count, verdict)

    shares = {"success": (found.success(refused_too=False), limits.least_success)}
    if limits.least_answered is not None:
        shares = {
            "success or honest refusal": (found.success(refused_too=True), limits.least_success),
            "answered": (found.success(refused_too=False), limits.least_answered),
        }
    for what, (share, least) in shares.items():
        held = few or share >= least
        yield check(what, _percent(share), f"≥ {_percent(least)}", found.attempts, is_held=held)
    for what, series, limit_s in (
        ("p90 first audio", found.first_audio, limits.first_audio_p90_s),
        ("p90 answer", found.answer, limits.answer_p90_s),
    ):
        if limit_s is not None:
            p90_s = series.percentile_s(P90)
            held = math.isnan(p90_s) or p90_s <= limit_s
            yield check(what, _ms(p90_s), f"≤ {_ms(limit_s)}", len(series), is_held=held)
    if limits.most_underruns is not None:
        heard = len(found.answer)
        gapped = found.gaps / heard if heard else math.nan
        yield check(
            "sound stood still",
            _percent(gapped),
            f"≤ {_percent(limits.most_underruns)}",
            heard,
            is_held=not gapped > limits.most_underruns,
        )


def _verdict(*, is_held: bool) -> Verdict:
    return Verdict.HELD if is_held else Verdict.MISSED


def _ms(seconds: float) -> str:
    return "–" if math.isnan(seconds) else f"{seconds * 1000:.1f} ms"


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share * 100:.2f} %"
