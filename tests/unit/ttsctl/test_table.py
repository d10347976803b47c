"""How tables, spans, delays and sizes look."""

from __future__ import annotations

import pytest

from processes.ttsctl.table import format_delay, format_size, format_span, format_table


def test_format_table_when_cells_differ_in_width_then_columns_stand_in_line():
    assert format_table(("A", "LONG", "C"), [("aaa", 1, None), ("b", "22222", "x")]).splitlines() == [
        "A    LONG   C",
        "aaa  1      -",
        "b    22222  x",
    ]


def test_format_table_when_empty_then_only_headings():
    assert format_table(("A", "B"), []) == "A  B"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_format_span_when_given_seconds_then_two_units(seconds, text):
    assert format_span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.0, "0 ms"), (0.0124, "12 ms"), (0.999, "999 ms"), (1.0, "1.00 s")]
)
def test_format_delay_when_given_seconds_then_milliseconds_below_one(seconds, text):
    assert format_delay(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (5 << 20, "5 MiB"), (3 << 29, "1.5 GiB")],
)
def test_format_size_when_given_bytes_then_binary_units(size_bytes, text):
    assert format_size(size_bytes) == text
