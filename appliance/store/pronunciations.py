"""The pronunciation dictionary's rows.

Owns: reading and changing them.
Refuses to know: how a word is found in a text, and what an entry may hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from appliance.store.database import Database


class Pronunciation(NamedTuple):
    """An entry, in the order of the table's columns."""

    word: str
    language: str
    """BCP 47 tag or its beginning; empty for all languages."""
    voice: str
    """A voice's id; empty for all voices."""
    spoken: str


async def list_pronunciations(database: Database) -> list[Pronunciation]:
    """Return all entries, those for every voice first.

    Raises:
        StorageError: They can't be read now.
    """
    return [Pronunciation(*row) for row in await database.read("list_pronunciations")]


async def put_pronunciations(
    database: Database, entries: Sequence[Pronunciation], *, replaces_all: bool
) -> None:
    """Add entries, or change those that are there, in one step.

    Args:
        database: The open database.
        entries: The entries.
        replaces_all: Whether all others go.

    Raises:
        StorageError: Nothing has changed.
    """
    async with database.transaction() as transaction:
        if replaces_all:
            await transaction.execute("delete_pronunciations")
        await transaction.execute_many("put_pronunciation", [entry._asdict() for entry in entries])


async def remove_pronunciation(database: Database, word: str, language: str, voice: str) -> bool:
    """Remove an entry; return whether it was there.

    Raises:
        StorageError: Nothing has changed.
    """
    values = {"word": word, "language": language, "voice": voice}
    async with database.transaction() as transaction:
        return bool(await transaction.execute("delete_pronunciation", values))
