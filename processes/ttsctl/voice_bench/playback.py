"""Where the sound of a listener would stand still.

Owns: a player's clock.
Refuses to know: where the bytes come from.
"""

from __future__ import annotations

PCM_BYTES_PER_S = 48_000
"""`pcm` is 24 kHz int16 mono. Source: OpenAI's speech API."""
GAP_S = 0.1
"""A sound that stands still for less isn't counted as a gap."""


class Playback:
    """A player of 24 kHz PCM that begins with the first byte and waits where there is none."""

    def __init__(self) -> None:
        self.body_bytes = 0
        self.longest_gap_s = 0.0
        """Longest wait so far, if longer than `GAP_S`."""
        self._dry_at_s = 0.0

    def take(self, count: int, now_s: float) -> None:
        """Take in bytes that have come at this monotonic time."""
        if self.body_bytes:
            gap_s = now_s - self._dry_at_s
            if gap_s > max(GAP_S, self.longest_gap_s):
                self.longest_gap_s = gap_s
        self._dry_at_s = max(self._dry_at_s, now_s) + count / PCM_BYTES_PER_S
        self.body_bytes += count
