"""`ttsctl support-bundle`: all that somebody needs to help from afar, in one file, and nothing secret.

Owns: the archive, its bounds and its manifest, putting keys out of sight in whatever a part holds.
Refuses to know: what a part holds (`bundle_parts`).

Works whether the appliance runs or not: what can't be made is named in the manifest.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import sys
import tarfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import appliance
from appliance.errors import ApplianceError
from appliance.keys import without_keys
from appliance.store.backups import time_stamp
from processes.ttsctl.bundle_parts import PARTS, Source, encode
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.patient import examine
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.table import format_size

FORMAT = 1
"""Of the manifest; another number means that fields have another meaning."""
MAX_PART_BYTES = 4_194_304
"""Of each part before it is compressed; of a longer one the end is kept, which of logs is the newest."""
STDOUT = "-"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the bundle, as the manifest lists it."""

    name: str
    bytes: int = 0
    sha256: str = ""
    is_cut: bool = False
    """Whether its beginning was left out."""
    error: str | None = None
    """Why it isn't there."""


def run(arguments: argparse.Namespace) -> ExitCode:
    """Make the bundle; blocks for some seconds at most, whatever is broken.

    Raises:
        CommandError: It can't be written, or a file of that name is there.
    """
    now = datetime.now(UTC)
    root = f"support-bundle-{time_stamp(now)}"
    to_stdout = arguments.path == STDOUT
    path = None if to_stdout else _target(arguments.path, root)
    archive, parts = make(find_run_dir(arguments.run_dir), root, now)
    if path is None:
        sys.stdout.buffer.write(archive)
        sys.stdout.buffer.flush()
    else:
        _write(path, archive)
    missing = {part.name: part.error for part in parts if part.error is not None}
    if arguments.json and path is not None:
        print_json({"file": str(path), "bytes": len(archive), "parts": [asdict(part) for part in parts]})
        return ExitCode.OK
    told = sys.stderr if to_stdout else sys.stdout
    for name, error in missing.items():
        print(f"without {name}: {error}", file=told)
    print(
        f"{path or 'standard output'}: {format_size(len(archive))}, {len(parts) - len(missing)} parts",
        file=told,
    )
    return ExitCode.OK


def make(run_dir: Path, root: str, now: datetime) -> tuple[bytes, list[Part]]:
    """Return the archive, and what is in it; blocks.

    Args:
        run_dir: The appliance's.
        root: The folder in the archive.
        now: The time, which every file gets.
    """
    source = Source(run_dir, examine(run_dir))
    secrets = source.secret_names()
    parts = []
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in PARTS:
            part, content = _part(name, source, secrets)
            parts.append(part)
            if part.error is None:
                _add(archive, f"{root}/{name}", content, now)
        manifest = _manifest(parts, now)
        _add(archive, f"{root}/manifest.json", without_keys(encode(manifest), secrets), now)
    return buffer.getvalue(), parts


def _part(name: str, source: Source, secrets: list[str]) -> tuple[Part, bytes]:
    try:
        content = without_keys(encode(PARTS[name](source)), secrets)
    except (CommandError, ApplianceError) as error:
        return Part(name, error=error.message), b""
    except Exception as error:  # noqa: BLE001 (what is broken on this machine mustn't cost the other parts)
        return Part(name, error=f"{type(error).__name__}: {error}"), b""
    kept = content[-MAX_PART_BYTES:]
    is_cut = len(kept) < len(content)
    if is_cut:
        kept = kept.partition(b"\n")[2]  # from a whole line on
    return Part(name, len(kept), hashlib.sha256(kept).hexdigest(), is_cut=is_cut), kept


def _manifest(parts: list[Part], now: datetime) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "created_at": now.isoformat(timespec="seconds"),
        "appliance": appliance.__version__,
        "parts": [asdict(part) for part in parts],
        "left_out": "keys, texts to be spoken, rows of the database, audio, environments, the machine's name",
    }


def _add(archive: tarfile.TarFile, name: str, content: bytes, now: datetime) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), 0o600, int(now.timestamp())
    archive.addfile(entry, io.BytesIO(content))


def _target(given: str | None, root: str) -> Path:
    """Return where the bundle goes.

    Raises:
        CommandError: Something is there already.
    """
    path = Path(given or ".")
    path = path / f"{root}.tar.gz" if path.is_dir() else path
    if path.exists():
        raise CommandError(f"{path} is there already; name another file", code="exists")
    return path


def _write(path: Path, content: bytes) -> None:
    """Put the file in its place when it is whole and on the disk; nobody else may read it.

    Raises:
        CommandError: It can't be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 (of a descriptor)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        advice = "name another place, or - for standard output"
        raise CommandError(
            f"{path}: can't be written: {error.strerror}; {advice}", code="not_written"
        ) from None
