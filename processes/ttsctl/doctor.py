"""`ttsctl doctor`: what is wrong, what was seen, what to do, whether the appliance runs or not.

Owns: the list of checks and their order, how findings look, the exit code.
Refuses to know: any check.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable

from processes.ttsctl import checks_appliance, checks_machine
from processes.ttsctl.finding import Finding, Verdict, warn, worst
from processes.ttsctl.outcome import ExitCode, print_json
from processes.ttsctl.patient import Patient, examine
from processes.ttsctl.place import find_run_dir

CHECKS: dict[str, Callable[[Patient], Finding]] = {
    "configuration": checks_appliance.check_configuration,
    "run_directory": checks_appliance.check_run_directory,
    "ports": checks_appliance.check_ports,
    "programs": checks_appliance.check_programs,
    "leftovers": checks_appliance.check_leftovers,
    "gateway": checks_appliance.check_gateway,
    "pools": checks_appliance.check_pools,
    "workers": checks_appliance.check_workers,
    "speech": checks_appliance.check_speech,
    "fallbacks": checks_appliance.check_fallbacks,
    "logs": checks_appliance.check_logs,
    "disk": checks_machine.check_disk,
    "memory": checks_machine.check_memory,
    "cpu": checks_machine.check_cpu,
    "open_files": checks_machine.check_open_files,
    "clock": checks_machine.check_clock,
    "packages": checks_machine.check_packages,
    "espeak": checks_machine.check_espeak,
    "network": checks_machine.check_network,
}
"""By name, in the order in which an operator wants to read them."""
EXIT_CODES = {Verdict.OK: ExitCode.OK, Verdict.WARN: ExitCode.FAILED, Verdict.FAIL: ExitCode.DOWN}
INDENT = " " * 4


def run(arguments: argparse.Namespace) -> ExitCode:
    """Check everything and print it; what can't be looked at is a warning, not an error."""
    patient = examine(find_run_dir(arguments.run_dir))
    findings = {name: look(check, patient) for name, check in CHECKS.items()}
    verdict = worst([*findings.values()]).verdict
    if arguments.json:
        print_json({"verdict": verdict.value, "checks": [as_json(*each) for each in findings.items()]})
    else:
        print(format_findings(findings))
    return EXIT_CODES[verdict]


def look(check: Callable[[Patient], Finding], patient: Patient) -> Finding:
    """Return what a check finds, or a warning about what it raised.

    Args:
        check: One of `CHECKS`.
        patient: What it looks at.
    """
    try:
        return check(patient)
    except OSError as error:
        return warn(f"can't be looked at: {error.strerror or error}", "run ttsctl as the appliance's user")
    except Exception as error:  # noqa: BLE001 (a machine unlike all others mustn't end the other checks)
        seen = f"can't be looked at: {type(error).__name__}: {error}"
        return warn(seen, "look at it by hand: this machine shows what this check doesn't know")


def as_json(name: str, finding: Finding) -> dict[str, str | None]:
    """Return a finding as docs/operate/ttsctl.md describes it."""
    verdict, advice = finding.verdict.value, finding.advice or None
    return {"name": name, "verdict": verdict, "seen": finding.seen, "advice": advice}


def format_findings(findings: dict[str, Finding]) -> str:
    """Lay findings out for a person: a line for each, a second one with what to do, and the sum."""
    width = max(map(len, findings))
    lines = []
    for name, finding in findings.items():
        lines.append(f"{finding.verdict:<4}  {name:<{width}}  {finding.seen}")
        if finding.advice:
            lines.append(f"{INDENT}  {'':<{width}}  do: {finding.advice}")
    counts = Counter(finding.verdict for finding in findings.values())
    lines.append(
        f"\n{counts[Verdict.OK]} ok, {counts[Verdict.WARN]} to look at, {counts[Verdict.FAIL]} to mend"
    )
    return "\n".join(lines)
