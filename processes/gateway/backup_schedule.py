"""When the next nightly backup is due.

Owns: the time of day, and what a missed time or a clock that was moved means.
Refuses to know: how a backup is made. Nothing here looks at a clock.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

DAY = timedelta(days=1)
CATCH_UP = timedelta(minutes=10)
"""After the start, when no backup has been made since the last time of day that has passed."""
LONGEST = timedelta(hours=26)
"""A time that is further away belongs to a clock that was moved back; the change of summer time is less."""


class Schedule:
    """The time of the next backup; a failed one isn't tried again before it."""

    def __init__(self, at: time, newest: datetime | None, now: datetime) -> None:
        """Find the first time.

        Args:
            at: Time of day, local.
            newest: When the newest backup was made; None without one. With a time zone.
            now: With the local time zone.
        """
        self._at = at
        self.due = next_time(at, now)
        if newest is None or newest < self.due - DAY:
            self.due = min(self.due, now + CATCH_UP)

    def is_due(self, now: datetime) -> bool:
        """Tell whether a backup is to be made now; if so, the next is due at the next time of day."""
        is_now = now >= self.due
        if is_now or self.due - now > LONGEST:
            self.due = next_time(self._at, now)
        return is_now


def next_time(at: time, now: datetime) -> datetime:
    """Return the first moment after now with a time of day, in the time zone of now."""
    today = now.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return today if today > now else today + DAY
