"""The second file of a backup: what its copy holds, and what is covered beside the database.

Owns: the manifest's fields, and the hash of the configuration in it.
Refuses to know: the copy itself (`backups`), and which files and voices there are.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from appliance.lifecycle import read_json


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup covers beside the database."""

    config: dict[str, str] = field(default_factory=dict)
    """Text of each file of the configuration, by its name; no file of keys."""
    voices: dict[str, str] = field(default_factory=dict)
    """Model of each imported voice, by its id, so that it can be imported again."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup's second file says of it."""

    file: str
    created_at: str
    """UTC, RFC 3339."""
    reason: str
    """Why it was made: `manual`, `nightly`, `migration`, `restore`."""
    sha256: str
    bytes: int
    user_version: int
    application_id: int
    rows: dict[str, int]
    """Number of rows by table."""
    sqlite: str
    """Version of SQLite that wrote it."""
    appliance: str
    """Version of the appliance that made it."""
    config: dict[str, str]
    """As in `Contents`."""
    config_sha256: str
    voices: dict[str, str]
    """As in `Contents`."""


NOTHING_BESIDE = Contents()


def described(manifest: Manifest) -> dict[str, Any]:
    """Return what a program is told of a backup: its manifest, with names only of the configuration."""
    return asdict(manifest) | {"config": sorted(manifest.config)}


def config_sha256(config: dict[str, str]) -> str:
    """Return the hash of a configuration's files, as it stands in a manifest."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def beside(contents: Contents) -> dict[str, Any]:
    """Return the fields of a manifest about what a backup covers beside the database."""
    return {
        "config": contents.config,
        "config_sha256": config_sha256(contents.config),
        "voices": contents.voices,
    }


def manifest_path_of(path: Path) -> Path:
    """Return where a backup's manifest lies."""
    return path.with_suffix(".json")


def read_manifest(path: Path) -> Manifest | None:
    """Return a backup's manifest; None where there is none that can be read."""
    values = read_json(manifest_path_of(path))
    try:
        manifest = Manifest(**{field.name: values[field.name] for field in fields(Manifest)})
        created_at = datetime.fromisoformat(manifest.created_at)
    except (KeyError, TypeError, ValueError):
        return None
    return manifest if manifest.file == path.name and created_at.tzinfo is not None else None
