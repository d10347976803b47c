"""What the appliance that runs was made of, so that one can see what has changed since, and go back.

Owns: `run/configuration.json` (the settings and files it was started with, or that were applied since) and
`run/pools.json` (sizes of pools that were changed since).
Refuses to know: who changes anything; secrets (of a file of keys only its mark is noted).

    launcher's start ──▶ configuration.json, no pools.json
    ttsctl scale     ──▶ pools.json
    config apply     ──▶ both
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from appliance.errors import ConfigurationError
from appliance.lifecycle import LAUNCHER_FILE, read_json, write_json
from appliance.pools import Pool
from appliance.settings import ROOT, Settings
from appliance.worker_settings import MAX_WORKERS, POOLS

CONFIGURATION_FILE = "configuration.json"
POOLS_FILE = "pools.json"
CHANGED = "changed since the start"
"""The reason for a size in `POOLS_FILE`."""
MAX_FILE_BYTES = 1_048_576
"""Of a file that is kept whole."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that a start is made of."""

    settings: dict[str, Any]
    """`section.key` → value."""
    files: dict[str, str | None]
    """The path of the settings file and of the voices file → its text; None where there is none."""
    marks: dict[str, str | None]
    """Setting → the mark of the file that it names: another mark is another content. None without a file."""


def look_at_configuration(settings: Settings) -> Configuration:
    """Return what a start now would be made of; blocks for the disk.

    Args:
        settings: As they were read, before sizes of pools were chosen.

    Raises:
        ConfigurationError: A file can't be read or is too large.
    """
    kept = (settings.config_file(), settings.config_dir() / settings.voices.file)
    warm = settings.warm_path()
    marked = {
        "http.api_keys_file": ROOT / settings.http.api_keys_file if settings.http.api_keys_file else None,
        "admin.key_file": ROOT / settings.admin.key_file if settings.admin.key_file else None,
        "tracing.headers_file": ROOT / settings.tracing.headers_file
        if settings.tracing.headers_file
        else None,
        "cache.warm_file": warm,
    }
    return Configuration(
        flatten(settings.model_dump(mode="json", by_alias=True)),
        {str(path): _text(path) for path in kept},
        {setting: None if path is None else _mark(path) for setting, path in marked.items()},
    )


def flatten(values: dict[str, Any]) -> dict[str, Any]:
    """Return `section.key` → value for sections that hold settings."""
    return {
        f"{section}.{key}": value
        for section, table in values.items()
        if isinstance(table, dict)
        for key, value in table.items()
    }


def write_configuration(run_dir: Path, configuration: Configuration) -> None:
    """Note what runs now; blocks for the disk.

    Raises:
        OSError: The run directory can't be written to.
    """
    write_json(run_dir / CONFIGURATION_FILE, asdict(configuration))


def read_configuration(run_dir: Path) -> Configuration | None:
    """Return what runs now; None where nobody has noted it."""
    found = read_json(run_dir / CONFIGURATION_FILE)
    try:
        return Configuration(**found)
    except TypeError:
        return None


def write_pools(run_dir: Path, sizes: dict[str, int]) -> None:
    """Note sizes of pools that every program's next start takes over; blocks for the disk.

    Raises:
        OSError: The run directory can't be written to.
    """
    write_json(run_dir / POOLS_FILE, dict(sizes))


def changed_sizes(run_dir: Path) -> dict[str, int]:
    """Return the sizes that were changed since the start; what is no size is left out."""
    found = read_json(run_dir / POOLS_FILE)
    return {
        engine: size
        for engine, size in found.items()
        if engine in POOLS and type(size) is int and 0 <= size <= MAX_WORKERS
    }


def running_pools(run_dir: Path, launcher: dict[str, Any] | None = None) -> tuple[Pool, ...]:
    """Return the pools of the appliance that runs; nothing where its launcher hasn't written any.

    Args:
        run_dir: Its run directory.
        launcher: What its launcher has written; None reads it.
    """
    launcher = read_json(run_dir / LAUNCHER_FILE) if launcher is None else launcher
    launched = [Pool(**each) for each in launcher.get("pools", ())]
    sizes = changed_sizes(run_dir)
    return tuple(
        replace(pool, size=sizes[pool.engine], reason=CHANGED, is_short=False)
        if sizes.get(pool.engine, pool.size) != pool.size
        else pool
        for pool in launched
    )


def with_changed_pools(settings: Settings) -> Settings:
    """Return the settings with the sizes that were changed since the start."""
    sizes = changed_sizes(settings.run.dir)
    return settings.model_copy(update={"workers": settings.workers.model_copy(update=sizes)})


def _text(path: Path) -> str | None:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            message = f"{path}: larger than {MAX_FILE_BYTES} bytes"
            raise ConfigurationError(message)
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: can't be read: {error}"
        raise ConfigurationError(message) from error


def _mark(path: Path) -> str | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
