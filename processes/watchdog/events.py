"""supervisord's event listener protocol, without I/O.

Owns: cutting the stream of supervisord's events into headers and payload.
Refuses to know: what an event means.

    ver:3.0 server:supervisor serial:21 … eventname:PROCESS_STATE_RUNNING len:58 ⏎
    processname:gateway groupname:gateway from_state:STARTING pid:77

Source: supervisor's manual, "Event Listener Notification Protocol".
"""

from __future__ import annotations

from dataclasses import dataclass

READY = b"READY\n"
"""Asks for the next event."""
DONE = b"RESULT 2\nOK"
"""Says that an event was taken."""


@dataclass(frozen=True, slots=True)
class SupervisorEvent:
    """One event."""

    name: str
    """For example PROCESS_STATE_RUNNING."""
    fields: dict[str, str]
    """The payload's `key:value` pairs."""


class EventDecoder:
    """Takes bytes in any pieces and gives whole events."""

    def __init__(self) -> None:
        self._waiting = b""

    def feed(self, data: bytes) -> list[SupervisorEvent]:
        """Take bytes and return the events that they complete."""
        self._waiting += data
        events = []
        while (event := self._next()) is not None:
            events.append(event)
        return events

    def _next(self) -> SupervisorEvent | None:
        line, newline, rest = self._waiting.partition(b"\n")
        if not newline:
            return None
        header = _pairs(line)
        length_bytes = int(header["len"])
        if len(rest) < length_bytes:
            return None
        self._waiting = rest[length_bytes:]
        return SupervisorEvent(header["eventname"], _pairs(rest[:length_bytes]))


def _pairs(data: bytes) -> dict[str, str]:
    words = data.decode("utf-8", "replace").split()
    return {key: value for key, _, value in (word.partition(":") for word in words)}
