"""Figures as Markdown, and the machine on which they were measured.

Owns: the table.
Refuses to know: how anything is measured.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from processes.ttsctl.voice_bench.figures import HEADER, Figure

__all__ = ["Figure", "figures_table", "machine", "markdown_table"]
TERMINAL_CHARS = 100


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown writes it, in columns of even width."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    padded = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    padded.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(padded)


@dataclass(frozen=True, slots=True)
class Table:
    """A table for a page and for a terminal."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return it as Markdown writes it."""
        return markdown_table(self.header, self.rows)

    def for_terminal(self, width_chars: int = TERMINAL_CHARS) -> str:
        """Return it with the headings' words one below the other, in parts that begin with the first column.

        Args:
            width_chars: Of a part at most, where a single column isn't wider.
        """
        columns = [
            _column(heading, [row[place] for row in self.rows]) for place, heading in enumerate(self.header)
        ]
        parts = [[columns[0]]]
        for column in columns[1:]:
            if sum(_width(each) + 2 for each in (*parts[-1], column)) > width_chars + 2:
                parts.append([columns[0]])
            parts[-1].append(column)
        return "\n\n".join(_side_by_side(part) for part in parts)


def _column(heading: str, cells: Sequence[str]) -> list[str]:
    """Return the lines of a column from its heading's first word to a rule and the last cell."""
    words = heading.split(" ")
    return [*words, "-" * max(map(len, (*words, *cells))), *cells]


def _width(column: Sequence[str]) -> int:
    return max(map(len, column))


def _side_by_side(columns: Sequence[Sequence[str]]) -> str:
    """Return columns as lines that end together; a shorter heading stands lower."""
    depth = max(map(len, columns))
    padded = [[""] * (depth - len(column)) + [*column] for column in columns]
    widths = [_width(column) for column in columns]
    lines = zip(*padded, strict=True)
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def figures_table(figures: Sequence[Figure]) -> str:
    """Return the table of figures."""
    return markdown_table(HEADER, [figure.row() for figure in figures])


def machine() -> str:
    """Describe this machine without naming it."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        if line.startswith("model name")
    ]
    model = models[0] if models else platform.machine()
    return f"{len(models)} cores of {model}, Python {platform.python_version()}, {platform.system()}"
