"""What a fault test has measured: said at once, and in the full form left for docs/benchmarks.md."""

from __future__ import annotations

from pathlib import Path

from loadtests.fault_figures import FILE, leave
from loadtests.figures import Figure
from tests.parts.rounds import is_full


def say(row: str, *figures: Figure, file: Path = FILE) -> None:
    """Print figures of a row, and keep those of the full form in a file; before a test judges them itself."""
    for figure in figures:
        name, value, _best, bound, verdict = figure.row()
        print(f"{row}: {name} {value}{f' ({bound}, {verdict})' if bound else ''}")
        if is_full():
            leave(row, figure, file)
