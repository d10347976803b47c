"""The settings of voices: which are wanted, and how one is imported.

Owns: the sections' fields and bounds, the form of a model's name, the id of the voice that becomes of it.
Refuses to know: where values come from (`settings`), and what an import does.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from pydantic import Field, field_validator

from appliance.engine_settings import Section

MODEL_NAME = r"tts_models/[a-z][A-Za-z_-]{0,39}(?:/[A-Za-z0-9][A-Za-z0-9_.-]{0,79}){2}"
"""Form of the names in Coqui's list, such as `tts_models/en/ljspeech/vits`; none of them is a path that leads
anywhere. Source: `TTS/.models.json`, type/language/dataset/model."""
MAX_IMPORTS = 64
"""Models that the settings may name."""
NEEDED_BYTES = 1_181_116_006
"""1.1 GiB. Source: a full-size VITS voice took 1,072 MiB at most, 864 MiB of it its own and the rest mapped
files (docs/operate/voices.md, "What an import needs")."""
MAX_ID_CHARS = 60
"""Shorter than `VOICE_ID` allows: a speaker's id may get a number, and stands behind a voice's."""


def is_model_name(text: str) -> bool:
    """Tell whether a text has the form of a name in Coqui's list, whether or not it stands there."""
    return re.fullmatch(MODEL_NAME, text) is not None


def plain_id(name: str) -> str:
    """Return a name in lower case with nothing but ASCII letters, digits and single hyphens; may be empty."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")[:MAX_ID_CHARS].rstrip("-")


def voice_id_of(model: str) -> str:
    """Return the id of the voice that an import makes of a model, which has the form of `is_model_name`."""
    return plain_id(model.partition("/")[2])


class VoicesSettings(Section):
    """Which voices there are, and which one speaks when a client names none of ours."""

    file: str = Field("voices.toml", description="File with aliases, beside the settings file.")
    default: str = Field("en-us", min_length=1, description="Voice of the page, of probes and of ttsctl.")
    wanted: tuple[str, ...] = Field(
        (),
        alias="import",
        max_length=MAX_IMPORTS,
        description="Models of Coqui's list that are imported after the start, each once.",
    )

    @field_validator("wanted")
    @classmethod
    def _in_the_lists_form(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not is_model_name(value):
                message = f"{value[:80]!r} isn't a name such as tts_models/en/ljspeech/vits"
                raise ValueError(message)
        return values


class ImporterSettings(Section):
    """The import of a voice: what it may cost, and how close to the model it has to sound."""

    elsewhere: bool = Field(
        default=False,
        description="Whether another container imports `voices.import`, and the appliance itself doesn't.",
    )
    forms: tuple[Literal["int8", "int8-conv", "fp32"], ...] = Field(
        ("int8", "int8-conv", "fp32"),
        min_length=1,
        description="Forms of a voice that are tried; the fastest one that sounds like the model is taken, "
        "and the least quantised one where that can't be judged in its language.",
    )
    min_snr_db: float = Field(
        25.0, ge=0, le=100, description="Least signal to noise against the model's own audio, dB."
    )
    max_log_mel_db: float = Field(
        1.0, ge=0, le=100, description="Largest mean distance of the log-mel spectrograms, dB."
    )
    threads: int = Field(1, ge=1, le=256, description="Threads that compute.")
    memory_bytes: int = Field(
        6_442_450_944, ge=0, le=1_099_511_627_776, description="Memory that ends an import; 0 never."
    )
    needed_bytes: int = Field(
        NEEDED_BYTES,
        ge=0,
        le=1_099_511_627_776,
        description="Memory that must be free for an import to begin; 0 for none.",
    )
    limit_s: float = Field(
        7200.0,
        ge=1,
        le=604_800,
        description="Seconds that a voice's making may take, or its download stand still.",
    )
