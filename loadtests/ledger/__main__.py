"""Load with faults and the ledger: `python -m loadtests.ledger --minutes 10 --rate 100`, or `make soak`.

Owns: the command line, what is printed, the exit code.
Refuses to know: how a run works.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loadtests.figures import machine, markdown_table
from loadtests.ledger.faults import FAULTS
from loadtests.ledger.judge import outcomes_table
from loadtests.ledger.run import SPOILERS, Plan, Report, run
from loadtests.page import write_section

EXIT_MISSED = 1
LONG_MINUTES = 10.0
"""A run is called long from here on."""
MOST_LATE_S = 0.5
"""Behind a generator later than this the appliance was kept waiting too."""
MOST_MINUTES = 60.0 * 24
MOST_RATE_HZ = 1_000.0
SHORT = {"minutes": 1.75, "rate": 30.0, "every": 8.0}
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
DEFENCES: dict[str, dict[str, object]] = {
    "heartbeat": {"WORKERS_SILENCE_S": 60, "WORKERS_PROGRESS_S": 600},
    "progress": {"WORKERS_PROGRESS_S": 600},
}
"""What can be switched off, and by which settings: a run without it must miss a bound."""


def main() -> int:
    """Run and report; return 1 when something was missed."""
    arguments = _parse_arguments()
    plan = Plan(
        duration_s=60 * arguments.minutes,
        rate_hz=arguments.rate,
        every_s=arguments.every,
        faults=arguments.faults or (SHORT_FAULTS if arguments.short else list(FAULTS)),
        settings=DEFENCES.get(arguments.without, {}),
        spoil=SPOILERS.get(arguments.spoil),
    )
    report = run(plan, arguments.lines)
    text = f"{account_table(report)}\n\n{outcomes_table(report.outcomes)}"
    missed = report.misses()
    print(f"\n{text}\n\n{machine()}")
    print(f"the latest request left {1000 * report.late_s:.0f} ms behind its schedule")
    if report.late_s > MOST_LATE_S:
        print("so this machine stood still meanwhile, and a missed time says little: measure again")
    print("missed:\n  " + "\n  ".join(missed) if missed else "every bound held")
    if arguments.write:
        write_section("ledger", text, is_short=arguments.minutes < LONG_MINUTES)
    return EXIT_MISSED if missed else 0


def account_table(report: Report) -> str:
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
    return markdown_table(tuple(counts), [tuple(f"{count:,}" for count in counts.values())])


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
    parser.add_argument("--short", action="store_true", help="105 s, 30 requests per second, ten faults")
    parser.add_argument("--without", choices=DEFENCES, help="switch a defence off: the run must fail then")
    parser.add_argument("--spoil", choices=SPOILERS, help="falsify the account: the run must fail then")
    parser.add_argument("--lines", type=Path, help="write the clients' lines to this file")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    if arguments.short:
        vars(arguments).update(SHORT)
    is_possible = 0 < arguments.minutes <= MOST_MINUTES and 0 < arguments.rate <= MOST_RATE_HZ
    if not is_possible or arguments.every <= 0:
        parser.error(f"all above 0, minutes at most {MOST_MINUTES:g}, rate at most {MOST_RATE_HZ:g}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
