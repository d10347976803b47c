"""The files that a model's config names, each by its bare name inside the voice's own folder.

Owns: which fields of a Coqui config name files, and that none of them leads out of the folder.
Refuses to know: what is in the files, and what else a config says.

A config comes from whoever trained the model, with the paths of that person's machine. Coqui opens what
stands there, also `http://` and `zip://` (through fsspec), relative to wherever the process was started. So
every such field is set anew, from what lies in the folder: a file of the same bare name, or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

from appliance.voice_store import FILE_NAME

_PATH_FIELD = re.compile(r"(?:^|_)(?:file|files|path|paths|dir|wav)$")
"""Fields whose texts are paths. Source: the classes in TTS.config, TTS.tts.configs, TTS.vocoder.configs."""
_FILE_NAME = re.compile(FILE_NAME)


def settle_paths(config: Any, folder: Path, *, absolute: bool) -> Any:
    """Return a config whose paths name files of a folder, or nothing.

    Args:
        config: What `config.json` holds, as JSON values; left as it is.
        folder: The voice's folder.
        absolute: Whether the paths lead to the folder, for Coqui to open; else they are bare names.
    """

    def settle(text: str) -> str:
        path = _inside(folder, text)
        if path is None:
            return ""
        return str(path.resolve()) if absolute else path.name

    return _replaced(config, settle)


def named_files(config: Any, folder: Path) -> list[Path]:
    """Return the files of a folder that a config names, each once, sorted."""
    found: set[Path] = set()

    def note(text: str) -> str:
        found.update(filter(None, [_inside(folder, text)]))
        return text

    _replaced(config, note)
    return sorted(found)


def _inside(folder: Path, text: str) -> Path | None:
    """Return the folder's own file of this bare name; None where there is none, or a link or a folder."""
    name = PurePath(text.replace("\\", "/")).name
    path = folder / name
    is_one = _FILE_NAME.fullmatch(name) is not None and path.is_file() and not path.is_symlink()
    return path if is_one else None


def _replaced(value: Any, settle: Callable[[str], str], field: str = "") -> Any:
    """Return a copy with every text of a path's field replaced; lists belong to the field they stand in."""
    match value:
        case dict():
            return {name: _replaced(each, settle, str(name)) for name, each in value.items()}
        case list():
            return [_replaced(each, settle, field) for each in value]
        case str() if _PATH_FIELD.search(field):
            return settle(value)
        case _:
            return value
