"""Which lines of a storm are worth writing: the first ones, and then how many more there were.

Owns: the bounds on lines per time, the bounded tables behind them, the count of what they held back.
Refuses to know: how a line is written (`logs`), what an event means, which lines are a stack's (`relay`).

    a line ──▶ the same level, event and fields 20 times in these 10 s? ──▶ held back
           ──▶ the same level and event 400 times in these 5 s?         ──▶ held back
           ──▶ written
    of a stack ──▶ 1,000 lines of stacks in these 5 s?                  ──▶ held back, else written
    at the end of its 10 s, or 5 s: one line with the same event and `repeated: n`

A line about one request or utterance is never the same as another, so only the second bound holds for it.
A stack is only worth something whole, and several dying processes write the same lines: it has a bound of its
own, which a chatty program can't use up.
`request_finished` is the account of what was spoken: it always passes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SAME_LINES = 20
"""Lines that say the same within `SAME_S` seconds before further ones are held back."""
SAME_S = 10.0
EVENT_LINES = 400
"""Lines of one event and level within `EVENT_S` seconds: a storm becomes less than 100 lines a second,
whatever varies in it."""
EVENT_S = 5.0
STACK_LINES = 1_000
"""Lines of stacks within `EVENT_S` seconds: those of 14 processes that die at once. One with a pool of 6
threads writes 69 (measured)."""
MAX_KEYS = 512
"""Messages that are counted at a time; of further ones only the event is, and of further events none."""
KEPT_CHARS = 200
"""Messages that begin alike for so many characters in each field are the same."""
ALWAYS_WRITTEN = frozenset({"request_finished"})
ONE_OF_A_KIND = ("request_id", "utterance_id")
"""Fields of lines that are about one request or utterance."""

Key = tuple[str, str, str, tuple[tuple[str, str], ...]]
"""Program, level, event, and the fields as text."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """Lines that were held back."""

    program: str
    level: str
    event: str
    fields: Mapping[str, str]
    """What they had in common besides."""
    lines: int
    """How many they were."""


@dataclass(slots=True)
class _Span:
    """Counts of the present span of time; a new one begins with the first line after its end."""

    most: int
    length_s: float
    ends_at_s: float = 0.0
    counts: dict[Key, int] = field(default_factory=dict)

    def is_over(self, now_s: float) -> bool:
        return now_s >= self.ends_at_s

    def takes(self, key: Key) -> bool:
        """Count a line; return whether it is among the first. One that the table has no room for is."""
        count = self.counts.get(key, 0)
        if count or len(self.counts) < MAX_KEYS:
            self.counts[key] = count + 1
        return count < self.most

    def restart(self, now_s: float) -> dict[Key, int]:
        """Begin the next span; return how many lines were held back in this one."""
        held_back = {key: count - self.most for key, count in self.counts.items() if count > self.most}
        self.counts.clear()
        self.ends_at_s = now_s + self.length_s
        return held_back


class RepeatLimiter:
    """Decides line by line; any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing counted.

        Args:
            clock: Returns seconds that never step back.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._same = _Span(SAME_LINES, SAME_S)
        self._events = _Span(EVENT_LINES, EVENT_S)
        self._stacks = _Span(STACK_LINES, EVENT_S)
        self._ended: dict[Key, int] = {}
        self._suppressed_lines = 0

    @property
    def suppressed_lines(self) -> int:
        """Lines held back since the start."""
        return self._suppressed_lines

    def admits(
        self, program: str, level: str, event: str, fields: Mapping[str, Any], *, is_stack: bool = False
    ) -> bool:
        """Return whether a line is to be written, and count it; never waits for anything slow.

        Args:
            program: Who says it.
            level: Its level.
            event: What happened.
            fields: Everything else; left as they are.
            is_stack: Whether it is one line of a stack that a program writes in many.
        """
        if event in ALWAYS_WRITTEN:
            return True
        is_unique = any(name in fields for name in ONE_OF_A_KIND)
        kind: Key = (program, level, event, ())
        same = kind if is_unique else (program, level, event, _as_text(fields))
        with self._lock:
            self._turn_over()
            if is_stack:
                is_admitted = self._stacks.takes(kind)
            else:
                is_admitted = (is_unique or self._same.takes(same)) and self._events.takes(kind)
            self._suppressed_lines += not is_admitted
            return is_admitted

    def take_repetitions(self, *, is_last: bool = False) -> list[Repetition]:
        """Return what was held back in the spans that have ended, once.

        Args:
            is_last: Whether the present spans end here too.
        """
        with self._lock:
            self._turn_over(is_last=is_last)
            ended, self._ended = self._ended, {}
        return [
            Repetition(program, level, event, dict(fields), lines)
            for (program, level, event, fields), lines in ended.items()
        ]

    def _turn_over(self, *, is_last: bool = False) -> None:
        now_s = self._clock()
        for span in (self._same, self._events, self._stacks):
            if is_last or span.is_over(now_s):
                for key, lines in span.restart(now_s).items():
                    if key in self._ended or len(self._ended) < MAX_KEYS:
                        self._ended[key] = self._ended.get(key, 0) + lines


def _as_text(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return fields in a shape that can be compared; of a traceback its end, which names the error."""
    return tuple(
        (name, str(value)[-KEPT_CHARS:] if name == "traceback" else str(value)[:KEPT_CHARS])
        for name, value in fields.items()
    )
