"""What `describe` is answered with: one program that holds every voice.

Owns: what a voice looks like to Wyoming's clients.
Refuses to know: which worker has a voice, and whether there is any: it is answered from memory.

Home Assistant takes the first program alone, lists its voices by their languages, shows their descriptions
and sends back their names. Source: clients.md §5.
"""

from __future__ import annotations

from wyoming.event import Event
from wyoming.info import Attribution, Info, TtsProgram, TtsVoice

import appliance
from appliance.voices import Voice, VoiceCatalog, usual_case

NAME = "tts-appliance"


class Description:
    """The answer, made anew when other voices are listed than before."""

    def __init__(self, catalog: VoiceCatalog) -> None:
        """Take where the voices are listed."""
        self._catalog = catalog
        self._listings = -1
        self._event = Event("info")

    def event(self) -> Event:
        """Return the answer; takes a millisecond where voices have changed, else none."""
        if self._listings != self._catalog.listings:
            self._listings = self._catalog.listings
            self._event = _info(self._catalog.voices()).event()
        return self._event


def _info(voices: list[Voice]) -> Info:
    program = TtsProgram(
        name=NAME,
        attribution=Attribution("TTS appliance", ""),
        installed=True,
        description="Every voice of this appliance",
        version=appliance.__version__,
        voices=[_voice(voice) for voice in voices],
        supports_synthesize_streaming=True,
    )
    return Info(tts=[program])


def _voice(voice: Voice) -> TtsVoice:
    return TtsVoice(
        name=voice.id,
        attribution=Attribution(voice.engine, ""),
        installed=True,
        description=voice.name,
        version=None,
        languages=[usual_case(tag).replace("-", "_") for tag in voice.languages],
    )
