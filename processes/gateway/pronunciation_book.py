"""The pronunciation dictionary of a running gateway.

Owns: the entries in force, which of them count for a voice, and the name of what counts, for answers that are
kept.
Refuses to know: SQL (`appliance.store.pronunciations`), HTTP (`dictionary_admin`).

It is read when the store opens, and anew after each change, so that a change counts with the next request.
Until the store is open there are no entries.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from appliance.speech import NO_PRONUNCIATIONS, Pronunciations
from appliance.store.database import Database
from appliance.store.pronunciations import Pronunciation, list_pronunciations
from appliance.voices import Voice

MAX_ENTRIES = 2_000


class PronunciationBook:
    """The entries, ready to be asked; all of it happens in the event loop's thread."""

    def __init__(self) -> None:
        """Begin without any entry."""
        self.entries: Sequence[Pronunciation] = ()
        self.changes = 0
        """How often entries were taken."""
        self.loaded = asyncio.Event()
        """Set from the first time on."""
        self._by_voice: dict[str, Pronunciations] = {}

    async def load(self, database: Database) -> None:
        """Take the entries of a database.

        Raises:
            StorageError: They can't be read; those of before stay.
        """
        self.entries = await list_pronunciations(database)
        self._by_voice = {}
        self.changes += 1
        self.loaded.set()

    def of(self, voice: Voice) -> Pronunciations:
        """Return what counts for a voice: its own entries before those of its language before all others."""
        found = self._by_voice.get(voice.id)
        if found is None:
            found = self._by_voice[voice.id] = self._collected(voice)
        return found

    def _collected(self, voice: Voice) -> Pronunciations:
        tag = f"{voice.languages[0].lower() if voice.languages else ''}-"
        names = {voice.id, voice.id.partition("+")[0]}
        words = {
            entry.word: entry.spoken
            for entry in sorted(self.entries, key=_rank)
            if (not entry.voice or entry.voice in names)
            and (not entry.language or tag.startswith(f"{entry.language}-"))
        }
        if not words:
            return NO_PRONUNCIATIONS
        return Pronunciations(hashlib.sha256(repr(sorted(words.items())).encode()).hexdigest(), words)


def _rank(entry: Pronunciation) -> tuple[bool, int]:
    return bool(entry.voice), len(entry.language)
