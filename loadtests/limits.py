"""The profiles of `limits.toml`: how much is asked of which engine, and what must hold.

Owns: reading and checking the file.
Refuses to know: how a limit is measured or judged.
"""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

LIMITS_FILE = Path(__file__).with_name("limits.toml")


class LimitsError(Exception):
    """The limits can't be used; the message is one line that says where and why."""


class Entry(StrEnum):
    """A kind of client, and the line of the tables that stands for it."""

    SENTENCE = "sentence"
    TEXT = "text"
    BURST = "burst"
    LEAVER = "leaver"
    SLOW = "slow"
    GREEDY = "greedy"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EntryLimits(_Table):
    """How many clients of a kind there are, and what each kind is owed."""

    users: int = Field(ge=1, le=500)
    pacing_s: float = Field(ge=0.1, le=600)
    """Seconds from one intended start to the next of the same client."""
    least_samples: int = Field(ge=1)
    """Answers without which nothing is proved."""
    least_success: float = Field(gt=0, le=1)
    """Share of requests that were answered whole; with `least_answered` honest refusals are in it, too."""
    first_audio_p90_s: float | None = Field(None, gt=0)
    answer_p90_s: float | None = Field(None, gt=0)
    most_underruns: float | None = Field(None, ge=0, le=1)
    """Share of listeners whose sound stood still for longer than `playback.GAP_S`."""
    least_answered: float | None = Field(None, gt=0, le=1)
    """Share that must be answered where the entry provokes refusals; without it no refusal is a success."""


class Profile(_Table):
    """What is asked of one engine."""

    engine: str = Field(min_length=1)
    warm_up_s: float = Field(ge=0, le=600)
    """What begins earlier doesn't count."""
    duration_s: float = Field(180, ge=1, le=86_400)
    """Of a usual run, warm-up included."""
    short_s: float = Field(60, ge=1, le=86_400)
    """Of a short one; every entry must come to its `least_samples` in it."""
    most_control_p90_s: float = Field(gt=0)
    """Delay of the generator itself above which a run proves nothing."""
    start: dict[str, int | float | str] = {}
    """Settings of the appliance that is started when no host is given; empty if none can be."""
    sentence: EntryLimits | None = None
    text: EntryLimits | None = None
    burst: EntryLimits | None = None
    leaver: EntryLimits | None = None
    slow: EntryLimits | None = None
    greedy: EntryLimits | None = None

    def entries(self) -> dict[Entry, EntryLimits]:
        """Return the entries that the profile has."""
        found = {entry: getattr(self, entry.value) for entry in Entry}
        return {entry: limits for entry, limits in found.items() if limits is not None}


def load_profile(name: str, path: Path = LIMITS_FILE) -> Profile:
    """Read one profile.

    Args:
        name: For example `espeak`.
        path: The file with all profiles.

    Raises:
        LimitsError: The file can't be read, has no such profile, or the profile has an unknown key, a value
            out of bounds, or no entry at all.
    """
    try:
        profiles = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path.name}: can't be used: {error}"
        raise LimitsError(message) from None
    if not isinstance(profiles.get(name), dict):
        message = f"{path.name}: no profile {name!r}; there are {', '.join(sorted(profiles)) or 'none'}"
        raise LimitsError(message)
    try:
        profile = Profile.model_validate(profiles[name])
    except ValidationError as error:
        raise LimitsError(_one_line(error, f"{path.name}: {name}")) from None
    if not profile.entries():
        message = f"{path.name}: {name}: no entry; there may be {', '.join(Entry)}"
        raise LimitsError(message)
    return profile


def _one_line(error: ValidationError, place: str) -> str:
    parts = []
    for detail in error.errors():
        key = ".".join(str(part) for part in detail["loc"])
        said = "no such key" if detail["type"] == "extra_forbidden" else detail["msg"]
        parts.append(f"{key}: {said}")
    return f"{place}: {'; '.join(parts)}"
