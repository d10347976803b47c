"""The settings of jobs: long texts that are spoken while nobody waits.

Owns: the section's fields and bounds.
Refuses to know: where values come from (`settings`), and how a job is done.
"""

from __future__ import annotations

from pydantic import Field

from appliance.engine_settings import Section


class JobsSettings(Section):
    """Long texts that are spoken in the background."""

    max_text_bytes: int = Field(
        5_000_000, ge=1_000, le=16_000_000, description="Bytes of a job's text in UTF-8."
    )
    max_unfinished: int = Field(
        1_000, ge=1, le=100_000, description="Jobs that may wait, run or be paused; more are refused (429)."
    )
    max_unfinished_per_key: int = Field(
        100, ge=1, le=100_000, description="The same of each API key; without keys only all are counted."
    )
    running: int = Field(2, ge=1, le=16, description="Jobs that run at a time; the others wait.")
    keep_days: float = Field(
        7.0, ge=0, le=3650, description="Days that an ended job and its audio are kept; 0 until deleted."
    )
