"""The fault matrix names a test for each row, and every module of that ring."""

import ast
import re

from tests.docs.checkout import ROOT, parse

FAULTS = ROOT / "tests" / "faults"
ROWS = [
    *(f"W{number}" for number in range(1, 14)),
    *(f"S{number}" for number in range(1, 9)),
    *(f"L{number}" for number in range(1, 9)),
    *("I1", "I2", "I3", *(f"D{number}" for number in range(1, 12)), "T1", "T2", "N1"),
    *("C1", "C2", "C3", "C4", "O1"),
]


def _table() -> dict[str, list[str]]:
    """The tests of each row."""
    page = (FAULTS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-Z]\d+) \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    return {row: re.findall(r"`([^`]+)`", tests) for row, tests in rows}


def _is_there(named: str) -> bool:
    file, _, name = named.partition("::")
    path = FAULTS / file
    return path.exists() and any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        for node in parse(path).body
    )


def test_rows_when_listed_then_each_stands_once_in_order_and_has_a_test() -> None:
    page = (FAULTS / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| ([A-Z]\d+) ", page, re.MULTILINE) == ROWS
    assert [row for row in ROWS if not _table().get(row)] == []


def test_rows_when_they_name_a_test_then_it_exists() -> None:
    assert [test for tests in _table().values() for test in tests if not _is_there(test)] == []


def test_modules_when_they_are_of_the_ring_then_the_page_names_them() -> None:
    page = (FAULTS / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in sorted(FAULTS.glob("test_*.py")) if f"`{path.name}" not in page] == []
