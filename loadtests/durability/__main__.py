"""The figures of durability: `python -m loadtests.durability`.

Owns: the command line, the order of the parts, the exit code.
Refuses to know: how a part works.

Exit codes: 0 every bound held, 1 one was missed, 2 wrong options.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.durability import CONTROL
from loadtests.durability.backups import run_backups
from loadtests.durability.strikes import run_control, run_cuts, run_kills
from loadtests.figures import Figure, figures_table, machine
from loadtests.page import write_section

EXIT_MISSED = 1
LONG = {"kills": 1_000, "power_cuts": 200, "backups": 200}
SHORT = {"kills": 30, "power_cuts": 10, "backups": 20}
CONTROL_CUTS = 8
"""Enough to lose some."""


def main() -> int:
    """Run the parts that are asked for, writing each at its end; return 1 when a bound was missed."""
    arguments = _parse_arguments()
    missed: list[str] = []
    parts = {"control": _run_control} if arguments.control else PARTS
    for name, run in parts.items():
        times = vars(arguments)[name]
        if not times:
            continue
        figures = run(times, 60 * arguments.minutes)
        table = figures_table(figures)
        print(f"\n{table}", flush=True)
        if arguments.write and name in LONG:
            write_section(f"durability-{name}", table, is_short=figures[0].value < LONG[name])
        missed += [figure.name for figure in figures if figure.is_missed]
    print(f"\n{machine()}")
    print(f"missed: {'; '.join(missed)}" if missed else "every bound held")
    return EXIT_MISSED if missed else 0


def _run_kills(rounds: int, limit_s: float) -> list[Figure]:
    return run_kills(rounds, _say, limit_s)


def _run_cuts(rounds: int, limit_s: float) -> list[Figure]:
    """Cut the power, or say why that can't be done here."""
    return _unless_skipped(lambda: run_cuts(rounds, _say, limit_s))


def _run_control(rounds: int, limit_s: float) -> list[Figure]:
    return _unless_skipped(lambda: run_control(rounds, _say, limit_s))


def _unless_skipped(cut: Callable[[], list[Figure]]) -> list[Figure]:
    try:
        return cut()
    except pytest.skip.Exception as skipped:  # what the tests' disks raise
        return [Figure("power cuts", 0.0, "", absent=str(skipped))]


def _run_backups(kills: int, limit_s: float) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="backups-") as folder:
        return run_backups(Path(folder), kills, limit_s)


PARTS: dict[str, Callable[[int, float], list[Figure]]] = {
    "kills": _run_kills,
    "power_cuts": _run_cuts,
    "backups": _run_backups,
}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="durability", description="Kill the gateway, cut the power, kill backups, and look what is lost."
    )
    for name, times in LONG.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            help=f"how often ({times}, short {SHORT[name]}; 0 for none)",
        )
    parser.add_argument(
        CONTROL,
        action="store_const",
        const=CONTROL_CUTS,
        default=0,
        help=f"only this: {CONTROL_CUTS} power cuts of a database that forces nothing to the disk, "
        "which have to lose jobs",
    )
    parser.add_argument("--short", action="store_true", help="30 kills, 10 power cuts, 20 backups")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end each part after so many, however often that was"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    for name, times in (SHORT if arguments.short else LONG).items():
        if vars(arguments)[name] is None:
            vars(arguments)[name] = times
        if vars(arguments)[name] < 0:
            parser.error("no fewer than 0")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
