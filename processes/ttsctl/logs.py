"""`ttsctl logs`: the last lines of all programs, or what standard input holds of them.

Owns: reading the launcher's ring, following it over its turns, the bound of what is kept in memory.
Refuses to know: which lines are wanted (`log_lines`), how the ring is written.

Only reads, so it holds nobody up: the appliance doesn't know of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

from appliance.lifecycle import LAUNCHER_FILE, LOG_DIR, OLDER_RING_FILE, RING_FILE, read_json
from processes.ttsctl.gateway_socket import START_HINT
from processes.ttsctl.log_lines import LogFilter, format_line, parse_line, read_since
from processes.ttsctl.outcome import CommandError, ExitCode
from processes.ttsctl.place import find_run_dir

MAX_LINE_BYTES = 65_536
"""A line of standard input that is longer is cut in pieces, of which none is a line of ours."""
PAUSE_S = 0.2
"""Seconds between two looks of `-f`."""
FOLLOWED_LINES = 10
"""Lines that `-f` begins with, as tail does."""


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print the lines that are wanted; with `-f` until Ctrl-C, which is its usual end.

    Raises:
        CommandError: No line is wanted by those words, the log isn't there, or a time can't be read.
    """
    wanted = _filter(arguments)
    printer = _Printer(wanted, as_json=arguments.json)
    if arguments.source == "-":
        printer.take_all(_lines(sys.stdin.buffer), arguments.lines)
    else:
        run_dir = find_run_dir(arguments.run_dir)
        with Ring.of(run_dir) as ring:
            is_tail = arguments.follow and arguments.lines is None
            printer.take_all(ring.written(), FOLLOWED_LINES if is_tail else arguments.lines)
            if arguments.follow:
                printer.take_all(ring.coming(), None)
        _say_losses(run_dir)
    if printer.foreign_lines:
        print(f"ttsctl: passed over {printer.foreign_lines} lines that aren't the log's", file=sys.stderr)
    if not printer.printed_lines:
        raise CommandError("no line of the log is like that", code="no_lines")
    return ExitCode.OK


def _filter(arguments: argparse.Namespace) -> LogFilter:
    try:
        since = read_since(arguments.since, datetime.now(UTC)) if arguments.since else ""
    except ValueError:
        message = f"--since {arguments.since}: say it as 30s, 10m, 2h, 1d or 2026-01-02T03:04:05"
        raise CommandError(message, code="bad_time", exit_code=ExitCode.USAGE) from None
    return LogFilter(
        arguments.request or "", arguments.level, arguments.worker or "", arguments.program or "", since
    )


class _Printer:
    """Prints the lines that are wanted."""

    def __init__(self, wanted: LogFilter, *, as_json: bool) -> None:
        self._wanted = wanted
        self._as_json = as_json
        self.printed_lines = 0
        self.foreign_lines = 0

    def take_all(self, raws: Iterator[bytes], count: int | None) -> None:
        """Print the lines that are wanted as they come; with a count the last ones, once all are read."""
        wanted = (raw for raw in raws if self._admitted(raw) is not None)
        for raw in wanted if count is None else deque(wanted, maxlen=count):
            if (line := parse_line(raw)) is not None:
                self._print(raw, line)

    def _admitted(self, raw: bytes) -> dict[str, Any] | None:
        line = parse_line(raw)
        if line is None:
            self.foreign_lines += bool(raw.strip())
            return None
        return line if self._wanted.admits(line) else None

    def _print(self, raw: bytes, line: dict[str, Any]) -> None:
        text = raw[raw.find(b"{") :].decode("utf-8", "replace").rstrip("\n")
        print(text if self._as_json else format_line(line), flush=True)
        self.printed_lines += 1


class Ring:
    """The launcher's file of the last lines, from the one before it to what comes."""

    def __init__(self, directory: Path) -> None:
        """Take the folder; nothing is opened yet."""
        self._directory = directory
        self._path = directory / RING_FILE
        self._older: IO[bytes] | None = None

    @classmethod
    def of(cls, run_dir: Path) -> Self:
        """Return the ring of a run directory."""
        return cls(run_dir / LOG_DIR)

    def __enter__(self) -> Self:
        """Open both files, so that a turn meanwhile loses nothing.

        Raises:
            CommandError: There is no log, or it can't be read.
        """
        try:
            # The older one after the newer one: after a turn between the two it is the same file, seen twice.
            self._file = self._path.open("rb")
            self._older = _opened(self._directory / OLDER_RING_FILE)
        except FileNotFoundError:
            message = f"{self._path} isn't there; {START_HINT}"
            raise CommandError(message, code="no_log", exit_code=ExitCode.DOWN) from None
        except OSError as error:
            message = f"{self._path}: can't be read: {error.strerror}"
            raise CommandError(message, code="no_log") from None
        return self

    def __exit__(self, *_error: object) -> None:
        """Close both."""
        self._file.close()
        if self._older is not None:
            self._older.close()

    def written(self) -> Iterator[bytes]:
        """Yield the lines that are there, the oldest first."""
        if self._older is not None and _inode(self._older) != _inode(self._file):
            yield from _lines(self._older)
        yield from self._whole_lines()

    def coming(self) -> Iterator[bytes]:
        """Yield the lines that come, for ever, over turns of the ring and restarts of the appliance."""
        while True:
            yield from self._whole_lines()
            if self._has_turned():
                yield from self._whole_lines()  # what came between the last look and the turn
                self._file.close()
                self._file = self._path.open("rb")
            else:
                time.sleep(PAUSE_S)

    def _whole_lines(self) -> Iterator[bytes]:
        """Yield the lines up to the end, leaving one that is being written for the next look."""
        while (begin := self._file.tell()) >= 0 and (line := self._file.readline()):
            if not line.endswith(b"\n"):
                self._file.seek(begin)
                return
            yield line

    def _has_turned(self) -> bool:
        """Return whether another file is in the place of the one that is read, and can be opened."""
        try:
            return self._path.stat().st_ino != _inode(self._file)
        except OSError:
            return False


def _opened(path: Path) -> IO[bytes] | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _inode(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_ino


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES):
        yield line


def _say_losses(run_dir: Path) -> None:
    """Say that lines are missing, where the launcher knows of any."""
    lost = read_json(run_dir / LAUNCHER_FILE).get("ring_lines_lost", 0)
    if lost:
        print(f"ttsctl: {lost} lines are missing since the start: the disk didn't take them", file=sys.stderr)
