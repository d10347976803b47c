"""The imports of this process's life, as `run/import.json` shows them with those of importers beside it.

Owns: what is known of each, and writing it down before it is told.
Refuses to know: how an import goes on.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from loguru import logger

from appliance.imports_beside import write_beside
from appliance.voice_imports import VoiceImport, other_importers, write_imports
from processes.importer.telling import Teller


class ImportBook:
    """Every import, by its model."""

    def __init__(self, run_dir: Path, teller: Teller, beside: Path | None = None) -> None:
        """Begin with none.

        Args:
            run_dir: The run directory, whether an appliance runs there or not.
            teller: Hears of every change.
            beside: Where an appliance that runs elsewhere looks, too; see `imports_beside.claimed`.
        """
        self._run_dir = run_dir
        self._teller = teller
        self._beside = beside
        self._entries: dict[str, VoiceImport] = {}

    def note(self, model: str, *, downloaded_bytes: int = 0, **changes: Any) -> None:
        """Change what is known of an import, or begin with one, as the only import; blocks for the disk.

        Args:
            model: Its title.
            downloaded_bytes: How much has come of a model that is being downloaded.
            changes: Fields of `VoiceImport`.
        """
        entry = replace(self._entries.get(model, VoiceImport(model)), **changes)
        # What had ended before this importer's life is gone; what ends beside it, while it waits, stays.
        others = other_importers(self._run_dir, os.getpid(), are_all=bool(self._entries))
        self._entries[model] = entry
        try:
            write_imports(self._run_dir, os.getpid(), self._entries.values(), others)
            if self._beside is not None:
                write_beside(self._beside, self._entries.values())
        except OSError as error:
            logger.warning("state_not_written", file="import.json", error=str(error))
        self._teller.changed(entry, downloaded_bytes)
