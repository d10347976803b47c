"""Lines of the log as `ttsctl logs` reads them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from processes.ttsctl.command_line import LEVELS as OFFERED_LEVELS
from processes.ttsctl.log_lines import LEVELS, LogFilter, format_line, parse_line, read_since

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LINE: dict[str, Any] = {
    "ts": "2026-01-02T03:04:05.678Z",
    "level": "WARNING",
    "event": "worker_lost",
    "program": "gateway",
    "pid": 7,
    "worker": "worker-espeak-1",
    "request_id": "abc",
}


@pytest.mark.parametrize(
    ("words", "time"),
    [
        ("30s", "2026-01-02T03:03:35.000Z"),
        ("10m", "2026-01-02T02:54:05.000Z"),
        ("2h", "2026-01-02T01:04:05.000Z"),
        ("1d", "2026-01-01T03:04:05.000Z"),
        ("2026-01-02", "2026-01-02T00:00:00.000Z"),
        ("2026-01-02T03:04:05+01:00", "2026-01-02T02:04:05.000Z"),
    ],
)
def test_since_when_it_can_be_read_then_a_time_as_lines_have_it(words, time):
    assert read_since(words, NOW) == time


@pytest.mark.parametrize("words", ["", "10", "m", "10w", "-1m", "yesterday", "999999999d", "٣m"])
def test_since_when_it_can_not_be_read_then_an_error(words):
    with pytest.raises(ValueError):
        read_since(words, NOW)


@pytest.mark.parametrize(
    ("wanted", "is_admitted"),
    [
        (LogFilter(), True),
        (LogFilter(request_id="abc"), True),
        (LogFilter(request_id="ab"), False),
        (LogFilter(level="WARNING"), True),
        (LogFilter(level="ERROR"), False),
        (LogFilter(worker="worker-espeak-1"), True),
        (LogFilter(worker="espeak-1"), True),
        (LogFilter(worker="espeak"), False),
        (LogFilter(program="gateway"), True),
        (LogFilter(program="exporter"), False),
        (LogFilter(since="2026-01-02T03:04:05.678Z"), True),
        (LogFilter(since="2026-01-02T03:04:05.679Z"), False),
    ],
)
def test_filter_when_a_line_comes_then_only_what_is_asked_for(wanted, is_admitted):
    assert wanted.admits(LINE) is is_admitted


def test_filter_when_the_line_is_a_jobs_or_a_workers_own_then_its_name_finds_it():
    assert LogFilter(request_id="j1").admits({"event": "job_held", "job": "j1"})
    assert LogFilter(worker="tone-2").admits({"event": "x", "program": "worker-tone-2"})


def test_level_when_nobody_knows_it_then_it_is_shown():
    assert LogFilter(level="CRITICAL").admits({"event": "x", "level": "FATAL"})


def test_levels_when_compared_with_the_command_lines_then_the_same():
    assert OFFERED_LEVELS == LEVELS


@pytest.mark.parametrize("before", ["", "appliance-1  | ", "2026-01-02T03:04:05.678901234Z "])
def test_line_when_a_tool_has_put_something_before_it_then_it_is_read(before):
    assert parse_line(f"{before}{json.dumps(LINE)}\n".encode()) == LINE


@pytest.mark.parametrize(
    "raw", [b"", b"\n", b"Traceback", b'{"ts": "x"', b'{"a": 1}', b'{"event"', b"\xff\xfe"]
)
def test_line_when_it_is_none_of_ours_then_none(raw):
    assert parse_line(raw) is None


def test_line_when_laid_out_then_head_fields_and_the_stack_behind():
    text = format_line(LINE | {"reason": "it is gone", "traceback": "Traceback:\n  x"})
    assert text == (
        "2026-01-02T03:04:05.678Z  WARNING   gateway  worker_lost worker=worker-espeak-1 request_id=abc "
        'reason="it is gone"\nTraceback:\n  x'
    )
