"""Statements by name."""

import pytest

from appliance.store.statements import read_statements


def test_statements_when_read_then_each_is_found_by_its_name() -> None:
    text = "-- About all.\n\n-- name: first\nSELECT 1\n\n-- name: second\nSELECT\n    2\n"
    assert read_statements(text) == {"first": "SELECT 1", "second": "SELECT\n    2"}


@pytest.mark.parametrize("text", ["SELECT 1\n-- name: a\nSELECT 2", "-- name: a\nx\n-- name: a\ny"])
def test_statements_when_one_has_no_name_or_anothers_then_refused(text: str) -> None:
    with pytest.raises(ValueError, match="name"):
        read_statements(text)
