"""The settings of the engines, one section each.

Owns: the sections' fields and bounds, and what all sections have in common.
Refuses to know: where values come from (`settings`), and what an engine does with them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo


class Section(BaseModel):
    """One section of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def settings_of(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the settings of a section under the names that the file and the environment use."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


class ToneSettings(Section):
    """The tone engine: a demo and a load target that can misbehave on purpose."""

    delay_s: float = Field(0.0, ge=0, le=60, description="Seconds to wait before the first chunk.")
    chunk_delay_s: float = Field(0.0, ge=0, le=60, description="Seconds to wait before every further chunk.")
    fail_after_chunks: int = Field(-1, ge=-1, description="Chunks after which to fail; -1 never.")
    hang_after_chunks: int = Field(-1, ge=-1, description="Chunks after which to hang; -1 never.")
    exit_after_chunks: int = Field(-1, ge=-1, description="Chunks after which to exit; -1 never.")
    window_chunks: int = Field(0, ge=0, description="Chunks per run grant; 0 takes one grant per utterance.")
    on_cpu: bool = Field(
        default=True, description="Whether to say that it computes on the CPU, and so wait for run grants."
    )
    leak_bytes: int = Field(0, ge=0, le=1_073_741_824, description="Bytes to leak per utterance.")
    weights_bytes: int = Field(
        0, ge=0, le=1_073_741_824, description="Bytes of a file to map with the first utterance, as weights."
    )
    fail_warm_up: bool = Field(default=False, description="Whether to fail before the engine is ready.")
    warm_up_s: float = Field(0.0, ge=0, le=3600, description="Seconds to take for getting warm.")
    life_s: float = Field(0.0, ge=0, le=3600, description="Seconds after which to exit; 0 never.")
    hooks: bool = Field(
        default=False, description="Whether a text such as `__EXIT__` asks for one of these by itself."
    )


class CoquiSettings(Section):
    """The coqui engine: models that only Coqui's own code speaks, with torch."""

    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="What models compute with; `cuda` needs no run grant."
    )
    threads: int = Field(1, ge=1, le=256, description="Threads of each worker that compute.")
    memory_bytes: int = Field(
        2_147_483_648,
        ge=0,
        le=1_099_511_627_776,
        description="Bytes of models a worker keeps; the voice in use always fits.",
    )
    accept_terms: bool = Field(
        default=False,
        description="Whether you accept the terms of use of models that have some (XTTS: no commercial use).",
    )


class VitsSettings(Section):
    """The vits engine: imported neural voices without torch."""

    threads: int = Field(1, ge=1, le=64, description="Threads that compute in one worker.")
    memory_bytes: int = Field(
        156_000_000,
        ge=0,
        le=1_099_511_627_776,
        description="Bytes of voices that a worker keeps loaded, by their files; one is kept in any case.",
    )
    first_window_frames: int = Field(
        24, ge=4, le=1000, description="Model frames (about 12 ms each) computed for a first sound."
    )
    max_window_frames: int = Field(
        96,
        ge=16,
        le=1000,
        description="Model frames to which the windows computed in one go grow; "
        "1.6 times that in a request's first utterance for a listener who is alone.",
    )
