"""supervisord's output on its way to the container's log.

Owns: reading the pipe that supervisord and through it all programs write to, always and at once, so that a
reader of the container's log that stalls never stops supervisord; making JSON of what isn't.
Refuses to know: dropping and counting (`appliance.logs.LineWriter`).

    programs' stderr → supervisord → pipe → this thread → bounded queue → writer thread → stdout
"""

from __future__ import annotations

import os
import re
import threading
from datetime import UTC, datetime

from appliance.logs import MAX_LINE_BYTES, LineWriter, encode_line

SUPERVISORD_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ([A-Z]{4}) (.*)", re.DOTALL)
"""Source: supervisor 4.3, `ServerOptions.make_logger`."""
LEVELS = {"CRIT": "CRITICAL", "ERRO": "ERROR", "WARN": "WARNING", "INFO": "INFO", "DEBG": "DEBUG"}
"""Source: supervisor 4.3, `loggers.LevelsByName`."""
HARMLESS = "Server 'unix_http_server' running without any HTTP authentication checking"
"""supervisord calls this critical; its socket is open to this user only, which is the check."""
READ_BYTES = 65_536


def json_line(line: bytes) -> bytes:
    """Return a line of output as JSON: our programs' lines as they are, all else wrapped.

    Args:
        line: One line without its newline.

    Returns:
        One JSON line with its newline.
    """
    if line.startswith(b'{"') and line.endswith(b"}"):
        return line + b"\n"
    text = line.decode("utf-8", "replace")
    found = SUPERVISORD_LINE.fullmatch(text)
    now = datetime.now(UTC)
    if found:
        level = "INFO" if found[2] == HARMLESS else LEVELS.get(found[1], "INFO")
        return encode_line(now, level, "supervisord", "supervisord", {"message": found[2]})
    return encode_line(now, "WARNING", "output", "unknown", {"message": text})


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
        if line.strip():
            self._writer.put(json_line(line))
