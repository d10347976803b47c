"""Spoilers: each falsifies an account in one way, so that it is seen whether the comparison finds it.

Owns: the ways.
Refuses to know: how accounts are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from loadtests.ledger.lines import ClientLine, ServerRow
from loadtests.ledger.reference import TEXTS

Spoiler = Callable[[list[ClientLine], list[ServerRow]], None]
"""Changes the lists of both halves in place."""


def _spoil_lost(_lines: list[ClientLine], rows: list[ServerRow]) -> None:
    rows.remove(next(row for row in rows if row.state == "completed"))


def _spoil_duplicated(_lines: list[ClientLine], rows: list[ServerRow]) -> None:
    rows.append(rows[0])


def _spoil_unexpected(_lines: list[ClientLine], rows: list[ServerRow]) -> None:
    rows.append(ServerRow("nobody asked for this", "completed"))


def _spoil_wrong(lines: list[ClientLine], _rows: list[ServerRow]) -> None:
    number = next(number for number, line in enumerate(lines) if line.is_acknowledged and line.kind == "load")
    other = (lines[number].text_number + 1) % TEXTS
    lines[number] = replace(lines[number], text_number=other)


def _spoil_contradicted(lines: list[ClientLine], _rows: list[ServerRow]) -> None:
    number = next(number for number, line in enumerate(lines) if line.is_acknowledged and line.kind == "load")
    lines[number] = replace(lines[number], status=503, code="overloaded")


def _spoil_vanished(lines: list[ClientLine], rows: list[ServerRow]) -> None:
    number = next(number for number, line in enumerate(lines) if line.is_acknowledged and line.kind == "load")
    lines[number] = replace(lines[number], status=None, exception="ServerDisconnectedError")
    rows.remove(next(row for row in rows if row.id == lines[number].id))


def _spoil_orders(_lines: list[ClientLine], rows: list[ServerRow]) -> None:
    rows[0] = replace(rows[0], orders=rows[0].utterances + 1, retried=False)


SPOILERS: dict[str, Spoiler] = {
    "lost": _spoil_lost,
    "duplicated": _spoil_duplicated,
    "unexpected": _spoil_unexpected,
    "wrong": _spoil_wrong,
    "contradicted": _spoil_contradicted,
    "vanished": _spoil_vanished,
    "orders": _spoil_orders,
}
