import json
import logging
import os
import socket
import threading
from datetime import datetime, timedelta, timezone

import pytest
from loguru import logger

from appliance.logs import MAX_LINE_BYTES, LineWriter, attach_logging, encode_line
from appliance.repeats import SAME_LINES

NOON = datetime(2026, 7, 1, 14, 0, 0, 123_456, timezone(timedelta(hours=2)))
PIPE_HOLDS_BYTES = 4_096


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture
def log_lines(pipe, request):
    """Attach the log to a pipe and return a function that closes it and reads its lines."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    target = LineWriter([pipe[1]], "tester")
    attach_logging("tester", getattr(request, "param", "INFO"), target)

    def read_all():
        target.close()
        return [json.loads(line) for line in os.read(pipe[0], 1 << 20).splitlines()]

    yield read_all
    target.close()
    logger.remove()
    logging.captureWarnings(False)
    root.handlers, level = before
    root.setLevel(level)


def test_line_when_an_event_has_fields_then_it_is_json_with_them(log_lines):
    logger.info("worker_ready", worker="worker-espeak-1", voices=3)
    (line,) = log_lines()
    assert list(line)[:5] == ["ts", "level", "event", "program", "pid"]
    assert (line["level"], line["event"], line["program"], line["pid"]) == (
        "INFO",
        "worker_ready",
        "tester",
        os.getpid(),
    )
    assert (line["worker"], line["voices"]) == ("worker-espeak-1", 3)


def test_line_when_the_time_has_a_zone_then_it_is_written_as_utc_milliseconds():
    line = json.loads(encode_line(NOON, "INFO", "e", "p", {}))
    assert line["ts"] == "2026-07-01T12:00:00.123Z"


def test_line_when_a_field_holds_braces_then_it_is_not_formatted(log_lines):
    logger.info("voice_missing", voice="{worker} {0} {")
    assert log_lines()[0]["voice"] == "{worker} {0} {"


def test_line_when_a_field_has_a_reserved_name_then_both_values_are_there():
    line = json.loads(encode_line(NOON, "INFO", "e", "p", {"pid": 7}))
    assert (line["pid"], line["field_pid"]) == (os.getpid(), 7)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, "a\nb", "\ud800", b"x", 10**400])
def test_line_when_a_value_is_odd_then_the_line_is_still_one_line_of_json(value):
    encoded = encode_line(NOON, "INFO", "e", "p", {"value": value})
    assert encoded.count(b"\n") == 1
    assert "value" in json.loads(encoded, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "x" * 10_000},
        {"text": "😀" * 10_000},
        {str(number): number for number in range(5_000)},
        {"n" * 5_000: 1},
        {"traceback": "t" * 20_000, "worker": "w"},
    ],
)
def test_line_when_it_would_be_too_long_then_it_is_cut_and_says_so(fields):
    encoded = encode_line(NOON, "INFO", "e", "p", fields)
    assert len(encoded) <= MAX_LINE_BYTES
    assert json.loads(encoded)["cut"] is True
    assert json.loads(encoded)["event"] == "e"


def test_line_when_a_long_traceback_is_cut_then_its_end_is_kept():
    line = json.loads(encode_line(NOON, "ERROR", "e", "p", {"traceback": "t" * 20_000 + "ValueError: 7"}))
    assert line["traceback"].endswith("ValueError: 7")


def test_exception_when_logged_then_the_traceback_has_no_variable_values(log_lines):
    def fail(text):
        raise ValueError

    try:
        fail("the words to speak")
    except ValueError:
        logger.exception("utterance_failed")
    (line,) = log_lines()
    assert "ValueError" in line["traceback"]
    assert "raise ValueError" in line["traceback"]
    assert line["traceback"].count("the words to speak") == 1  # as source of the call, never as a value


def test_library_when_it_uses_standard_logging_then_its_records_are_lines(log_lines):
    logging.getLogger("aiohttp.server").warning("odd {request} from %s", "peer")
    logging.getLogger("asyncio").debug("not said")
    (first,) = log_lines()
    assert (first["event"], first["logger"], first["level"]) == ("library_log", "aiohttp.server", "WARNING")
    assert first["message"] == "odd {request} from peer"


@pytest.mark.parametrize("log_lines", ["DEBUG"], indirect=True)
def test_library_when_all_is_to_be_said_then_not_what_it_works_with(log_lines):
    logging.getLogger("aiosqlite").debug("executing INSERT with a text to be spoken")
    logger.debug("ours")
    assert [line["event"] for line in log_lines()] == ["ours"]


def test_level_when_below_the_threshold_then_nothing_is_written(log_lines):
    logger.debug("detail")
    logger.warning("news")
    assert [line["event"] for line in log_lines()] == ["news"]


def test_writer_when_the_reader_stalls_then_it_drops_counts_and_reports(pipe):
    reader, writer_fd = pipe
    line = b"x" * (PIPE_HOLDS_BYTES - 1) + b"\n"
    target = LineWriter([writer_fd], "tester", max_lines=10)
    pipe_lines = 16  # 64 KiB, the default size of a pipe
    for _ in range(200):
        target.put(line)
    assert target.dropped_lines >= 200 - pipe_lines - 10 - 1
    dropped = target.dropped_lines

    received = bytearray()
    drained = threading.Event()

    def drain():
        while b"log_lines_dropped" not in received:
            received.extend(os.read(reader, 1 << 16))
        drained.set()

    threading.Thread(target=drain, daemon=True).start()
    assert drained.wait(10)
    target.close()
    rest = bytes(received)
    os.set_blocking(reader, False)
    while chunk := _read_now(reader):
        rest += chunk
    reports = [json.loads(part) for part in rest.splitlines() if part.startswith(b"{")]
    assert reports[-1]["total_lines"] == dropped
    assert sum(report["lines"] for report in reports) == dropped
    assert rest.count(line) == 200 - dropped


def _read_now(descriptor):
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


def test_writer_when_a_descriptor_is_broken_then_the_other_still_gets_the_lines(pipe):
    reader, writer_fd = os.pipe()
    os.close(reader)
    target = LineWriter([writer_fd, pipe[1]], "tester")
    target.put(b"one\n")
    target.put(b"two\n")
    target.close()
    os.close(writer_fd)
    assert os.read(pipe[0], 100) == b"one\ntwo\n"


def test_writer_when_a_descriptor_is_non_blocking_then_no_line_is_torn(pipe):
    reader, writer_fd = pipe
    os.set_blocking(writer_fd, False)
    target = LineWriter([writer_fd], "tester", max_lines=1_000)
    line = b"y" * 3_000 + b"\n"
    for _ in range(100):
        target.put(line)
    received = b""
    while len(received) < 100 * len(line):
        received += os.read(reader, 1 << 16)
    target.close()
    assert received == line * 100


def test_writer_when_many_lines_wait_then_whole_ones_leave_in_pieces_that_a_pipe_keeps_whole():
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps writes apart
    lines = [f"{number:999}\n".encode() for number in range(50)]
    with reader, writer:
        target = LineWriter([writer.fileno()], "tester")
        for line in lines:
            target.put(line)
        pieces: list[bytes] = []
        while sum(map(len, pieces)) < sum(map(len, lines)):
            pieces.append(reader.recv(1 << 16))
        target.close()
    assert b"".join(pieces) == b"".join(lines)
    assert all(piece.endswith(b"\n") and len(piece) <= MAX_LINE_BYTES for piece in pieces)


def test_close_when_the_reader_stalls_then_it_comes_back(pipe):
    target = LineWriter([pipe[1]], "tester")
    for _ in range(100):
        target.put(b"z" * PIPE_HOLDS_BYTES)
    target.close(timeout_s=0.01)
    assert "log-writer" in {thread.name for thread in threading.enumerate()}, "the reader didn't stall"
    received = 0
    while received < 100 * PIPE_HOLDS_BYTES:  # let the thread go
        received += len(os.read(pipe[0], 1 << 16))
    target.close(timeout_s=10)
    assert "log-writer" not in {thread.name for thread in threading.enumerate()}


def test_log_when_a_library_storms_then_some_lines_are_written_and_one_that_counts_the_rest(log_lines):
    for _ in range(18_000):
        logging.getLogger("asyncio").error("socket.accept() out of system resource")
    lines = log_lines()
    storm = [line for line in lines if line["event"] == "library_log"]
    assert len(storm) == SAME_LINES + 1
    assert storm[-1]["repeated"] == 18_000 - SAME_LINES
    assert (storm[-1]["level"], storm[-1]["message"]) == ("ERROR", storm[0]["message"])
