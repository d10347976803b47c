"""Measure the figures of docs/benchmarks.md: `python -m loadtests.bench`, or `make bench`.

Owns: the command line, the order of the sections, the exit code.
Refuses to know: how a section measures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from appliance.settings import ROOT
from loadtests import (
    cache_section,
    cpu_section,
    first_audio,
    history_section,
    jobs_section,
    long_run,
    memory,
    overload,
    streams_section,
    text_section,
    workers_section,
)
from loadtests.figures import Figure, figures_table, machine
from loadtests.page import write_section

PICTURE = ROOT / "docs" / "memory.svg"
EXIT_MISSED = 1
NOTE = (
    "Ratios and differences inside one run are the result; milliseconds are an anchor only.\n"
    "A shared machine is noisy: look at the best round, and measure again before believing a missed bound."
)


def main() -> int:
    """Measure the chosen sections; return 1 when a bound was missed."""
    arguments = _parse_arguments()
    figures: list[Figure] = []
    for name in arguments.sections or SECTIONS:
        measured = SECTIONS[name](arguments)
        table = figures_table(measured)
        print(f"\n{name}\n\n{table}", flush=True)
        if arguments.write:
            write_section(name, table, is_short=arguments.short)
        figures += measured
    missed = [figure.name for figure in figures if figure.is_missed]
    print(f"\n{machine()}\n{NOTE}")
    print(f"missed: {'; '.join(missed)}" if missed else "every bound held")
    return EXIT_MISSED if missed else 0


def _run_memory(arguments: argparse.Namespace) -> list[Figure]:
    figures, picture = memory.run(is_short=arguments.short)
    if arguments.write:
        PICTURE.write_text(picture, "utf-8")
    return figures


def _run_neural(arguments: argparse.Namespace) -> list[Figure]:
    from loadtests.neural import section  # takes numpy and onnxruntime, which other sections do without

    return section.run(is_short=arguments.short)


def _run_neural_memory(arguments: argparse.Namespace) -> list[Figure]:
    from loadtests.neural import two_voices

    return two_voices.run(is_short=arguments.short)


SECTIONS: dict[str, Callable[[argparse.Namespace], list[Figure]]] = {
    "cpu": lambda arguments: cpu_section.run(is_short=arguments.short),
    "first-audio": lambda arguments: first_audio.run(is_short=arguments.short),
    "workers": lambda arguments: workers_section.run(is_short=arguments.short),
    "memory": _run_memory,
    "long-run": lambda arguments: long_run.run(is_short=arguments.short),
    "overload": lambda arguments: overload.run(is_short=arguments.short),
    "cache": lambda arguments: cache_section.run(is_short=arguments.short),
    "history": lambda arguments: history_section.run(is_short=arguments.short),
    "jobs": lambda arguments: jobs_section.run(is_short=arguments.short),
    "streams": lambda arguments: streams_section.run(is_short=arguments.short),
    "text": lambda arguments: text_section.run(is_short=arguments.short),
    "neural": _run_neural,
    "neural-memory": _run_neural_memory,
}


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the figures of docs/benchmarks.md.")
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="all, if none is named")
    parser.add_argument("--short", action="store_true", help="fewer rounds and requests")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
