"""`ttsctl live`: do the loops of the gateway, the watchdog and supervisord run?

Owns: one question over the gateway's socket within `LIMIT_S` and a look at the watchdog's heartbeat, at the
least possible cost, because a container's health check asks it for ever.
Refuses to know: anything that needs more than the standard library's socket.
"""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

from processes.ttsctl.outcome import ExitCode, print_json
from processes.ttsctl.place import BEAT_FILE, GATEWAY_SOCKET, find_run_dir

LIMIT_S = 2.0
"""Seconds for the whole question; a loop that needs longer isn't alive."""
SILENCE_S = 10.0
"""Seconds without the watchdog's heartbeat after which it isn't alive; it beats every second, or three while
it waits for supervisord."""
MAX_UNANSWERED = 3
"""Questions of the watchdog's in a row that supervisord may leave unanswered; each waits for 2 s."""
REQUEST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n")
LONGEST_STATUS_LINE_BYTES = 1024


def run(run_dir: Path | None = None, *, as_json: bool = False) -> ExitCode:
    """Print whether gateway, watchdog and supervisord are alive, and which isn't; blocks `LIMIT_S` at most.

    Args:
        run_dir: As given on the command line.
        as_json: Whether to print JSON.
    """
    place = find_run_dir(run_dir)
    found = {
        "gateway": _why_not_alive(os.fspath(place / GATEWAY_SOCKET)),
        **why_silent(os.fspath(place / BEAT_FILE)),
    }
    dead = {part: reason for part, reason in found.items() if reason is not None}
    reason = "; ".join(f"{part}: {each}" for part, each in dead.items()) or None
    if as_json:
        print_json({"live": not dead, "reason": reason, "dead": list(dead)})
    else:
        print(f"not alive: {reason}" if dead else "alive")
    return ExitCode.FAILED if dead else ExitCode.OK


def why_silent(path: str) -> dict[str, str | None]:
    """Return what is wrong with the watchdog, and with supervisord as a fresh heartbeat tells.

    A watchdog that can't write its heartbeat isn't judged.
    """
    reason, unanswered = _read_beat(path)
    if reason is not None:
        return {"watchdog": reason if _is_writable(os.path.dirname(path)) else None}  # noqa: PTH120 (as below)
    asked = f"no answer to {unanswered} questions in a row of the watchdog's"
    return {"watchdog": None, "supervisord": asked if unanswered > MAX_UNANSWERED else None}


def _is_writable(directory: str) -> bool:
    """Tell whether a heartbeat can be written there: the file system is neither read-only nor full.

    Source: statvfs(3); one without blocks, or without inodes, doesn't count them.
    """
    try:
        found = os.statvfs(directory)
    except OSError:
        return True  # the reason names the fault
    has_room = (found.f_bavail or not found.f_blocks) and (found.f_favail or not found.f_files)
    return bool(has_room) and not found.f_flag & os.ST_RDONLY


def _read_beat(path: str) -> tuple[str | None, int]:
    """Return what is wrong with the watchdog's heartbeat, and how many unanswered questions it tells of.

    A heartbeat out of the future is of an earlier boot of this machine.
    """
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 (pathlib isn't needed for anything else)
            written_s, unanswered = file.read().split()
        silent_s = time.monotonic() - float(written_s)
        count = int(unanswered)
    except OSError as error:
        return f"{path}: {error.strerror or error}", 0
    except ValueError:
        return f"{path}: isn't a heartbeat", 0
    if silent_s < 0:
        return "no heartbeat since the machine started", 0
    return (f"no heartbeat for {silent_s:.0f} s" if silent_s > SILENCE_S else None), count


def _why_not_alive(path: str) -> str | None:
    """Return None if the gateway said 200 in time, else what it did instead."""
    try:
        answer = _ask(path, time.monotonic() + LIMIT_S)
    except TimeoutError:
        return f"no answer within {LIMIT_S:g} s"
    except OSError as error:
        return f"{path}: {error.strerror or error}"
    match = STATUS_LINE.match(answer)
    if match is None:
        return "the answer isn't HTTP"
    return None if match[1] == b"200" else f"status {match[1].decode()}"


def _ask(path: str, deadline_s: float) -> bytes:
    """Return the answer's first line and perhaps more.

    Args:
        path: The gateway's socket.
        deadline_s: When to give up, on the monotonic clock.

    Raises:
        OSError: Nobody listens, or (TimeoutError) nothing came in time.
    """
    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(LIMIT_S)
        connection.connect(path)
        connection.sendall(REQUEST)
        while b"\n" not in answer and len(answer) < LONGEST_STATUS_LINE_BYTES:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            connection.settimeout(left_s)
            received = connection.recv(LONGEST_STATUS_LINE_BYTES)
            if not received:
                break
            answer += received
    return answer
