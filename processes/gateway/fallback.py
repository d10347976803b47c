"""Who speaks in the place of a voice that can't.

Owns: for which errors another voice speaks.
Refuses to know: how a request is spoken (`speech`) and counted (`record`), and which voice takes whose place
(`VoiceCatalog`).

What is wrong with the request itself is never mended so, and what a client may ask for is used up for every
voice alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import ApplianceError
from appliance.metrics import FALLBACK_REASONS, UNKNOWN_ENGINE
from appliance.voices import Voice, VoiceCatalog

FALLBACK_HEADER = "X-Voice-Fallback"
"""On every answer that a fallback spoke: the id of that voice."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A voice that couldn't speak itself."""

    voice_id: str
    reason: str
    """Code of the error that a client was spared; one of `FALLBACK_REASONS`."""
    engine: str
    """The voice's own, or `UNKNOWN_ENGINE`."""


class Fallbacks:
    """Finds who speaks instead."""

    def __init__(self, catalog: VoiceCatalog) -> None:
        """Take who knows the voices."""
        self._catalog = catalog

    def has_one(self, voice: Voice) -> bool:
        """Return whether anybody would speak in the place of a voice."""
        return self._catalog.fallback_of(voice) is not None

    def replace(self, voice: Voice, error: ApplianceError) -> tuple[Voice, Replaced]:
        """Find who speaks in the place of a voice that can't for an error.

        Raises:
            ApplianceError: The error itself, where no other voice mends it.
        """
        return _replaced(self._catalog.fallback_of(voice), voice.id, voice.engine, error)

    def replace_absent(
        self, name: str, error: ApplianceError, *, is_expected: bool
    ) -> tuple[Voice, Replaced]:
        """Find who speaks in the place of a voice that isn't there.

        Args:
            name: As a client has named it.
            error: What is said of that.
            is_expected: Whether it may be there soon; if not, it must be entered by its whole name.

        Raises:
            ApplianceError: The error itself, where no other voice mends it.
        """
        voice = self._catalog.fallback_of_absent(name, is_expected=is_expected)
        return _replaced(voice, name, UNKNOWN_ENGINE, error)


def _replaced(
    voice: Voice | None, voice_id: str, engine: str, error: ApplianceError
) -> tuple[Voice, Replaced]:
    if voice is None or error.code not in FALLBACK_REASONS:
        raise error
    return voice, Replaced(voice_id, error.code, engine)
