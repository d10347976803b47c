"""The settings of the store, and what a file below `data.dir` may be called.

Owns: the section's fields and bounds.
Refuses to know: where values come from (`settings`), and what is stored.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, field_validator

from appliance.engine_settings import Section

BACKUPS_NAME = "backups"
"""Beside the database: the folder of its backups."""


TIME_OF_DAY = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")


def below_data(value: str) -> str:
    """Return a file's path if it lies below `data.dir`.

    Raises:
        ValueError: It leads elsewhere or names no file.
    """
    path = Path(value)
    if path.is_absolute() or not path.name or ".." in path.parts or "\0" in value:
        raise ValueError("must be a file's path below data.dir: relative, without ..")
    return value


class StoreSettings(Section):
    """The database: its place, and what it keeps how long."""

    file: str = Field("appliance.sqlite", description="The database's file, below data.dir.")
    history_days: float = Field(
        30.0, ge=0, le=3650, description="Days that requests stay in the history; 0 keeps none."
    )
    history_rows: int = Field(
        100_000, ge=0, le=10_000_000, description="Requests that the history holds; 0 keeps none."
    )
    history_text: bool = Field(
        default=False, description="Whether the history holds what was spoken, for whoever may read it."
    )
    ballast_bytes: int = Field(
        67_108_864, ge=0, le=17_179_869_184, description="Space kept for the database on a full disk."
    )

    backup_at: str = Field("03:30", description="Local time of the nightly backup, HH:MM; empty for none.")
    backup_daily: int = Field(
        7, ge=1, le=1000, description="Days of which the last backup of the database stays."
    )
    backup_weekly: int = Field(
        4, ge=0, le=1000, description="Weeks of which the last backup of the database stays."
    )

    @field_validator("file")
    @classmethod
    def _below_data(cls, value: str) -> str:
        return below_data(value)

    @field_validator("backup_at")
    @classmethod
    def _time_of_day(cls, value: str) -> str:
        if value and not TIME_OF_DAY.fullmatch(value):
            raise ValueError("must be a time of day, 00:00 to 23:59, or empty")
        return value


class DiskSettings(Section):
    """What happens as the disk of the data fills up: shares of it that are used, 0 to 1."""

    evict_ratio: float = Field(
        0.75, gt=0, le=1, description="Used share of the disk from which caches give space back."
    )
    alert_ratio: float = Field(
        0.8, gt=0, le=1, description="Used share of the disk from which there is an alert."
    )
    refuse_ratio: float = Field(
        0.95, gt=0, le=1, description="Used share of the disk from which no job is taken or goes on."
    )
