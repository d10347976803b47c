"""What `make faults` has measured, and the container's tests: `python -m loadtests.fault_figures`.

Owns: the files in which those tests leave their figures, the table of them.
Refuses to know: how anything is measured or broken.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from appliance.settings import ROOT
from loadtests.figures import Figure, markdown_table
from loadtests.page import write_section

FILE = ROOT / "build" / "fault-figures.jsonl"
CONTAINER_FILE = ROOT / "build" / "container-figures.jsonl"
HEADER = ("row", "figure", "value", "bound", "verdict")
EXIT_MISSED = 1


def leave(row: str, figure: Figure, file: Path) -> None:
    """Add a figure to the file; blocks for the disk.

    Args:
        row: Of the fault matrix, for example W2; "-" where it has none.
        figure: What was measured, and its bound.
        file: Made if it isn't there.

    Raises:
        OSError: It can't be written.
    """
    file.parent.mkdir(exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"row": row, **dataclasses.asdict(figure)}) + "\n")


def read(file: Path) -> list[tuple[str, Figure]]:
    """Return all figures in the order of their rows; of one that is there twice the later.

    Raises:
        OSError: There is no such file.
    """
    found: dict[tuple[str, str], Figure] = {}
    for line in file.read_text("utf-8").splitlines():
        fields = json.loads(line)
        row = fields.pop("row")
        found[row, fields["name"]] = Figure(**fields)
    return sorted(
        ((row, figure) for (row, _name), figure in found.items()),
        key=lambda each: (each[0][0], int(each[0][1:] or 0), each[1].name),
    )


def table(figures: list[tuple[str, Figure]]) -> str:
    """Return the table of the page."""
    rows = []
    for row, figure in figures:
        name, value, _best, bound, verdict = figure.row()
        rows.append((row, name, value, bound, verdict))
    return markdown_table(HEADER, rows)


def main() -> int:
    """Show the table, or write it into the page; return 1 when a bound was missed or nothing is there."""
    parser = argparse.ArgumentParser(
        prog="fault_figures", description="The figures of the last `make faults`."
    )
    parser.add_argument("--container", action="store_true", help="those of the container instead")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    file, page, command = (
        (CONTAINER_FILE, "container", "FAULTS_FULL=1 make accept")
        if arguments.container
        else (FILE, "faults", "make faults")
    )
    try:
        figures = read(file)
    except FileNotFoundError:
        print(f"nothing measured yet: {command}", file=sys.stderr)
        return EXIT_MISSED
    text = table(figures)
    print(text)
    if arguments.write:
        write_section(page, text, is_short=False)
    return EXIT_MISSED if any(figure.is_missed for _row, figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
