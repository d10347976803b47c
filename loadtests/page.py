"""The page of the measured figures.

Owns: putting a section's table between its two marks on docs/benchmarks.md.
Refuses to know: how anything is measured.
"""

from __future__ import annotations

import time

from appliance.settings import ROOT
from loadtests.figures import machine

PAGE = ROOT / "docs" / "benchmarks.md"


def write_section(name: str, table: str, *, is_short: bool) -> None:
    """Put a section's table between its two marks on the page.

    Raises:
        ValueError: The page hasn't got the marks.
    """
    begin, end = f"<!-- {name} begins -->\n", f"<!-- {name} ends -->"
    before, found_begin, rest = PAGE.read_text("utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        message = f"{PAGE.name} has no marks for {name}"
        raise ValueError(message)
    day = time.strftime("%Y-%m-%d")
    head = f"Measured on {day}{' (short form)' if is_short else ''}: {machine()}.\n\n"
    PAGE.write_text(f"{before}{begin}{head}{table}\n{end}{after}", "utf-8")
