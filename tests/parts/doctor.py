"""`ttsctl doctor` as a part of a test: what the real command finds of an appliance."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

from tests.parts.appliance import Appliance, eventually
from tests.parts.ttsctl import run_ttsctl_in

FINE = ("ok", "hint")
OF_THE_MACHINE = {"memory", "oom", "network", "crumbs", "secrets", "loop", "requests", "rights", "cores"}
"""What they say depends on where the tests run, and what else does."""

DISK_OF_TESTS = ("disk", "ballast")
"""Checks of the disk that the tests lie on, which others fill."""
FIRST_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What it said."""

    exit_code: int
    checks: dict[str, dict[str, Any]]
    """Its findings, by name, in their order, without those of the machine."""

    @property
    def first(self) -> dict[str, Any]:
        """Where it would have somebody begin: the first of the worst; empty where all is well."""
        for verdict in ("fail", "warn"):
            for each in self.checks.values():
                if each["verdict"] == verdict:
                    return each
        return {}

    @property
    def faults(self) -> dict[str, str]:
        """Code and evidence of everything that somebody has to see to."""
        bad = (each for each in self.checks.values() if each["verdict"] not in (*FINE, "unseen"))
        return {each["fault"]: each["seen"] for each in bad}


def diagnose(environment: dict[str, str], *left_out: str) -> Diagnosis:
    """Run the command in an appliance's environment.

    Args:
        environment: The appliance's.
        left_out: More checks that aren't looked at.
    """
    done = run_ttsctl_in(environment, "doctor", "--json")
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    checks = {each["name"]: each for each in said["checks"]}
    return Diagnosis(
        done.returncode,
        {name: each for name, each in checks.items() if name not in OF_THE_MACHINE | {*left_out}},
    )


class Score:
    """How many of the faults that were tried the doctor has named first."""

    def __init__(self) -> None:
        self.tried: list[bool] = []

    def take(self, fault: str, found: Diagnosis, command: str) -> None:
        """Note whether a fault is the first that was named, and with what command; it has to be."""
        first = found.first
        is_named = first.get("fault") == fault and str(first.get("command")).startswith(command)
        self.tried.append(is_named)
        assert is_named, (fault, command, first, found.faults)

    @property
    def named_percent(self) -> float:
        return 100 * sum(self.tried) / len(self.tried)


def named(score: Score, appliance: Appliance, fault: str, command: str, *left_out: str) -> None:
    """See that the doctor names a fault first, once it is there to be seen.

    Args:
        score: Takes it.
        appliance: Which is broken.
        fault: Its code.
        command: What the command begins with that mends it.
        left_out: Checks that another test's fault has left something to find for.
    """
    found: list[Diagnosis] = []

    def is_first() -> bool:
        found.append(diagnose(appliance.environment, *DISK_OF_TESTS, *left_out))
        return found[-1].first.get("fault") == fault

    with contextlib.suppress(AssertionError):  # the score says more
        eventually(is_first, limit_s=FIRST_WITHIN_S)
    score.take(fault, found[-1], command)
