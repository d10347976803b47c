"""`ttsctl live`: do the gateway's loop and the watchdog's run?

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
REQUEST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n")
LONGEST_STATUS_LINE_BYTES = 1024


def run(run_dir: Path | None = None, *, as_json: bool = False) -> ExitCode:
    """Print whether gateway and watchdog are alive, and which isn't; blocks `LIMIT_S` at most.

    Args:
        run_dir: As given on the command line.
        as_json: Whether to print JSON.
    """
    place = find_run_dir(run_dir)
    found = {
        "gateway": _why_not_alive(os.fspath(place / GATEWAY_SOCKET)),
        "watchdog": _why_silent(os.fspath(place / BEAT_FILE)),
    }
    dead = {part: reason for part, reason in found.items() if reason is not None}
    reason = "; ".join(f"{part}: {each}" for part, each in dead.items()) or None
    if as_json:
        print_json({"live": not dead, "reason": reason, "dead": list(dead)})
    else:
        print(f"not alive: {reason}" if dead else "alive")
    return ExitCode.FAILED if dead else ExitCode.OK


def _why_silent(path: str) -> str | None:
    """Return None if the watchdog's heartbeat is fresh or couldn't be, else what is wrong with it."""
    reason = _why_not_fresh(path)
    return reason if reason is None or _is_writable(os.path.dirname(path)) else None  # noqa: PTH120 (as below)


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


def _why_not_fresh(path: str) -> str | None:
    """Return None if the watchdog's heartbeat is fresh, else what is wrong with it.

    A heartbeat out of the future is of an earlier boot of this machine.
    """
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 (pathlib isn't needed for anything else)
            silent_s = time.monotonic() - float(file.read())
    except OSError as error:
        return f"{path}: {error.strerror or error}"
    except ValueError:
        return f"{path}: isn't a heartbeat"
    if silent_s < 0:
        return "no heartbeat since the machine started"
    return f"no heartbeat for {silent_s:.0f} s" if silent_s > SILENCE_S else None


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
