"""The controls: each defence switched off in turn, and a fault that must be missed then.

Owns: which defences there are, the fault and the bound that each is seen by, the short runs and their table.
Refuses to know: how a defence is switched off in a program (`undefended`), how a run works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from loadtests.appliance import LAUNCHER
from loadtests.figures import markdown_table
from loadtests.ledger.run import Plan, Report
from loadtests.ledger.undefended import MODULE

RATE_HZ = 20.0
EVERY_S = 6.0
NONE = "none"
HEADER = ("switched off", "fault", "missed", "verdict")


@dataclass(frozen=True, slots=True)
class Defence:
    """A defence that can be switched off, and what must come of it."""

    name: str
    fault: str
    bound: str
    """How the line begins that names the missed bound, behind the fault's name."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Switch it off."""
    launcher: Sequence[str] = LAUNCHER
    """Switches it off, where no setting does."""
    duration_s: float = 14.0

    def is_missed_in(self, misses: Sequence[str]) -> bool:
        """Return whether a run without it has missed what it must miss."""
        return any(miss.startswith(f"{self.fault}: {self.bound}") for miss in misses)


DEFENCES = {
    defence.name: defence
    for defence in (
        Defence("heartbeat", "pool-stop", "seen after", {"WORKERS_SILENCE_S": 60, "WORKERS_PROGRESS_S": 600}),
        Defence("progress", "worker-hang", "seen after", {"WORKERS_PROGRESS_S": 600}),
        Defence(
            "recycling", "worker-leak", "not replaced", {"WORKERS_RECYCLE_RSS_BYTES": 0}, duration_s=22.0
        ),
        Defence("frames", "rogue-worker", "seen after", launcher=(MODULE, "frames")),
        Defence("watchdog", "watchdog-hang", "seen after", launcher=(MODULE, "watchdog"), duration_s=42.0),
    )
}
"""By name; a run without one must miss a bound."""


@dataclass(frozen=True, slots=True)
class Control:
    """What came of one run."""

    name: str
    faults: str
    misses: Sequence[str]
    is_right: bool
    is_late: bool = False
    """As of the run's report."""

    def row(self) -> tuple[str, ...]:
        """Return the cells of the table, as `HEADER` names them."""
        verdict = "as it must be" if self.is_right else "wrong"
        late = ", but this machine stood still: measure again" if self.is_late else ""
        return self.name, self.faults, "; ".join(self.misses) or "nothing", verdict + late


def run_controls(run: Callable[[Plan], Report], say: Callable[[str], None]) -> list[Control]:
    """Run with all defences, then without each in turn; blocks for some five minutes.

    The first run shows that the same faults miss nothing otherwise.

    Args:
        run: Makes one run.
        say: Told of each control at its end.

    Raises:
        TimeoutError: An appliance isn't ready in time.
        OSError: A ledger's file can't be read.
    """
    controls: list[Control] = []
    for defence in (None, *DEFENCES.values()):
        report = run(_plan(defence))
        misses = report.misses()
        if defence is None:
            control = Control(NONE, "all of these", misses, not misses, report.is_late)
        else:
            is_right = defence.is_missed_in(misses)
            control = Control(defence.name, defence.fault, misses, is_right, report.is_late)
        say(": ".join(control.row()))
        controls.append(control)
    return controls


def controls_table(controls: Sequence[Control]) -> str:
    """Return the table of all controls."""
    return markdown_table(HEADER, [control.row() for control in controls])


def _plan(defence: Defence | None) -> Plan:
    if defence is not None:
        return Plan(defence.duration_s, RATE_HZ, EVERY_S, [defence.fault], defence.settings, defence.launcher)
    each = DEFENCES.values()
    return Plan(sum(every.duration_s for every in each), RATE_HZ, EVERY_S, [every.fault for every in each])
