"""What an utterance's `engine_voice` says where the voice was imported.

Owns: taking the name apart.
Refuses to know: which voices there are, and who writes the name (`voice_store`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from appliance.errors import EngineFailedError
from appliance.voice_store import VOICE_ID


class VoiceChoice(NamedTuple):
    """What `engine_voice` says."""

    voice_id: str
    speaker: int
    language: str | None
    """BCP 47 tag; None for a voice with one language."""


def read_engine_voice(engine_voice: str) -> VoiceChoice:
    """Take an utterance's `engine_voice` apart; the voice needn't exist.

    Raises:
        EngineFailedError: No voice of the store could be called so.
    """
    found = re.fullmatch(rf"({VOICE_ID})/([0-9]{{1,5}})(?:/([A-Za-z0-9-]{{1,35}}))?", engine_voice)
    if found is None:
        raise EngineFailedError("No imported voice is called so")
    return VoiceChoice(found[1], int(found[2]), found[3])
