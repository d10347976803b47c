"""What a support bundle is made of: a part for each thing that somebody who mends from afar asks for.

Owns: the list of parts, what each holds, and that none holds a key, a text to be spoken or an environment.
Refuses to know: files, archives, bounds (`support_bundle`).

A part that can't be made is an error in the bundle's manifest and never the end of the others.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import resource
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import appliance
from appliance.errors import ConfigurationError
from appliance.lifecycle import LAUNCHER_FILE, PROGRAMS_FILE, VERDICT_FILE, read_json
from appliance.machine import available_cores, free_memory_bytes, memory_bytes
from appliance.running import flatten, read_configuration
from appliance.settings import SECRET_NAMES, Settings, load_settings
from appliance.store.backups import list_backups
from appliance.store.manifests import described
from appliance.store.migrations import SCHEMA_VERSION, schema_of
from processes.ttsctl import doctor, status
from processes.ttsctl.config_changes import HIDDEN
from processes.ttsctl.config_sides import look_at_both
from processes.ttsctl.gateway_socket import ANSWER_S, ask, ask_json, pieces
from processes.ttsctl.logs import Ring
from processes.ttsctl.outcome import CommandError
from processes.ttsctl.patient import Patient
from processes.ttsctl.store_rows import rows_now

CGROUP = Path("/sys/fs/cgroup")
CGROUP_FILES = (
    "cpu.max",
    "cpu.stat",
    "memory.max",
    "memory.current",
    "memory.events",
    "memory.stat",
    "pids.max",
)
"""Of the group that a container sees as its root. Source: the kernel's cgroup-v2.rst."""
LIMITS = ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_FSIZE")
MAX_ENTRIES = 100_000
"""Files of a folder that are counted at most."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where parts come from."""

    run_dir: Path
    patient: Patient

    @property
    def settings(self) -> Settings:
        """The settings.

        Raises:
            CommandError: They are wrong.
        """
        if self.patient.settings is None:
            raise CommandError(self.patient.settings_error, code="bad_settings")
        return self.patient.settings

    def secret_names(self) -> list[str]:
        """Return the files of keys that the settings name, those of the start too, even if they are wrong."""
        running = read_configuration(self.run_dir)
        tables = [] if running is None else [running.settings]
        with contextlib.suppress(ConfigurationError):
            tables.append(flatten(load_settings().model_dump(mode="json")))
        pairs = (pair for table in tables for pair in table.items())
        return [str(value) for name, value in pairs if SECRET_NAMES.search(name) and value]


def versions(_source: Source) -> object:
    """Name what this is made of; not the machine's name."""
    found = sorted((each.name, each.version) for each in importlib.metadata.distributions())
    return {
        "appliance": appliance.__version__,
        "schema": SCHEMA_VERSION,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "packages": dict(found),
    }


def settings(source: Source) -> object:
    """Return every setting as it would be read now, files of keys left out."""
    values = flatten(source.settings.model_dump(mode="json", by_alias=True))
    return {name: HIDDEN if SECRET_NAMES.search(name) and value else value for name, value in values.items()}


def difference(source: Source) -> object:
    """Return what has changed since the start."""
    return look_at_both(source.run_dir).difference.as_json()


def overview(source: Source) -> object:
    """Return what `ttsctl status --json` prints."""
    return status.look(source.run_dir)


def findings(source: Source) -> object:
    """Return what `ttsctl doctor --json` prints of its checks."""
    return doctor.as_json(doctor.look(doctor.CHECKS, source.patient))


def health(source: Source) -> object:
    """Return what `/health` and `/health/tts` say."""
    statuses = (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
    paths = ("/health", "/health/tts")
    return {path: ask_json(source.run_dir, "GET", path, statuses=statuses) for path in paths}


def metrics(source: Source) -> object:
    """Return the gateway's metrics as it shows them."""
    with ask(source.run_dir, "GET", "/metrics", timeout_s=ANSWER_S) as answer:
        return b"".join(pieces(answer))


def programs(source: Source) -> object:
    """Return what supervisord and the watchdog know of each program."""
    watched = read_json(source.run_dir / PROGRAMS_FILE)
    verdict = read_json(source.run_dir / VERDICT_FILE)
    return {"supervisord": source.patient.programs, "watchdog": watched, "verdict": verdict}


def launcher(source: Source) -> object:
    """Return what the launcher has written last, whether it lives or not."""
    return read_json(source.run_dir / LAUNCHER_FILE)


def logs(source: Source) -> object:
    """Return the last lines of all programs."""
    with Ring.of(source.run_dir) as ring:
        return b"".join(ring.written())


def disk(source: Source) -> object:
    """Return the room on the disks, and how much the appliance has taken."""
    data, run = source.settings.data.dir, source.settings.run.dir
    folders = {entry.name: entry for entry in sorted(data.iterdir())} if data.is_dir() else {}
    return {
        "room": {name: _room(path) for name, path in (("data.dir", data), ("run.dir", run)) if path.exists()},
        "data": {name: _size(path) for name, path in folders.items()},
        "run": {"log": _size(run / "log")},
    }


def limits(_source: Source) -> object:
    """Return what this process may use of the machine, and what a container's kernel counts."""
    found = {name: resource.getrlimit(getattr(resource, name)) for name in LIMITS}
    counted = {name: _read(CGROUP / name) for name in CGROUP_FILES}
    return {
        "cores": available_cores(),
        "memory_bytes": memory_bytes(),
        "free_memory_bytes": free_memory_bytes(),
        "load": os.getloadavg(),
        "rlimits": found,
        "cgroup": {name: text for name, text in counted.items() if text is not None},
    }


def store(source: Source) -> object:
    """Return the schema and the number of rows of each table; no row."""
    path = source.settings.store_path()
    return {"file": path.name, "schema": schema_of(path), "rows": rows_now(source.run_dir, path)}


def backups(source: Source) -> object:
    """Return what there is, without the copies of the configuration."""
    return [described(each.manifest) for each in list_backups(source.settings.backups_path())]


PARTS: dict[str, Callable[[Source], object]] = {
    "versions.json": versions,
    "settings.json": settings,
    "difference.json": difference,
    "status.json": overview,
    "doctor.json": findings,
    "health.json": health,
    "metrics.txt": metrics,
    "programs.json": programs,
    "launcher.json": launcher,
    "disk.json": disk,
    "limits.json": limits,
    "store.json": store,
    "backups.json": backups,
    "logs.jsonl": logs,
}
"""Name in the bundle → what makes it: bytes as they are, all else as JSON."""


def encode(content: object) -> bytes:
    """Return a part as it stands in the bundle."""
    if isinstance(content, bytes):
        return content
    return json.dumps(content, indent=2, ensure_ascii=False, default=str).encode() + b"\n"


def _room(path: Path) -> dict[str, int]:
    found = os.statvfs(path)
    return {
        "bytes": found.f_blocks * found.f_frsize,
        "free_bytes": found.f_bavail * found.f_frsize,
        "inodes": found.f_files,
        "free_inodes": found.f_favail,
    }


def _size(path: Path) -> dict[str, int]:
    """Return how many files there are below a path, and their bytes; names of files stay out."""
    count = size_bytes = 0
    pending = [path]
    while pending and count < MAX_ENTRIES:
        each = pending.pop()
        try:
            if each.is_dir() and not each.is_symlink():
                pending += each.iterdir()
            else:
                count, size_bytes = count + 1, size_bytes + each.lstat().st_size
        except OSError:  # gone meanwhile
            continue
    return {"files": count, "bytes": size_bytes}


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return None
