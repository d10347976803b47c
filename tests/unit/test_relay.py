import json
import os
import subprocess
import sys

import pytest

from appliance.logs import MAX_LINE_BYTES, LineWriter
from appliance.repeats import EVENT_LINES, SAME_LINES, STACK_LINES
from processes.launcher.relay import READ_BYTES, ForeignLine, OutputRelay, read_foreign

OPEN = "Server 'unix_http_server' running without any HTTP authentication checking"
TOLD = "received SIGTERM indicating exit request"
STOPPED = "stopped: gateway (terminated by SIGTERM)"
KILLED = "stopped: gateway (terminated by SIGKILL)"


def test_line_when_a_program_wrote_json_then_it_is_finished():
    assert read_foreign(b'{"ts":"2026-07-01T12:00:00.000Z","event":"worker_ready"}') is None


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
        (f"2026-07-01 12:00:00,123 CRIT {OPEN}", "INFO", OPEN),
        (f"2026-07-01 12:00:00,123 WARN {TOLD}", "INFO", TOLD),
        (f"2026-07-01 12:00:00,123 WARN {STOPPED}", "INFO", STOPPED),
        (f"2026-07-01 12:00:00,123 WARN {KILLED}", "WARNING", KILLED),
    ],
)
def test_line_when_supervisord_wrote_it_then_level_and_message_are_kept(text, level, message):
    assert read_foreign(text.encode()) == ForeignLine("supervisord", level, "supervisord", message)


@pytest.mark.parametrize("raw", [b"Fatal Python error: Aborted", b"\xff\xfe", b'{"half', b'"}'])
def test_line_when_anything_else_came_then_it_is_wrapped(raw):
    (line,) = map(json.loads, relayed([raw]))
    assert (line["event"], line["level"], line["program"]) == ("output", "WARNING", "unknown")
    assert line["message"] == raw.decode("utf-8", "replace")


def relayed(pieces):
    """What the relay makes of pieces of output."""
    source_reader, source_writer = os.pipe()
    target = os.memfd_create("target")  # unlike a pipe it takes everything
    writer = LineWriter([target], "tester")
    relay = OutputRelay(source_reader, writer)
    for piece in pieces:
        os.write(source_writer, piece)
    os.close(source_writer)
    relay.join(10)
    writer.close()
    os.lseek(target, 0, os.SEEK_SET)
    with os.fdopen(target, "rb") as out:
        return out.read().splitlines()


def test_relay_when_lines_come_in_pieces_then_they_go_out_whole():
    assert relayed([b'{"a"', b':1}\n{"b":2}\n\n{"c"', b":3}"]) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


def test_relay_when_a_line_never_ends_then_it_is_cut():
    lines = relayed([b"x" * READ_BYTES, b"y" * 100, b"\n"])
    assert len(lines) == 2
    assert all(len(line) <= MAX_LINE_BYTES for line in lines)
    assert "y" * 100 in json.loads(lines[1])["message"]


def storm(lines):
    """What the relay makes of this output, apart from how often it says something."""
    out = [json.loads(line) for line in relayed(line + b"\n" for line in lines)]
    return [line for line in out if "repeated" not in line], [line for line in out if "repeated" in line]


def test_relay_when_a_dying_worker_says_the_same_for_ever_then_it_is_said_some_times_and_counted():
    written, (report,) = storm([b"out of memory"] * 18_000)
    assert len(written) == SAME_LINES
    assert (report["event"], report["message"]) == ("output", "out of memory")
    assert report["repeated"] == 18_000 - SAME_LINES


def test_relay_when_every_line_of_a_storm_differs_then_few_are_written_and_the_rest_is_counted():
    written, reports = storm(b"address 0x%x" % number for number in range(18_000))
    assert len(written) <= 2 * EVENT_LINES
    assert len(written) + sum(report["repeated"] for report in reports) == 18_000


DYING = """
import concurrent.futures, faulthandler, os, threading
faulthandler.enable(all_threads=True)
begun = threading.Barrier(7)
pool = concurrent.futures.ThreadPoolExecutor(6)
for _ in range(6):
    pool.submit(lambda: (begun.wait(), threading.Event().wait()))
begun.wait()
os.abort()
"""
RAISING = """
def deeper(depth):
    return lower(depth - 1)

def lower(depth):
    if not depth:
        raise ValueError("far down")
    return deeper(depth)

deeper(15)
"""


def stack(program, path):
    """The lines that a dying program writes, without the empty ones."""
    path.write_text(program)
    done = subprocess.run([sys.executable, path], capture_output=True, check=False, timeout=60)
    assert done.returncode != 0
    return [line for line in done.stderr.splitlines() if line.strip()]


@pytest.mark.parametrize("program", [DYING, RAISING])
def test_relay_when_several_processes_die_beside_a_chatty_one_then_every_stack_is_whole(tmp_path, program):
    dump = stack(program, tmp_path / "dying.py")
    assert len(dump) > SAME_LINES
    chatter = [b"chatter %d" % number for number in range(2 * EVENT_LINES)]
    written, _ = storm([*chatter, *(dump * 8), *chatter, *dump])
    said = [line["message"] for line in written if not line["message"].startswith("chatter")]
    assert said == [line.decode() for line in dump * 9]


def test_relay_when_stacks_come_for_ever_then_they_are_bounded_too_and_counted():
    written, reports = storm([b'  File "x.py", line 7 in run'] * 18_000)
    assert len(written) <= 2 * STACK_LINES
    assert len(written) + sum(report["repeated"] for report in reports) == 18_000


def test_relay_when_a_program_says_json_then_nothing_of_it_is_held_back():
    assert len(relayed([b'{"event":"request_finished"}\n' * 100] * 18)) == 1_800
