"""`ttsctl doctor`: what is wrong, what was seen, what to do, whether the appliance runs or not.

Owns: the list of checks and their order, where to begin, how findings look, the exit code.
Refuses to know: any check.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from processes.ttsctl.bounded import within
from processes.ttsctl.check import Check, from_error
from processes.ttsctl.checks import (
    configuration,
    imported,
    machine,
    network,
    places,
    programs,
    speaking,
    storing,
)
from processes.ttsctl.finding import BAD, Finding, Verdict, rank
from processes.ttsctl.outcome import ExitCode, print_json
from processes.ttsctl.patient import Patient, examine
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.remedies import shell

GROUPS = (configuration, places, machine, programs, imported, storing, network, speaking)
"""Causes before what they cause, since the first of the worst findings is where to begin."""
CHECKS: dict[str, Check] = dict(chain.from_iterable(group.CHECKS.items() for group in GROUPS))
"""By name, in the order in which they are shown."""
LIMIT_S = 10.0
"""Seconds for all of them together."""
SCHEMA = 2
"""Of the JSON; a field may be added without another number."""
EXIT_CODES = {Verdict.WARN: ExitCode.FAILED, Verdict.FAIL: ExitCode.DOWN}
PREFIX = "ttsctl "


def run(arguments: argparse.Namespace) -> ExitCode:
    """Check everything and print it; what can't be looked at is a warning, not an error.

    Blocks for half a minute at most, whatever hangs.
    """
    patient = examine(find_run_dir(arguments.run_dir))
    findings = look(CHECKS, patient)
    if arguments.run_dir is not None:
        findings = {name: _elsewhere(finding, arguments.run_dir) for name, finding in findings.items()}
    verdict = max(findings.values(), key=rank).verdict
    if arguments.json:
        print_json(as_json(findings))
    else:
        print(format_findings(findings))
    return EXIT_CODES.get(verdict, ExitCode.OK)


def look(checks: Mapping[str, Check], patient: Patient, limit_s: float = LIMIT_S) -> dict[str, Finding]:
    """Return what each check finds; one that raises, or that isn't done in time, is a warning.

    Args:
        checks: By name.
        patient: What they look at.
        limit_s: Seconds for all of them together.
    """
    works = {name: partial(check.look, patient) for name, check in checks.items()}
    return {
        name: from_error(came) if isinstance(came, Exception) else came
        for name, came in within(limit_s, works).items()
    }


def begin_with(findings: Mapping[str, Finding]) -> str | None:
    """Return the name of the check whose finding is to be mended first; None when nothing is."""
    name = max(findings, key=lambda each: rank(findings[each]))  # the first of them
    return name if findings[name].verdict in BAD else None


def _elsewhere(finding: Finding, run_dir: object) -> Finding:
    """Return a finding whose command asks the appliance of a run directory that was given."""
    if not finding.command.startswith(PREFIX):
        return finding
    options = shell("--run-dir", run_dir)
    return replace(finding, command=f"{PREFIX}{options} {finding.command.removeprefix(PREFIX)}")


def as_json(findings: Mapping[str, Finding]) -> dict[str, Any]:
    """Return all findings as docs/operate/ttsctl.md describes them."""
    checks = {name: _one(name, finding) for name, finding in findings.items()}
    first = begin_with(findings)
    return {
        "schema": SCHEMA,
        "verdict": max(findings.values(), key=rank).verdict.value,
        "first": checks[first] if first else None,
        "checks": [*checks.values()],
    }


def _one(name: str, finding: Finding) -> dict[str, str | None]:
    return {
        "name": name,
        "verdict": finding.verdict.value,
        "fault": finding.fault or None,
        "seen": finding.seen,
        "advice": finding.advice or None,
        "command": finding.command or None,
    }


def format_findings(findings: Mapping[str, Finding]) -> str:
    """Lay findings out for a person: a line for each, what to do below it, the sum, and where to begin."""
    width, left = max(map(len, findings)), max(map(len, Verdict))
    lines = []
    for name, finding in findings.items():
        lines.append(f"{finding.verdict:<{left}}  {name:<{width}}  {finding.seen}")
        below = f"{'':<{left}}  {'':<{width}}  "
        if finding.advice:
            lines.append(f"{below}do: {finding.advice}")
        if finding.command:
            lines.append(f"{below}run: {finding.command}")
    counts = Counter(finding.verdict for finding in findings.values())
    summed = (
        (Verdict.OK, "ok"),
        (Verdict.UNSEEN, "unseen"),
        (Verdict.HINT, "hints"),
        (Verdict.WARN, "to look at"),
        (Verdict.FAIL, "to mend"),
    )
    lines.append("\n" + ", ".join(f"{counts[verdict]} {words}" for verdict, words in summed))
    if first := begin_with(findings):
        lines.append(f"begin with {first}: {findings[first].command or findings[first].advice}")
    return "\n".join(lines)
