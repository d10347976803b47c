"""The file of the fault tests' figures, and the table of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests import fault_figures
from loadtests.fault_figures import EXIT_MISSED, leave, read, table
from loadtests.figures import Figure


def test_figures_when_left_then_read_by_row_and_the_later_of_two_counts(tmp_path: Path) -> None:
    file = tmp_path / "build" / "figures.jsonl"
    left = [
        ("W13", Figure("gone after", 0.5, "s", most=2)),
        ("W2", Figure("deaths", 3, "")),
        ("I1", Figure("crashes", 1, "", most=0)),
        ("W2", Figure("deaths", 100, "")),
        ("-", Figure("image", 500, "MB", most=650)),
    ]
    for row, figure in left:
        leave(row, figure, file)
    assert read(file) == [left[4], left[2], left[3], left[0]]


def test_table_when_a_bound_is_missed_then_it_says_so() -> None:
    lines = table([("I1", Figure("crashes", 1, "", most=0)), ("W2", Figure("deaths", 3, ""))]).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    assert cells == [["I1", "crashes", "1.00", "≤ 0", "missed"], ["W2", "deaths", "3.00", "", ""]]


@pytest.mark.parametrize(("value", "code"), [(0, 0), (1, EXIT_MISSED)])
def test_command_when_run_then_a_missed_bound_is_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, code: int
) -> None:
    file = tmp_path / "figures.jsonl"
    leave("I1", Figure("crashes", value, "", most=0), file)
    monkeypatch.setattr(fault_figures, "FILE", file)
    monkeypatch.setattr("sys.argv", ["fault_figures"])
    assert fault_figures.main() == code


@pytest.mark.parametrize(
    ("options", "file", "command"),
    [([], "FILE", "make faults"), (["--container"], "CONTAINER_FILE", "make accept")],
)
def test_command_when_nothing_was_measured_then_it_says_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    file: str,
    command: str,
) -> None:
    monkeypatch.setattr(fault_figures, file, tmp_path / "none.jsonl")
    monkeypatch.setattr("sys.argv", ["fault_figures", *options])
    assert fault_figures.main() == EXIT_MISSED
    assert command in capsys.readouterr().err
