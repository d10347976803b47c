"""What a release says of itself, read from a file that was fetched with it.

Owns: the three facts, and the two forms in which they come.
Refuses to know: what follows from them (`upgrade`).

    labels of an image, as `docker image inspect IMAGE > image.json` prints them, or release notes with lines
    of the same names:

        version: 1.4.0
        min_version: 1.2.0
        schema: 7
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes.ttsctl.outcome import CommandError, ExitCode

MAX_FILE_BYTES = 1_048_576
LABELS = {
    "version": "org.opencontainers.image.version",
    "min_version": "tts-appliance.min_version",
    "schema": "tts-appliance.schema",
}
"""Fact → its label on an image. Source of the first: OCI image spec, annotations."""
LINE = re.compile(r"^[*-]?\s*`?(version|min_version|schema)`?:\s*v?([0-9.]+)\s*$", re.MULTILINE)
VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})")
SCHEMA = re.compile(r"\d{1,6}")


@dataclass(frozen=True, slots=True)
class Release:
    """The facts; None for what the file doesn't say."""

    version: str | None = None
    min_version: str | None = None
    """The oldest version that can be upgraded to it in one step."""
    schema: int | None = None
    """Of the database that it works with."""


def read_release(path: Path) -> Release:
    """Read a release's facts.

    Raises:
        CommandError: The file can't be read, or says none of them.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CommandError(f"{path}: larger than {MAX_FILE_BYTES} bytes", code="bad_release")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it isn't text"
        message = f"{path}: can't be read: {reason}"
        raise CommandError(message, code="bad_release", exit_code=ExitCode.FAILED) from None
    facts = _facts(text)
    version, least, schema = (facts.get(name, "") for name in LABELS)
    found = Release(
        version if VERSION.fullmatch(version) else None,
        least if VERSION.fullmatch(least) else None,
        int(schema) if SCHEMA.fullmatch(schema) else None,
    )
    if found == Release():
        named = ", ".join(LABELS)
        message = f"{path}: names none of {named}; give release notes, or what docker image inspect prints"
        raise CommandError(message, code="bad_release")
    return found


def is_older(version: str, other: str) -> bool:
    """Return whether a version comes before another one; both are three numbers with dots."""
    return _numbers(version) < _numbers(other)


def _numbers(version: str) -> tuple[int, ...]:
    found = VERSION.match(version)
    return tuple(map(int, found.groups())) if found else ()


def _facts(text: str) -> dict[str, str]:
    try:
        values: Any = json.loads(text)
    except ValueError:
        return dict(LINE.findall(text))
    first = values[0] if isinstance(values, list) and values else values
    config = first.get("Config") if isinstance(first, dict) else None
    labels = config.get("Labels") if isinstance(config, dict) else None
    if not isinstance(labels, dict):
        return {}
    return {fact: str(labels.get(label, "")).removeprefix("v") for fact, label in LABELS.items()}
