"""What somebody sees of a run of minutes while it runs, and of its tables at the end."""

from __future__ import annotations

import io
import re

from loadtests.figures import Table
from loadtests.ledger.judge import HEADER
from loadtests.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_when_no_terminal_looks_then_a_line_at_once_and_none_right_behind_it() -> None:
    stream = io.StringIO()
    progress = Progress(180.0, lambda: 1234, stream)
    progress.phase = "warm-up"
    progress.show()
    progress.show()
    progress.end()
    assert re.fullmatch(r"warm-up, (180|179) s left, 1,234 requests\n", stream.getvalue())


def test_progress_when_a_terminal_looks_then_one_line_that_is_drawn_anew() -> None:
    stream = Terminal()
    progress = Progress(1e-9, lambda: 5, stream)
    progress.show()
    progress.phase = "end"
    progress.show()
    progress.end()
    before, first, last = stream.getvalue().split("\r")
    assert (before, first.rstrip()) == ("", f"[{'#' * 20}] load, 0 s left, 5 requests")
    assert last.rstrip() == f"[{'#' * 20}] end, 0 s left, 5 requests"
    assert last.endswith("\n")
    assert len(last.rstrip("\n")) == len(first)


def test_table_when_it_is_wider_than_a_terminal_then_in_parts_that_each_name_their_rows() -> None:
    rows = [("worker-kill-busy", *["12,345"] * (len(HEADER) - 1)), ("other", *["0"] * (len(HEADER) - 1))]
    shown = Table(HEADER, rows).for_terminal()
    assert max(map(len, shown.splitlines())) <= 100
    parts = shown.split("\n\n")
    assert len(parts) > 1
    for part in parts:
        assert [line.split()[0] for line in part.splitlines()[-2:]] == ["worker-kill-busy", "other"]
    assert shown.count("12,345") == len(HEADER) - 1


def test_table_when_it_fits_then_in_one_part_with_its_headings_above_a_rule() -> None:
    shown = Table(("fault", "seen after s"), [("kill", "1.00")]).for_terminal()
    assert shown == "       seen\n       after\nfault  s\n-----  -----\nkill   1.00"
