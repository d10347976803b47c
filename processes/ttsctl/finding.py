"""What a check of `ttsctl doctor` found.

Owns: the verdicts and the shape of a finding. Refuses to know: what is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it is, from good to bad."""

    OK = "ok"
    WARN = "warn"
    """It works, but not as it should, or couldn't be looked at."""
    FAIL = "fail"
    """Somebody has to do something now."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result."""

    verdict: Verdict
    seen: str
    """What was seen, in one line."""
    advice: str = ""
    """What to do, in one line; empty when all is well."""


def ok(seen: str) -> Finding:
    """All is well."""
    return Finding(Verdict.OK, seen)


def warn(seen: str, advice: str) -> Finding:
    """It works, but not as it should, or couldn't be looked at."""
    return Finding(Verdict.WARN, seen, advice)


def fail(seen: str, advice: str) -> Finding:
    """Somebody has to do something now."""
    return Finding(Verdict.FAIL, seen, advice)


def worst(findings: Sequence[Finding]) -> Finding:
    """Return the worst of some findings as one: what they saw together, and the first one's advice."""
    verdict = max((finding.verdict for finding in findings), key=list(Verdict).index)
    bad = [finding for finding in findings if finding.verdict is verdict]
    return Finding(verdict, "; ".join(finding.seen for finding in bad), bad[0].advice)
