"""Text for a terminal: tables, spans of time, sizes.

Owns: how numbers look to a person. Refuses to know: what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S
KIB_BYTES = 1024
NOTHING = "-"


def format_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out rows under their headings, two blanks apart; None becomes a dash.

    Args:
        columns: Headings.
        rows: As many cells each as there are columns.
    """
    lines = [list(columns), *([NOTHING if cell is None else str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def format_span(seconds: float | None) -> str:
    """Write a span of time in its two largest units; None becomes a dash."""
    if seconds is None:
        return NOTHING
    whole_s = int(seconds)
    if whole_s < MINUTE_S:
        return f"{whole_s} s"
    if whole_s < HOUR_S:
        return f"{whole_s // MINUTE_S} min {whole_s % MINUTE_S} s"
    if whole_s < DAY_S:
        return f"{whole_s // HOUR_S} h {whole_s % HOUR_S // MINUTE_S} min"
    return f"{whole_s // DAY_S} d {whole_s % DAY_S // HOUR_S} h"


def format_delay(seconds: float | None) -> str:
    """Write a short time: milliseconds below one second; None becomes a dash."""
    if seconds is None:
        return NOTHING
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def format_size(size_bytes: int | None) -> str:
    """Write a size in binary units without fractions above ten; None becomes a dash."""
    if size_bytes is None:
        return NOTHING
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < KIB_BYTES:
            return f"{size:.0f} {unit}"
        size /= KIB_BYTES
    return f"{size:.1f} GiB"
