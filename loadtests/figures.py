"""Figures: what was measured, what was promised, and the verdict.

Owns: the comparison and the table.
Refuses to know: how anything is measured.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HEADER = ("figure", "median", "best", "bound", "verdict")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, beside the bound it is judged by, if any."""

    name: str
    value: float
    """The median, unless the name says otherwise; what is judged."""
    unit: str
    best: float | None = None
    """The best of all rounds, the nearest to a machine with nothing else to do."""
    most: float = math.inf
    least: float = -math.inf

    @property
    def is_missed(self) -> bool:
        """Whether the value lies outside of its bound."""
        return not self.least <= self.value <= self.most

    def row(self) -> tuple[str, str, str, str, str]:
        """Return the cells of the table, as `HEADER` names them."""
        bound = ""
        if self.most < math.inf:
            bound = f"≤ {self.most:g}"
        elif self.least > -math.inf:
            bound = f"≥ {self.least:g}"
        verdict = ("missed" if self.is_missed else "held") if bound else ""
        best = "" if self.best is None else f"{self.best:.2f}"
        return self.name, f"{self.value:.2f} {self.unit}".rstrip(), best, bound, verdict


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown writes it, in columns of even width."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    padded = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    padded.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(padded)


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
