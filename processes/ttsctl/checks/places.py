"""What `ttsctl doctor` checks of folders and disks: the run directory, the data, what is left in them.

Owns: owners and modes that are right, the shares of a disk from which somebody has to look.
Refuses to know: what is in the files (`storing`).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from appliance.lifecycle import (
    GATEWAY_SOCKET,
    NOTIFY_SOCKET,
    SOCKETS_SOCKET,
    SUPERVISOR_SOCKET,
    WORKERS_SOCKET,
)
from appliance.store.ballast import BALLAST_NAME
from processes.ttsctl.check import Check
from processes.ttsctl.checks.configuration import SETTINGS_WRONG
from processes.ttsctl.finding import Finding, failure, hint, ok, unseen, warning, worst
from processes.ttsctl.patient import Patient
from processes.ttsctl.place import CHECKOUT
from processes.ttsctl.process_table import PROC
from processes.ttsctl.remedies import as_user, make_room, make_writable, shell
from processes.ttsctl.table import format_size

RUN_FOREIGN = failure("run_directory_foreign", "the run directory belongs to another user")
RUN_OPEN = failure("run_directory_open", "others may enter the run directory, and so need no key")
DATA_FOREIGN = failure("data_directory_foreign", "the data belong to another user")
DATA_OPEN = failure("data_directory_open", "others may write into the data's folder")
DATABASE_OPEN = failure("database_open", "others may read the database")
SOCKET_REMOVED = warning(
    "socket_removed", "somebody removed a socket; its owner opens it anew within seconds"
)
SOCKET_FOREIGN = failure("socket_foreign", "what lies in a socket's place is another user's, or no socket")
CORE_FILE = warning("core_file", "a core file lies there, which holds what was spoken")
CRUMBS = hint("crumbs", "files of killed processes are left")
DISK_READONLY = failure("disk_readonly", "the disk of the data or of the run directory is read-only")
DISK_FULL = failure("disk_full", "`disk.refuse_ratio` (95 %) of the space, or 95 % of the inodes, are used")
DISK_FILLING = warning(
    "disk_filling", "`disk.alert_ratio` (80 %) of the space, or 80 % of the inodes, are used"
)
BALLAST_MISSING = warning("ballast_missing", "the space that is kept for the database on a full disk is gone")

OTHERS = stat.S_IRWXG | stat.S_IRWXO
WRITERS = stat.S_IWGRP | stat.S_IWOTH
INODES_WARN_RATIO, INODES_FAIL_RATIO = 0.80, 0.95
"""Used shares of the inodes."""
ALERT_RATIO, REFUSE_RATIO = 0.80, 0.95
"""Of the space, where the settings don't say."""
SOCKETS = {
    SUPERVISOR_SOCKET: "supervisord",
    SOCKETS_SOCKET: "launcher",
    NOTIFY_SOCKET: "watchdog",
    WORKERS_SOCKET: "gateway",
    GATEWAY_SOCKET: "gateway",
}
"""In the run directory: whose it is."""
CORE_NAME = re.compile(r"core(?:\.\d+)?")
"""Source: core(5), the default pattern, with and without `core_uses_pid`."""
HALF_WRITTEN = re.compile(r"[\w.-]+\.json\.(\d+)")
"""Of `lifecycle.write_json`, whose writer's pid it ends with."""
MAX_NAMED = 3
BALLAST_AFTER_S = 120.0
"""Seconds from the gateway's start by which there is ballast: it is looked after once a minute."""


def check_run_directory(patient: Patient) -> Finding:
    """The run directory's owner and mode."""
    try:
        found = patient.run_dir.stat()
    except FileNotFoundError:
        return ok(f"{patient.run_dir} isn't there yet")
    mode = stat.S_IMODE(found.st_mode)
    seen = f"{patient.run_dir}, user {found.st_uid}, mode {mode:04o}"
    if found.st_uid != os.geteuid():
        advice = f"run ttsctl as user {found.st_uid}, or the appliance as user {os.geteuid()}"
        return RUN_FOREIGN.found(seen, advice, as_user(found.st_uid))
    if mode & OTHERS:
        advice = "keep others out: whoever may enter needs no key"
        return RUN_OPEN.found(seen, advice, shell("chmod", "700", patient.run_dir))
    return ok(seen)


def _user(patient: Patient) -> int:
    """Return the appliance's user, to whom its run directory belongs; this process's where there is none."""
    try:
        return patient.run_dir.stat().st_uid
    except FileNotFoundError:
        return os.geteuid()


def check_data_directory(patient: Patient) -> Finding:
    """The data's owner and mode, and the database's."""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    folder, database = patient.settings.data.dir, patient.settings.store_path()
    try:
        found = folder.stat()
    except FileNotFoundError:
        return ok(f"{folder} isn't there yet")
    mode = stat.S_IMODE(found.st_mode)
    seen = f"{folder}, user {found.st_uid}, mode {mode:04o}"
    user = _user(patient)
    if found.st_uid != user:
        advice = f"run the appliance as user {found.st_uid}, or give the data to user {user}"
        command = shell("chown", "-R", user, folder) if patient.launcher else as_user(found.st_uid)
        return DATA_FOREIGN.found(seen, advice, command)
    if mode & WRITERS:
        return DATA_OPEN.found(seen, "let nobody else write there", shell("chmod", "go-w", folder))
    if database.exists() and stat.S_IMODE(database.stat().st_mode) & OTHERS:
        seen = f"{database}, mode {stat.S_IMODE(database.stat().st_mode):04o}"
        return DATABASE_OPEN.found(seen, "let nobody else read it", shell("chmod", "600", database))
    return ok(seen)


def check_sockets(patient: Patient) -> Finding:
    """The sockets of the run directory: there, ours, and sockets."""
    missing = []
    for name, owner in SOCKETS.items():
        path = patient.run_dir / name
        try:
            found = path.lstat()
        except FileNotFoundError:
            if _should_be_there(patient, owner):
                missing.append(name)
            continue
        if found.st_uid != _user(patient) or not stat.S_ISSOCK(found.st_mode):
            what = "a socket" if stat.S_ISSOCK(found.st_mode) else "no socket"
            seen = f"{path} is {what} of user {found.st_uid}"
            advice = "take it away: the appliance doesn't start over what isn't its own"
            return SOCKET_FOREIGN.found(seen, advice, shell("rm", path))
    if missing:
        advice = "find out what cleans up there; ask again in some seconds, else restart its owner"
        owner = SOCKETS[missing[0]]
        command = "ttsctl supervisorctl status" if owner == "launcher" else _restart(owner)
        return SOCKET_REMOVED.found(f"not there: {', '.join(missing)}", advice, command)
    return ok(f"{len(SOCKETS)} sockets, all ours" if patient.is_there else "nothing is in the way")


def _should_be_there(patient: Patient, owner: str) -> bool:
    if owner in ("launcher", "supervisord"):
        return bool(patient.launcher)
    return bool(patient.watched.get(owner, {}).get("state") == "RUNNING")


def _restart(owner: str) -> str:
    return "ttsctl doctor" if owner == "supervisord" else f"ttsctl supervisorctl restart {owner}"


def check_crumbs(patient: Patient) -> Finding:
    """Core files, and what killed processes have left half written."""
    folders = [CHECKOUT, patient.run_dir, *([patient.settings.data.dir] if patient.settings else [])]
    cores = [path for path in _files(folders) if CORE_NAME.fullmatch(path.name)]
    if cores:
        advice = "take it away, and have core files go nowhere: the programs of the appliance write none"
        return CORE_FILE.found(_named(cores), advice, shell("rm", *cores[:MAX_NAMED]))
    half = [path for path in _files([patient.run_dir]) if _is_left(path)]
    if half:
        advice = "take them away; they do no harm"
        return CRUMBS.found(_named(half), advice, shell("rm", *half[:MAX_NAMED]))
    return ok("none")


def _files(folders: list[Path]) -> Iterator[Path]:
    for folder in dict.fromkeys(folders):
        if folder.is_dir():
            yield from (path for path in sorted(folder.iterdir()) if path.is_file())


def _is_left(path: Path) -> bool:
    found = HALF_WRITTEN.fullmatch(path.name)
    return found is not None and not (PROC / found[1]).exists()


def _named(paths: list[Path]) -> str:
    more = f" and {len(paths) - MAX_NAMED} more" if len(paths) > MAX_NAMED else ""
    return ", ".join(map(str, paths[:MAX_NAMED])) + more


def check_disk(patient: Patient) -> Finding:
    """Space and inodes of the data and the run directory, and whether anything can be written there."""
    places = [patient.run_dir, *([patient.settings.data.dir] if patient.settings else [])]
    found = {place: next(path for path in (place, *place.parents) if path.exists()) for place in places}
    disks = {existing.stat().st_dev: (place, existing) for place, existing in found.items()}
    return worst([_disk(patient, place, existing) for place, existing in disks.values()])


def _disk(patient: Patient, place: Path, existing: Path) -> Finding:
    limits = patient.settings.disk if patient.settings else None
    alert, refuse = (limits.alert_ratio, limits.refuse_ratio) if limits else (ALERT_RATIO, REFUSE_RATIO)
    found = os.statvfs(existing)
    used = found.f_blocks - found.f_bfree
    space = used / max(1, used + found.f_bavail)
    inodes = 1 - found.f_favail / found.f_files if found.f_files else 0.0
    free = format_size(found.f_bavail * found.f_frsize)
    seen = f"{place}: {space:.0%} of the space and {inodes:.0%} of the inodes used, {free} free"
    if found.f_flag & os.ST_RDONLY:
        advice = "find out why (a failing disk gets read-only by itself), and mount it for writing"
        return DISK_READONLY.found(f"{place} is on a read-only disk", advice, make_writable(existing))
    command = make_room(patient, existing)
    if space >= refuse or inodes >= INODES_FAIL_RATIO:
        advice = f"free space on the disk of {existing} now: nothing more can be written soon"
        return DISK_FULL.found(seen, advice, command)
    if space >= alert or inodes >= INODES_WARN_RATIO:
        return DISK_FILLING.found(seen, f"free space on the disk of {existing}", command)
    return ok(seen)


def check_ballast(patient: Patient) -> Finding:
    """The space that is kept for the database on a full disk."""
    if patient.settings is None or patient.status is None:
        return unseen("no gateway looks after it")
    wanted, path = patient.settings.store.ballast_bytes, patient.settings.store_path().parent / BALLAST_NAME
    if not wanted:
        return ok("none is wanted (store.ballast_bytes)")
    size = path.stat().st_size if path.exists() else 0
    seen = f"{path}: {format_size(size)} of {format_size(wanted)}"
    if size < wanted and patient.status["uptime_s"] > BALLAST_AFTER_S:
        advice = f"make room: it comes back when there is twice as much as it takes ({format_size(wanted)})"
        return BALLAST_MISSING.found(seen, advice, make_room(patient, path.parent))
    return ok(seen)


CHECKS = {
    "run_directory": Check(
        check_run_directory, (RUN_FOREIGN, RUN_OPEN), "owner and mode of the run directory"
    ),
    "data_directory": Check(
        check_data_directory,
        (DATA_FOREIGN, DATA_OPEN, DATABASE_OPEN),
        "owner and mode of `data.dir` and of the database",
    ),
    "disk": Check(
        check_disk,
        (DISK_READONLY, DISK_FULL, DISK_FILLING),
        "space and inodes where the data and the run directory are, and whether it can be written to",
    ),
    "ballast": Check(check_ballast, (BALLAST_MISSING,), "`store.ballast_bytes` of space for a full disk"),
    "sockets": Check(
        check_sockets, (SOCKET_FOREIGN, SOCKET_REMOVED), "the sockets of the run directory: there, and ours"
    ),
    "crumbs": Check(
        check_crumbs, (CORE_FILE, CRUMBS), "core files, and half-written files of killed processes"
    ),
}
