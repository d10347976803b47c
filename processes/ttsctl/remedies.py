"""Commands that mend what several checks of `ttsctl doctor` find.

Owns: how this appliance is started, restarted and given changed settings, how a disk gets room, and who has a
file open.
Refuses to know: when any of that is wanted.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.running import flatten
from appliance.settings import Settings
from processes.ttsctl.config_changes import APPLIANCE, programs_of
from processes.ttsctl.patient import Patient
from processes.ttsctl.process_table import PROC

START = "make run"
APPLY = "ttsctl config apply"
UNIT = re.compile(r"/([\w@:.-]+\.service)$", re.MULTILINE)
"""The unit that a process belongs to, in its list of cgroups. Source: systemd.unit(5) for its letters."""
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Files that Docker and Podman put into a container."""
WORTH_BYTES = 67_108_864
"""Kept answers that are worth being forgotten for the room that they take."""
MAX_NAME_CHARS = 40
INIT = 1
"""The first process; whose child isn't the main process of a unit, or of a container, was started by hand."""


def shell(*words: object) -> str:
    """Return a command line for a shell, whatever stands in its words."""
    return shlex.join(map(str, words))


def as_user(user: int) -> str:
    """Return the command that has doctor look as another user."""
    return shell("sudo", "-u", f"#{user}", "ttsctl", "doctor")


def is_in_container() -> bool:
    """Tell whether this process runs in a container."""
    return any(mark.exists() for mark in CONTAINER_MARKS)


def restart(patient: Patient) -> str:
    """Return the command that starts the whole appliance anew: that of its unit, its container, or a shell's.

    Where nothing runs it is the command that starts it.
    """
    pid = patient.launcher.get("pid")
    if pid is None:
        return START
    try:
        units = UNIT.findall((PROC / str(pid) / "cgroup").read_text("utf-8", "replace"))
    except OSError:
        units = []
    parent = next((each.parent for each in patient.processes if each.pid == pid), 0)
    if units and parent == INIT:
        return f"systemctl restart {units[0]}"
    if is_in_container() and INIT in (pid, parent):
        return "docker compose restart"
    return f"kill {pid}; tail --pid={pid} -f /dev/null; {START}"


def apply_changes(patient: Patient) -> str:
    """Return the command that brings what is set by now into force, without a restart where that does it."""
    if patient.settings is None or not patient.started_with:
        return restart(patient)
    changed = changes(patient.started_with, patient.settings)
    return restart(patient) if any(APPLIANCE in programs_of(each) for each in changed) else APPLY


def changes(before: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return each setting that isn't as it was, with what it is by now.

    Args:
        before: `Patient.started_with`.
        settings: Those of now.
    """
    now = flatten(settings.model_dump(mode="json", by_alias=True))
    return {name: value for name, value in now.items() if name in before and before[name] != value}


def make_room(patient: Patient, folder: Path) -> str:
    """Return the command that gives a folder's disk room, or says what has taken it."""
    kept_bytes = (patient.cache or {}).get("files", {}).get("bytes", 0)
    if kept_bytes >= WORTH_BYTES:
        return "ttsctl cache purge"
    return f"{shell('du', '-xh', '--max-depth=2', mount_point(folder))} | sort -h | tail"


def make_writable(folder: Path) -> str:
    """Return the command that mounts a folder's disk for writing."""
    return shell("mount", "-o", "remount,rw", mount_point(folder))


def mount_point(folder: Path) -> Path:
    """Return where the file system of a folder, or of its nearest parent that is there, is mounted."""
    place = next(path for path in (folder, *folder.parents) if path.exists()).resolve()
    while not place.is_mount():
        place = place.parent
    return place


def end_holders(patient: Patient, *paths: Path) -> tuple[str, str]:
    """Return who but the appliance has one of some files open, and the command that ends them.

    Returns:
        For a person, empty where nobody is found; and a command, which looks once more as root then.
    """
    found = dict(_holders({os.fspath(path) for path in paths}, patient.pids | {os.getpid()}))
    if not found:
        return "", shell("fuser", "-v", paths[0])
    named = ", ".join(f"{name} ({pid})" for pid, name in found.items())
    return f"open in {named}", shell("kill", *found)


def _holders(paths: set[str], left_out: set[int]) -> Iterator[tuple[int, str]]:
    for entry in PROC.iterdir():
        if not entry.name.isdecimal() or int(entry.name) in left_out:
            continue
        try:
            if any(os.fspath(each.readlink()) in paths for each in (entry / "fd").iterdir()):
                yield int(entry.name), (entry / "comm").read_text("utf-8", "replace").strip()[:MAX_NAME_CHARS]
        except OSError:  # gone meanwhile, or another user's
            continue
