"""supervisord's output on its way to the container's log.

Owns: reading the pipe that supervisord and through it all programs write to, always and at once, so that a
reader of the container's log that stalls never stops supervisord; making JSON of what isn't.
Refuses to know: dropping and counting (`appliance.logs.LineWriter`), what is said too often
(`appliance.repeats`).

    programs' stderr → supervisord → pipe → this thread → bounded queue → writer thread → stdout
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.logs import MAX_LINE_BYTES, LineWriter, encode_line

SUPERVISORD_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ([A-Z]{4}) (.*)", re.DOTALL)
"""Source: supervisor 4.3, `ServerOptions.make_logger`."""
LEVELS = {"CRIT": "CRITICAL", "ERRO": "ERROR", "WARN": "WARNING", "INFO": "INFO", "DEBG": "DEBUG"}
"""Source: supervisor 4.3, `loggers.LevelsByName`."""
HARMLESS = re.compile(
    r"Server 'unix_http_server' running without any HTTP authentication checking"
    r"|received SIGTERM indicating exit request"
    r"|stopped: \S+ \(terminated by SIGTERM\)"
)
"""supervisord calls the first critical; its socket is open to this user only, which is the check.

The others are warnings to it: the launcher's order at every stop (of anybody else's the launcher warns), and
a program that was stopped on purpose before it took over the signal.
"""
STACK_LINE = re.compile(
    r"Fatal Python error: |(?:Current thread|Thread) 0x|Stack \(most recent|Extension modules: |Traceback \("
    r'|  (?:File "|Binary file "|\[Previous line)| {4}|[\w.]+(?:Error|Exception)(?:: |$)'
)
"""How a line of a stack begins: faulthandler's, or a traceback's with its source lines and its error.

Source: CPython 3.11 to 3.14, `Python/traceback.c`, `Modules/faulthandler.c` and `traceback.py`.
"""
READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class ForeignLine:
    """A line of output that isn't JSON: supervisord's, or a library's."""

    program: str
    level: str
    event: str
    message: str
    is_stack: bool = False
    """Whether it is a line of a stack."""


def read_foreign(line: bytes) -> ForeignLine | None:
    """Take apart a line that isn't JSON; None for one that is: a program's finished line.

    Args:
        line: One line without its newline.
    """
    if line.startswith(b'{"') and line.endswith(b"}"):
        return None
    text = line.decode("utf-8", "replace")
    found = SUPERVISORD_LINE.fullmatch(text)
    if found:
        level = "INFO" if HARMLESS.fullmatch(found[2]) else LEVELS.get(found[1], "INFO")
        return ForeignLine("supervisord", level, "supervisord", found[2])
    return ForeignLine("unknown", "WARNING", "output", text, is_stack=bool(STACK_LINE.match(text)))


class OutputRelay:
    """A thread that takes lines from a pipe and puts them into a bounded writer."""

    def __init__(self, descriptor: int, writer: LineWriter) -> None:
        """Start the thread.

        Args:
            descriptor: Read end of the pipe; closed at its end.
            writer: Takes the lines, or drops and counts them.
        """
        self._descriptor = descriptor
        self._writer = writer
        self._thread = threading.Thread(target=self._relay, name="output-relay", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until every writer of the pipe is gone and its last line is taken, `timeout_s` at most."""
        self._thread.join(timeout_s)

    def _relay(self) -> None:
        waiting = b""
        while data := os.read(self._descriptor, READ_BYTES):
            *lines, waiting = (waiting + data).split(b"\n")
            if len(waiting) > MAX_LINE_BYTES:
                lines.append(waiting)
                waiting = b""
            for line in lines:
                self._put(line)
        self._put(waiting)
        os.close(self._descriptor)

    def _put(self, line: bytes) -> None:
        """Pass a program's own line on as it is, since it was limited there, and make JSON of another."""
        if not line.strip():
            return
        foreign = read_foreign(line)
        if foreign is None:
            self._writer.put(line + b"\n")
            return
        fields = {"message": foreign.message}
        said = (foreign.program, foreign.level, foreign.event)
        if self._writer.repeats.admits(*said, fields, is_stack=foreign.is_stack):
            now = datetime.now(UTC)
            self._writer.put(encode_line(now, foreign.level, foreign.event, foreign.program, fields))
