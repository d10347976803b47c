"""Lines of the log: which are wanted, and how they look to a person.

Owns: the filter and its words (`--since 10m`), the text of a line.
Refuses to know: where lines come from.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
SPAN = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
WORD = re.compile(r"[\w.:/+-]+")
"""A value that needs no quotes."""
HEAD = ("ts", "level", "program", "event")
"""Fields that stand first and without their names."""
LEFT_OUT = ("pid",)
IDS = ("request_id", "job")
"""Fields that say whose line it is."""


def read_since(words: str, now: datetime) -> str:
    """Return a time as lines have it, for `10m` (ago), or a time as RFC 3339 writes it.

    Args:
        words: Digits with s, m, h or d; else a date or a time, in UTC where it names no zone.
        now: With a zone.

    Raises:
        ValueError: It is neither.
    """
    if span := SPAN.fullmatch(words):
        try:
            then = now - timedelta(seconds=int(span[1]) * UNITS_S[span[2]])
        except OverflowError:
            raise ValueError(words) from None
    else:
        then = datetime.fromisoformat(words)
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return then.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines are wanted; what is empty doesn't matter."""

    request_id: str = ""
    """Of a request or a job."""
    level: str = "DEBUG"
    """The least one."""
    worker: str = ""
    """Name of a worker: lines of its own, and others' about it."""
    program: str = ""
    """Who says it."""
    since: str = ""
    """The earliest `ts`."""

    def admits(self, line: dict[str, Any]) -> bool:
        """Return whether a line is wanted."""
        return (
            str(line.get("ts", "")) >= self.since
            and _rank(line.get("level")) >= _rank(self.level)
            and (not self.request_id or self.request_id in (line.get(name) for name in IDS))
            and (not self.program or line.get("program") == self.program)
            and (not self.worker or self.worker in _workers(line))
        )


def parse_line(raw: bytes) -> dict[str, Any] | None:
    """Return a line's fields, without what a container's tool has put before it; None if it has none."""
    begin = raw.find(b'{"')
    try:
        fields = json.loads(raw[begin:]) if begin >= 0 else None
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "event" in fields else None


def format_line(line: dict[str, Any]) -> str:
    """Lay a line out for a person: when, how bad, who, what, and then `name=value`; a stack behind it."""
    head = [str(line.get(name, "-")) for name in HEAD]
    stack = line.get("traceback")
    left_out = (*HEAD, *LEFT_OUT, "traceback")
    rest = [f"{name}={_value(value)}" for name, value in line.items() if name not in left_out]
    said = "  ".join([head[0], f"{head[1]:<8}", head[2], " ".join([head[3], *rest])])
    return f"{said}\n{stack}" if isinstance(stack, str) else said


def _value(value: object) -> str:
    is_word = isinstance(value, str) and WORD.fullmatch(value)
    return str(value) if is_word else json.dumps(value, ensure_ascii=False)


def _rank(level: object) -> int:
    """Return how bad a level is; one that nobody knows is worth a look."""
    return LEVELS.index(str(level)) if level in LEVELS else len(LEVELS)


def _workers(line: dict[str, Any]) -> set[str]:
    """Return the names that a worker has in a line, with `worker-` before them and without."""
    names = {str(line.get("program", "")), str(line.get("worker", "")), str(line.get("name", ""))}
    return names | {name.removeprefix("worker-") for name in names if name.startswith("worker-")}
