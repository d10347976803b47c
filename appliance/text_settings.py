"""The settings of what happens to a text before it is spoken.

Owns: the section's fields and bounds.
Refuses to know: where values come from (`settings`), and how a text is changed.
"""

from __future__ import annotations

from pydantic import Field

from appliance.engine_settings import Section


class TextSettings(Section):
    """What happens to a text before it is spoken."""

    make_speakable: bool = Field(default=True, description="Whether markdown and emoji become words.")
    spell_out: bool = Field(
        default=True,
        description="Whether units, dates, abbreviations and signs become words of the voice's language.",
    )
    pause_s: float = Field(0.15, ge=0, le=5, description="Seconds of silence between two sentences.")
