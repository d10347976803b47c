"""Load with faults and the ledger: `python -m loadtests.ledger --minutes 10 --rate 100`, or `make soak`.

Owns: the command line, the runs that have a name, what is printed, the exit code.
Refuses to know: how a run works.

Exit codes: 0 every bound held, 1 one was missed, 2 wrong options, 4 none was missed, but the generator stood
still meanwhile, so that this says little.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loadtests.appliance import LAUNCHER
from loadtests.figures import Table, machine
from loadtests.ledger.controls import DEFENCES, controls_table, run_controls
from loadtests.ledger.faults import FAULTS
from loadtests.ledger.judge import outcomes_table
from loadtests.ledger.pattern import CACHE_SETTINGS
from loadtests.ledger.run import MOST_LATE_S, Plan, Report, run
from loadtests.ledger.spoilers import SPOILERS
from loadtests.page import write_section

EXIT_HELD, EXIT_MISSED = 0, 1
EXIT_UNSURE = 4
"""As of `make load`, where too few samples tell nothing."""
LONG_MINUTES = 10.0
"""A run is called long from here on."""
MOST_MINUTES = 60.0 * 24
MOST_RATE_HZ = 1_000.0
SHORT_FAULTS = (
    "worker-kill-busy",
    "gateway-kill",
    "worker-stop",
    "gateway-restart",
    "worker-segfault",
    "log-stall",
    "pool-stop",
    "hang-ups",
    "half-open",
    "watchdog-stop",
)
SHORT: dict[str, object] = {"minutes": 1.75, "rate": 30.0, "every": 8.0}
RESTARTS: dict[str, object] = {
    "minutes": 10.0,
    "rate": 42.0,
    "every": 70.0,
    "faults": ["gateway-restart"],
    "section": "restarts",
}
"""Eight restarts under 25,200 requests."""
SECTIONS = ("ledger", "restarts")
"""Of docs/benchmarks.md."""


def main() -> int:
    """Run and report; return the exit code."""
    arguments = _parse_arguments()
    return _control(arguments) if arguments.controls else _run(arguments)


def _control(arguments: argparse.Namespace) -> int:
    controls = run_controls(run, lambda line: print(line, flush=True))
    text = controls_table(controls)
    print(f"\n{text}\n\n{machine()}")
    if arguments.write:
        write_section("controls", text, is_short=False)
    return EXIT_HELD if all(control.is_right for control in controls) else EXIT_MISSED


def _run(arguments: argparse.Namespace) -> int:
    without = DEFENCES.get(arguments.without)
    plan = Plan(
        duration_s=60 * arguments.minutes,
        rate_hz=arguments.rate,
        every_s=arguments.every,
        faults=arguments.faults or list(FAULTS),
        settings={
            **(CACHE_SETTINGS if arguments.cache else {}),
            **({} if without is None else without.settings),
        },
        launcher=LAUNCHER if without is None else without.launcher,
        has_cache=arguments.cache,
    )
    report = run(plan, arguments.lines, SPOILERS.get(arguments.spoil))
    tables = (
        load_table(report),
        account_table(report),
        report.history.table(),
        report.jobs.table(),
        outcomes_table(report.outcomes),
    )
    shown = "\n\n".join((*(table.for_terminal() for table in tables), verdict(report)))
    print(f"\n{shown}\n\n{machine()}")
    if arguments.write:
        text = "\n\n".join((*(table.markdown() for table in tables), verdict(report)))
        write_section(arguments.section, text, is_short=arguments.minutes < LONG_MINUTES)
    return exit_code(report)


def exit_code(report: Report) -> int:
    """Return what the command ends with after a run."""
    if report.misses():
        return EXIT_MISSED
    return EXIT_UNSURE if report.is_late else EXIT_HELD


def verdict(report: Report) -> str:
    """Say which bounds were missed, and whether the load was what the plan says.

    A generator that is late asks too little and then all at once. It can't hide a lost request, but who was
    asked less may hold bounds that it wouldn't have held, so such a run never counts as held.
    """
    missed = report.misses()
    late = f"The latest request left {1000 * report.late_s:.0f} ms behind its schedule"
    found = "Every bound held."
    if missed:
        found = "Missed:\n\n" + "\n".join(f"- {miss}" for miss in missed)
    elif report.is_late:
        found = "No bound was missed."
    if report.is_late:
        late += f" ({1000 * MOST_LATE_S:.0f} ms at most): this machine stood still, so measure again"
    return f"{late}. {found}"


def load_table(report: Report) -> Table:
    """Return what became of the load, and how often the gateway was replaced under it, as a table."""
    load = report.load
    counts = (
        len(report.outcomes),
        load.restarts,
        load.requests,
        load.unspoken,
        len(load.failed),
        load.given_up,
    )
    return Table(
        (
            "faults",
            "gateway restarts",
            "requests of the load",
            "not spoken",
            "failed",
            "given up",
            "slowest answer s",
        ),
        [(*(f"{count:,}" for count in counts), f"{load.slowest_s:.2f}")],
    )


def account_table(report: Report) -> Table:
    """Return the account of a run as a table."""
    account = report.account
    counts = {
        "attempted": len(account.attempted),
        "acknowledged": len(account.acknowledged),
        "rejected": len(account.rejected),
        "indeterminate": len(account.indeterminate),
        "of these completed": len(account.recovered),
        **{name: len(ids) for name, ids in account.faults().items() if name != "unclear"},
        "unaccounted": len(report.seen.unaccounted) + report.in_flight + max(0, report.unrecorded),
        "scrapes": report.seen.scrapes,
    }
    return Table(tuple(counts), [tuple(f"{count:,}" for count in counts.values())])


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ledger", description="Load an appliance of its own, break it, and account for every request."
    )
    parser.add_argument("--minutes", type=float, default=LONG_MINUTES, help="how long (10)")
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second (100)")
    parser.add_argument("--every", type=float, default=30.0, help="seconds from fault to fault (30)")
    parser.add_argument(
        "--faults", nargs="+", choices=FAULTS, help="which, in this order, again and again (all)"
    )
    presets = parser.add_mutually_exclusive_group()
    presets.add_argument("--short", action="store_true", help="105 s, 30 requests per second, ten faults")
    presets.add_argument(
        "--restarts", action="store_true", help="8 restarts of the gateway under 25,200 requests, 10 minutes"
    )
    presets.add_argument(
        "--controls", action="store_true", help="a short run without each defence in turn: all must fail"
    )
    parser.add_argument(
        "--cache",
        action="store_true",
        help="with kept answers: requests come in pairs with one text, and beside some is one that hangs up",
    )
    parser.add_argument("--without", choices=DEFENCES, help="switch a defence off: the run must fail then")
    parser.add_argument("--spoil", choices=SPOILERS, help="falsify the account: the run must fail then")
    parser.add_argument("--lines", type=Path, help="write the clients' lines to this file")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    parser.add_argument("--section", choices=SECTIONS, default="ledger", help="of that page (ledger)")
    arguments = parser.parse_args()
    if arguments.short:
        vars(arguments).update({"faults": arguments.faults or SHORT_FAULTS} | SHORT)
    if arguments.restarts:
        vars(arguments).update(RESTARTS)
    is_possible = 0 < arguments.minutes <= MOST_MINUTES and 0 < arguments.rate <= MOST_RATE_HZ
    if not is_possible or arguments.every <= 0:
        parser.error(f"all above 0, minutes at most {MOST_MINUTES:g}, rate at most {MOST_RATE_HZ:g}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
