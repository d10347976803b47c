"""How far a job is, and what it looks like to who may see it.

Owns: the progress of a try, and the description of a job for clients.
Refuses to know: what is done for a job, where its rows come from.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from appliance.store.jobs import Row


@dataclass(slots=True)
class Progress:
    """How far a job is; told to whoever asks."""

    step: str = "waiting"
    """`waiting`, `splitting`, `speaking` or `encoding`."""
    utterances: int = 0
    done: int = 0
    audio_s: float = 0.0
    began_at_s: float = field(default_factory=time.monotonic)
    began_done: int = 0
    """Utterances that had been done when this run began."""
    has_gone_on: bool = False
    """Whether this run has written any of its own into the database."""

    def begin(self, done: int, audio_s: float) -> None:
        """Begin with what an earlier run has left; it is encoded first."""
        self.step = "encoding" if done else "speaking"
        self.done, self.audio_s = done, audio_s
        self.began_done, self.began_at_s = done, time.monotonic()

    def speak(self) -> None:
        """Go on with what nobody has spoken yet."""
        if self.step != "speaking":
            self.step, self.began_at_s = "speaking", time.monotonic()

    def note(self, number: int, audio_s: float) -> None:
        """Count an utterance, unless an earlier run has."""
        if number >= self.done:
            self.done = number + 1
            self.audio_s += audio_s

    def left_s(self) -> float | None:
        """Return the seconds that speaking the rest is likely to take; None while nothing tells."""
        new = self.done - self.began_done
        if self.step != "speaking" or new <= 0:
            return None
        return (time.monotonic() - self.began_at_s) / new * (self.utterances - self.done)


def described(row: Row, progress: Progress | None, held_by: str) -> dict[str, Any]:
    """Return what a job looks like to who may see it: never its text.

    Args:
        row: The job.
        progress: How far it is, if it runs.
        held_by: Code of the error that it waits out; empty for none.
    """
    state, reason = row["state"], row["reason"]
    done, audio_s, utterances = row["done"], row["audio_s"], row["utterances"]
    left_s, step = None, None
    if progress is not None and state in ("queued", "running"):
        state, step, left_s = "running", progress.step, progress.left_s()
        utterances = progress.utterances or utterances
        if progress.step != "waiting":
            done, audio_s = max(done, progress.done), max(audio_s, progress.audio_s)
    if held_by and state in ("queued", "running"):
        state, reason = "paused", held_by
    return {
        "id": row["id"],
        "object": "job",
        "state": state,
        "reason": reason,
        "step": step,
        "title": row["title"],
        "voice": row["voice"],
        "format": row["format"],
        "speed": row["speed"],
        "captions": bool(row["captions"]),
        "chars": row["chars"],
        "utterances": utterances,
        "utterances_done": done,
        "progress": 1.0 if state == "completed" else round(done / utterances, 4) if utterances else 0.0,
        "audio_s": round(audio_s, 3),
        "left_s": None if left_s is None else round(left_s, 1),
        "bytes": row["bytes"],
    }
