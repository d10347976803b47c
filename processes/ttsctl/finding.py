"""What a check of `ttsctl doctor` found.

Owns: the verdicts, the shape of a fault and of a finding. Refuses to know: what is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it is, from good to bad."""

    OK = "ok"
    UNSEEN = "unseen"
    """It can't be told, for a reason that another check names."""
    HINT = "hint"
    """Nothing is wrong; somebody may want it otherwise."""
    WARN = "warn"
    """It works, but not as it should, or couldn't be looked at."""
    FAIL = "fail"
    """Somebody has to do something now."""


BAD = (Verdict.WARN, Verdict.FAIL)
"""Verdicts that ask for somebody."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result."""

    verdict: Verdict
    seen: str
    """What was seen, in one line."""
    advice: str = ""
    """What to do, in one line; empty when all is well."""
    fault: str = ""
    """The fault's code; empty when all is well or nothing was seen."""
    command: str = ""
    """The command that mends it, or leads on; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that can be wrong, or could be better."""

    code: str
    """For programs; it never changes."""
    verdict: Verdict
    meaning: str
    """What is wrong, for docs/operate/doctor.md."""

    def found(self, seen: str, advice: str, command: str = "") -> Finding:
        """Return the finding that it is there.

        Args:
            seen: What was seen, in one line.
            advice: What to do, in one line.
            command: What mends it or leads on, for a shell.
        """
        return Finding(self.verdict, seen, advice, self.code, command)


def hint(code: str, meaning: str) -> Fault:
    """Return something that could be better."""
    return Fault(code, Verdict.HINT, meaning)


def warning(code: str, meaning: str) -> Fault:
    """Return something with which it works, but not as it should."""
    return Fault(code, Verdict.WARN, meaning)


def failure(code: str, meaning: str) -> Fault:
    """Return something that somebody has to mend now."""
    return Fault(code, Verdict.FAIL, meaning)


def ok(seen: str) -> Finding:
    """All is well."""
    return Finding(Verdict.OK, seen)


def unseen(why: str) -> Finding:
    """Nothing can be said, because of what another check names."""
    return Finding(Verdict.UNSEEN, f"can't be seen: {why}")


def rank(finding: Finding) -> int:
    """Return a number that is the greater the worse a finding is."""
    return list(Verdict).index(finding.verdict)


def worst(findings: Sequence[Finding]) -> Finding:
    """Return the worst of some findings as one: what they saw together, and all else of the first one."""
    first = max(findings, key=rank)
    bad = [finding for finding in findings if finding.verdict is first.verdict]
    seen = "; ".join(finding.seen for finding in bad)
    return Finding(first.verdict, seen, first.advice, first.fault, first.command)
