"""The settings of the cache of answers.

Owns: the section's fields and bounds.
Refuses to know: where values come from (`settings`), and what is kept.
"""

from __future__ import annotations

from pydantic import Field, field_validator

from appliance.engine_settings import Section


class CacheSettings(Section):
    """Answers that are kept, so that what was spoken before plays at once."""

    speech: bool = Field(
        default=True,
        description="Whether POST answers are kept, equal ones at one time spoken once, and files written.",
    )
    memory_bytes: int = Field(
        33_554_432, ge=0, le=1_073_741_824, description="Bytes of answers kept in memory, of GET and POST."
    )
    answer_bytes: int = Field(
        4_194_304, ge=1_024, le=268_435_456, description="Bytes of a POST answer that is kept, at most."
    )
    unsent_bytes: int = Field(
        67_108_864,
        ge=1_048_576,
        le=4_294_967_296,
        description="Bytes of audio held for clients that take it slowly, beyond what is kept; above it, and"
        " above memory_bytes and answer_bytes, the slowest is cut off.",
    )
    disk_bytes: int = Field(
        1_073_741_824,
        ge=0,
        le=1_099_511_627_776,
        description="Bytes of answers kept in data.dir/cache; 0 keeps no files.",
    )
    days: float = Field(30.0, gt=0, le=3650, description="Days that a file stays which nobody asks for.")
    warm_file: str = Field(
        "",
        description="File beside the settings file, of JSON objects as POST takes them, one a line, that are"
        " spoken at the start; empty for none.",
    )

    @field_validator("warm_file")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if "/" in value or "\0" in value or value in (".", ".."):
            raise ValueError("must be a file's name, without a folder")
        return value
