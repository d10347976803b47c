"""The log: JSON lines that never hold up the program that writes them.

Owns: the shape of a line, the bounded queue, the thread that writes, the count of what was dropped.
Refuses to know: what is worth saying; where the lines end up (supervisord and the launcher know).

    logger.info("worker_ready", worker="worker-espeak-1")        any thread, never waits
        │
        ▼
    the same again and again? ── held back and counted (`repeats`)
        │  one JSON line of at most 4,096 bytes
        ▼
    queue of 2,000 lines ── full: the line is dropped and counted
        │  writer thread, the only one that can stall
        ▼
    stderr, and stdout too under supervisord

The message is the event's name, a constant; everything that varies is a field. Under supervisord stderr is
the way to the container's log and stdout the way to `run/log/<program>.log`, which `supervisorctl tail`
shows; an event listener's stdout carries supervisord's event protocol and stays untouched.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import select
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any

from loguru import logger

from appliance.repeats import RepeatLimiter

if TYPE_CHECKING:
    from loguru import Message, Record

MAX_LINES = 2_000
"""Lines that wait for the writer before further ones are dropped."""
MAX_LINE_BYTES = 4_096
"""A pipe takes up to this many bytes in one piece, so that lines of two programs never mix.

Source: pipe(7), PIPE_BUF on Linux.
"""
GATHER_S = 0.05
"""Seconds that a line waits for others, so that a busy program's lines leave together.

Every write wakes supervisord twice and the launcher once: for each line alone that costs as much as 4 % of
speaking 150 characters.
"""
REPORT_S = 5.0
"""Seconds after which an idle writer looks whether there are lines that were held back to be reported."""
END = b""
"""Queued after the last line."""
FLUSH_S = 1.0
"""Seconds that the end of the process waits for the writer."""
EVENT_LISTENERS = frozenset({"watchdog"})
"""Programs whose stdout belongs to supervisord's event protocol."""
RESERVED = ("ts", "level", "event", "program", "pid")
"""Keys of every line; a field of such a name is written as `field_<name>`."""
KEPT_TRACEBACK_CHARS = 2_400
KEPT_FIELD_CHARS = 200
MAX_KEPT_FIELDS = 5
"""What is kept of a line that would be longer than `MAX_LINE_BYTES`."""
_ENCODER = json.JSONEncoder(default=str, allow_nan=False, separators=(",", ":"))
"""Made once: with other than its usual arguments `json.dumps` makes one for every call."""


class LineWriter:
    """Writes lines to file descriptors from a thread of its own.

    Neither `put` nor `close` waits for a reader: `put` drops and counts when too many lines are waiting, and
    `close` gives the writer a bounded time.
    """

    def __init__(self, descriptors: Sequence[int], program: str, max_lines: int = MAX_LINES) -> None:
        """Start the thread.

        Args:
            descriptors: File descriptors that every line is written to; they stay open.
            program: Who reports that lines were dropped.
            max_lines: Lines that may wait.
        """
        self._descriptors = list(descriptors)
        self._program = program
        self._max_lines = max_lines
        self.repeats = RepeatLimiter()
        """Says which lines are worth putting."""
        self.mirror: LineWriter | None = None
        """Gets every line, too, whatever the reader of this one does."""
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        self._dropped_lines = 0
        self._reported_lines = 0
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def dropped_lines(self) -> int:
        """Lines dropped since the start."""
        return self._dropped_lines

    def put(self, line: bytes) -> None:
        """Queue a line that ends in a newline, or drop and count it. Never blocks, safe in any thread."""
        if self.mirror is not None:
            self.mirror.put(line)
        if self._lines.qsize() >= self._max_lines:
            self._dropped_lines += 1
        else:
            self._lines.put(line)

    def close(self, timeout_s: float = FLUSH_S) -> None:
        """Let the writer finish what is queued, for `timeout_s` seconds at most."""
        self._is_closing.set()
        self._lines.put(END)
        self._thread.join(timeout_s)

    def _write_all(self) -> None:
        line: bytes | None = None
        while line != END:
            if line is None:
                line = self._next_line()
            batch = bytearray()
            while line and (not batch or len(batch) + len(line) <= MAX_LINE_BYTES):
                batch += line
                line = None if self._lines.empty() else self._lines.get()
            self._write(batch)
            if self._dropped_lines > self._reported_lines:
                self._report(self._drop_report())
            for report in self._repeat_reports(is_last=line == END):
                self._report(report)

    def _report(self, line: bytes) -> None:
        if self.mirror is not None:
            self.mirror.put(line)
        self._write(line)

    def _next_line(self) -> bytes | None:
        """Wait for a line and for those that come right behind it; None when none has come for long."""
        try:
            line = self._lines.get(timeout=REPORT_S)
        except Empty:
            return None
        self._is_closing.wait(GATHER_S)
        return line

    def _write(self, lines: bytes | bytearray) -> None:
        """Write to every descriptor, waiting for its reader; one that is closed or broken is given up."""
        for descriptor in tuple(self._descriptors):
            rest = memoryview(lines)
            while rest:
                try:
                    rest = rest[os.write(descriptor, rest) :]
                except BlockingIOError:  # somebody else made the shared descriptor non-blocking
                    select.select([], [descriptor], [])
                except OSError:
                    self._descriptors.remove(descriptor)
                    break

    def _drop_report(self) -> bytes:
        dropped = self._dropped_lines
        fields = {"lines": dropped - self._reported_lines, "total_lines": dropped}
        self._reported_lines = dropped
        return encode_line(datetime.now(UTC), "WARNING", "log_lines_dropped", self._program, fields)

    def _repeat_reports(self, *, is_last: bool) -> Iterator[bytes]:
        for each in self.repeats.take_repetitions(is_last=is_last):
            fields = {**each.fields, "repeated": each.lines}
            yield encode_line(datetime.now(UTC), each.level, each.event, each.program, fields)


_writer: LineWriter | None = None


def configure_logging(program: str, level: str, descriptors: Sequence[int] | None = None) -> LineWriter:
    """Send loguru's and the standard library's records of this process through the bounded writer.

    Uncaught exceptions of any thread become lines too, with their traceback and without variable values.
    What is queued at the process's end is flushed for `FLUSH_S` seconds at most. To be called once, before
    the first thread or event loop.

    Args:
        program: The program's name, for the lines' `program`.
        level: Least level written: DEBUG, INFO, WARNING or ERROR.
        descriptors: File descriptors to write to; None takes those that the module's picture shows.

    Returns:
        The writer, for lines that are finished already.
    """
    global _writer  # noqa: PLW0603 (one log per process, as loguru has one logger)
    writer = LineWriter(_usual_descriptors(program) if descriptors is None else descriptors, program)
    attach_logging(program, level, writer)
    _writer = writer
    atexit.register(writer.close)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    return writer


def _usual_descriptors(program: str) -> list[int]:
    under_supervisord = "SUPERVISOR_ENABLED" in os.environ and program not in EVENT_LISTENERS
    streams = (sys.__stderr__, sys.__stdout__ if under_supervisord else None)
    return [stream.fileno() for stream in streams if stream]


def attach_logging(program: str, level: str, writer: LineWriter) -> None:
    """Send loguru's and the standard library's records to a writer.

    Args:
        program: The program's name, for the lines' `program`.
        level: Least level written: DEBUG, INFO, WARNING or ERROR; of libraries INFO at the least.
        writer: Takes the lines.
    """

    def sink(message: Message) -> None:
        record = message.record
        fields = dict(record["extra"])
        level, event = record["level"].name, record["message"]
        if record["exception"] is not None:
            error = record["exception"]
            fields["traceback"] = "".join(
                traceback.format_exception(error.type, error.value, error.traceback)
            )
        if writer.repeats.admits(program, level, event, fields):
            writer.put(encode_line(record["time"], level, event, program, fields))

    logger.remove()
    logger.add(sink, level=level, format=_no_text, enqueue=False, diagnose=False, backtrace=False)
    libraries_level = "INFO" if level == "DEBUG" else level  # below, they quote what they work with: texts
    logging.basicConfig(handlers=[_LibraryHandler()], level=libraries_level, force=True)
    logging.captureWarnings(capture=True)


def dropped_lines() -> int:
    """Return how many log lines this process has dropped."""
    return _writer.dropped_lines if _writer else 0


def suppressed_lines() -> int:
    """Return how many log lines this process has held back because they said the same again and again."""
    return _writer.repeats.suppressed_lines if _writer else 0


def encode_line(when: datetime, level: str, event: str, program: str, fields: dict[str, Any]) -> bytes:
    """Write one event as a JSON line of at most `MAX_LINE_BYTES` bytes.

    A longer one keeps its first fields, cut, and says `"cut": true`.

    Args:
        when: Time with zone; written as UTC, RFC 3339, milliseconds.
        level: Level's name.
        event: The event's name.
        program: Who says it.
        fields: Everything else; values that JSON doesn't know are written as text.
    """
    ts = when.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    line: dict[str, Any] = dict(zip(RESERVED, (ts, level, event, program, os.getpid()), strict=True))
    head = dict(line)
    for key, value in fields.items():
        line[f"field_{key}" if key in RESERVED else key] = value
    encoded = _dump(line)
    if len(encoded) <= MAX_LINE_BYTES:
        return encoded
    if "traceback" in line:
        head["traceback"] = _cut_to_tail(line.pop("traceback"), KEPT_TRACEBACK_CHARS)
    kept = [(key, value) for key, value in line.items() if key not in RESERVED][:MAX_KEPT_FIELDS]
    head |= {key[:KEPT_FIELD_CHARS]: str(value)[:KEPT_FIELD_CHARS] for key, value in kept}
    encoded = _dump(head | {"cut": True})
    if len(encoded) <= MAX_LINE_BYTES:
        return encoded
    return _dump({key: str(head[key])[:KEPT_FIELD_CHARS] for key in RESERVED} | {"cut": True})


def _dump(line: dict[str, Any]) -> bytes:
    try:
        text = _ENCODER.encode(line)
    except ValueError:  # NaN and infinity aren't JSON
        text = json.dumps({key: str(value) for key, value in line.items()}, separators=(",", ":"))
    return text.encode() + b"\n"


def _cut_to_tail(text: str, kept_chars: int) -> str:
    return text if len(text) <= kept_chars else "…" + text[-kept_chars:]


def _no_text(_record: Record) -> str:
    """Spare loguru's own formatting; the sink reads the record."""
    return ""


class _LibraryHandler(logging.Handler):
    """Takes the records of libraries that use the standard library's logging (aiohttp, asyncio)."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "CRITICAL" if record.levelno >= logging.CRITICAL else record.levelname
        known = level in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
        text = record.getMessage()
        log = logger.opt(exception=record.exc_info or None)
        log.log(level if known else "INFO", "library_log", logger=record.name, message=text)


def _log_uncaught(
    error_class: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(error_class, KeyboardInterrupt):
        sys.__excepthook__(error_class, error, trace)
        return
    logger.opt(exception=(error_class, error, trace)).critical("uncaught_exception")


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        name = args.thread.name if args.thread else "?"
        trace = (args.exc_type, args.exc_value, args.exc_traceback)
        logger.opt(exception=trace).critical("uncaught_exception", thread=name)
