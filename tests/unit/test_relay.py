import json
import os

import pytest

from appliance.logs import MAX_LINE_BYTES, LineWriter
from processes.launcher.relay import HARMLESS, READ_BYTES, OutputRelay, json_line


def test_json_line_when_a_program_wrote_json_then_it_passes_unchanged():
    line = b'{"ts":"2026-07-01T12:00:00.000Z","event":"worker_ready"}'
    assert json_line(line) == line + b"\n"


@pytest.mark.parametrize(
    ("text", "level", "message"),
    [
        (
            "2026-07-01 12:00:00,123 INFO spawned: 'gateway' with pid 7",
            "INFO",
            "spawned: 'gateway' with pid 7",
        ),
        ("2026-07-01 12:00:00,123 WARN exited: gateway", "WARNING", "exited: gateway"),
        ("2026-07-01 12:00:00,123 CRIT out of files", "CRITICAL", "out of files"),
        (
            f"2026-07-01 12:00:00,123 CRIT {HARMLESS}",
            "INFO",
            HARMLESS,
        ),
    ],
)
def test_json_line_when_supervisord_wrote_it_then_level_and_message_are_kept(text, level, message):
    line = json.loads(json_line(text.encode()))
    assert (line["event"], line["level"], line["message"]) == ("supervisord", level, message)


@pytest.mark.parametrize("raw", [b"Fatal Python error: Aborted", b"\xff\xfe", b'{"half', b'"}'])
def test_json_line_when_anything_else_came_then_it_is_wrapped(raw):
    line = json.loads(json_line(raw))
    assert (line["event"], line["level"]) == ("output", "WARNING")
    assert line["message"] == raw.decode("utf-8", "replace")


def relayed(pieces):
    """What the relay makes of pieces of output."""
    source_reader, source_writer = os.pipe()
    target_reader, target_writer = os.pipe()
    writer = LineWriter([target_writer], "tester")
    relay = OutputRelay(source_reader, writer)
    for piece in pieces:
        os.write(source_writer, piece)
    os.close(source_writer)
    relay.join(10)
    writer.close()
    os.close(target_writer)
    with os.fdopen(target_reader, "rb") as target:
        return target.read().splitlines()


def test_relay_when_lines_come_in_pieces_then_they_go_out_whole():
    assert relayed([b'{"a"', b':1}\n{"b":2}\n\n{"c"', b":3}"]) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


def test_relay_when_a_line_never_ends_then_it_is_cut():
    lines = relayed([b"x" * READ_BYTES, b"y" * 100, b"\n"])
    assert len(lines) == 2
    assert all(len(line) <= MAX_LINE_BYTES for line in lines)
    assert "y" * 100 in json.loads(lines[1])["message"]
