"""Engines: code that turns an utterance into PCM.

Owns: which engines there are. Each is imported only when asked for, so that a worker holds the library of
its own engine alone.
Refuses to know: workers, wire frames, scheduling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.engines.base import Engine
from appliance.errors import ConfigurationError, EngineFailedError
from appliance.packages import HOW_TO_INSTALL

if TYPE_CHECKING:  # `coqui.espeak_program` starts for each piece of a text, and pydantic takes 0.2 s
    from appliance.settings import Settings

ENGINES = ("coqui", "espeak", "tone", "vits")
"""Names of all engines."""


def create_engine(name: str, settings: Settings) -> Engine:
    """Return the engine of this name, not yet warm.

    Args:
        name: One of `ENGINES`.
        settings: An engine takes its own section from them.

    Raises:
        ConfigurationError: No engine has this name.
        EngineFailedError: The engine's library or data is missing or broken.
    """
    if name == "tone":
        from appliance.engines.tone import ToneEngine

        return ToneEngine(settings.tone)
    if name == "espeak":
        from appliance.engines.espeak import EspeakEngine

        return EspeakEngine()
    if name == "coqui":
        return _create_coqui(settings)
    if name == "vits":
        return _create_vits(settings)
    message = f"No engine is called {name!r}; there are {', '.join(ENGINES)}"
    raise ConfigurationError(message)


def _create_coqui(settings: Settings) -> Engine:
    try:
        from appliance.engines.coqui.engine import CoquiEngine
    except ImportError as error:
        raise _not_installed(error) from None
    from appliance.voice_store import VoiceStore

    return CoquiEngine(settings.coqui, VoiceStore(settings.data.dir))


def _create_vits(settings: Settings) -> Engine:
    try:
        from appliance.engines.vits.engine import VitsEngine
    except ImportError as error:
        raise _not_installed(error) from None
    from appliance.voice_store import VoiceStore

    return VitsEngine(settings.vits, VoiceStore(settings.data.dir), settings.voices.default)


def _not_installed(error: ImportError) -> EngineFailedError:
    return EngineFailedError(f"{error.name or 'A package'} isn't installed; {HOW_TO_INSTALL}")
