"""What `ttsctl doctor` checks of what is kept: the database, backups, jobs, answers.

Owns: which of their states are well, how old a backup may be, what to do about each.
Refuses to know: SQL, and how anything is written. A database that is in use isn't opened.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.diagnoses import REMEDIES
from appliance.errors import ConfigurationError
from appliance.store.backups import Backup, list_backups, verify_backup
from appliance.store.check import check_file
from appliance.store.errors import StorageError, StoreCorruptError
from processes.ttsctl.check import Check
from processes.ttsctl.checks.configuration import SETTINGS_WRONG
from processes.ttsctl.finding import Finding, failure, hint, ok, unseen, warning
from processes.ttsctl.patient import Patient
from processes.ttsctl.process_table import GATEWAY
from processes.ttsctl.remedies import end_holders, make_room, make_writable, shell
from processes.ttsctl.table import format_size, format_span

STATES = {
    "restored": warning(
        "store_restored", "the database was broken or gone, and a backup has taken its place"
    ),
    "lost": failure("store_lost", "the database was broken or gone, no backup was whole, and it is empty"),
    "full": failure("store_full", "the database's disk is full; rows wait in memory"),
    "readonly": failure("store_readonly", "the database's disk can't be written to; rows wait in memory"),
    "busy": failure("store_busy", "another program has held the database for longer than 5 s"),
    "stalled": failure("store_stalled", "a write has waited for the disk for longer than 11 s"),
    "log_large": warning("store_log_large", "the write-ahead log has more than 64 MiB"),
    "removed": warning("store_removed", "somebody has removed or replaced a file of the database"),
    "corrupt": failure("store_corrupt", "the database is damaged"),
    "failed": failure("store_failed", "the database can't be read or opened"),
}
"""`db.state` of `/health` → what is wrong."""
WELL = ("ok", "opening")
STORE_UNKNOWN = warning("store_unknown", "the database is in a state that this command doesn't know")
DATABASE_BROKEN = failure("database_broken", "nothing runs, and the database isn't one")
ASIDE = hint("database_aside", "a broken or replaced database lies beside the one in use")
UNRECORDED = hint("rows_unrecorded", "requests of a killed gateway have no row in the history")
LEDGER_UNWRITTEN = warning("ledger_unwritten", "lines of `log.ledger_file` couldn't be written")
BACKUP_DAMAGE = failure(
    "backup_found_damage", "a backup found the database damaged where a start doesn't look"
)
BACKUP_FAILED = warning("backup_failed", "the last backup has failed")
BACKUP_BROKEN = warning("backup_broken", "the newest backup isn't whole")
BACKUP_UNREADABLE = warning("backup_unreadable", "the backups can't be read")
BACKUP_STALE = warning("backup_stale", "the newest backup is older than 26 hours")
BACKUP_NEVER = warning("backup_never", "there is no backup, though the gateway has run for 26 hours")
BACKUP_OFF = hint("backup_off", "no nightly backup is set")
BACKUP_HERE = hint("backup_same_disk", "the backups lie on the database's own disk")
JOBS_HELD = warning("jobs_held", "jobs wait for something that passes")
JOB_FAILED = warning("job_failed", "a job has failed within the last day")
CACHE_FAILED = warning("cache_failed", "the disk of kept answers fails; requests are spoken all the same")

STALE_S = 26 * 3600.0
"""A night and the time that a backup takes."""
DAY_S = 86_400.0
VERIFIED_BYTES = 67_108_864
"""A larger backup isn't read whole here; `ttsctl backup verify` does."""
ASIDE_MARKS = ("corrupt", "replaced")
BY_ITSELF = "requested"
"""The reason of a job that somebody has paused."""
NO_GATEWAY = "the gateway doesn't answer"
DISK_ERRORS = "dmesg --level=err,warn | tail -20"
MAX_NAMED = 3


def check_database(patient: Patient) -> Finding:
    """What the gateway says of the database, or its first bytes where no gateway has it open."""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    path = patient.settings.store_path()
    if patient.health is None:
        return unseen(NO_GATEWAY) if patient.has_process(GATEWAY) else _closed(path)
    database = patient.health["db"]
    state, since = database["state"], database["since"]
    if state in WELL:
        return ok(f"{state} since {since}, SQLite {database['sqlite']}")
    evidence, advice, command = _store_remedy(patient, state, path)
    seen = f"{state} since {since}{f', {evidence}' if evidence else ''}"
    return STATES.get(state, STORE_UNKNOWN).found(seen, advice, command)


def _closed(path: Path) -> Finding:
    if not path.exists():
        return ok(f"{path} isn't there yet")
    try:
        check_file(path)
    except StoreCorruptError as error:
        advice = "the next start moves it aside, and puts the newest whole backup in its place"
        return DATABASE_BROKEN.found(f"{path}: {error.message}", advice, "ttsctl backup verify")
    return ok(f"{path}, {format_size(path.stat().st_size)}")


def _store_remedy(patient: Patient, state: str, path: Path) -> tuple[str, str, str]:
    """Return more evidence of a state, what to do about it, and the command for that."""
    if state in ("busy", "log_large"):
        evidence, command = end_holders(patient, path, path.with_name(f"{path.name}-wal"))
        return evidence, "end who keeps it, or the transaction: it goes on by itself", command
    folder = path.parent
    remedies = {
        "full": ("make room: it goes on by itself within seconds", make_room(patient, folder)),
        "readonly": ("mount it for writing: it goes on by itself", make_writable(folder)),
        "removed": ("find out who: it is saved and opened anew by itself", shell("ls", "-l", folder)),
        **{name: REMEDIES[fault.code] for name, fault in STATES.items() if fault.code in REMEDIES},
    }
    return "", *remedies.get(state, ("see what ails the disk: it goes on by itself", DISK_ERRORS))


def check_aside(patient: Patient) -> Finding:
    """Databases that were moved aside."""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    path = patient.settings.store_path()
    found = [each for mark in ASIDE_MARKS for each in path.parent.glob(f"{path.name}.{mark}-*Z")]
    if not found:
        return ok("none was moved aside")
    named = ", ".join(each.name for each in found[:MAX_NAMED])
    advice = "delete it once nothing in it is wanted any more; the newest three of each stay"
    return ASIDE.found(named, advice, shell("rm", *found[:MAX_NAMED]))


def check_history(patient: Patient) -> Finding:
    """Requests without a row, lines of the ledger that couldn't be written."""
    if patient.status is None:
        return unseen(NO_GATEWAY)
    unwritten = patient.sample("tts_ledger_errors_total")
    if unwritten and patient.settings is not None and (path := patient.settings.ledger_path()):
        advice = "see its disk; requests go on"
        seen = f"{unwritten:.0f} lines of {path} couldn't be written"
        return LEDGER_UNWRITTEN.found(seen, advice, shell("df", "-h", path.parent))
    missing = patient.sample("tts_history_unrecorded_total")
    if missing:
        seen = f"{missing:.0f} requests of a killed gateway have no row"
        advice = "nothing: they were answered, or their clients saw the end; see deaths"
        return UNRECORDED.found(seen, advice, "ttsctl status")
    return ok("every accepted request has its row")


def check_backups(patient: Patient) -> Finding:
    """When the last backup was made, how it went, and whether it is whole."""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    said = (patient.health or {}).get("backup", {})
    if said.get("last") == "damaged":
        remedy = REMEDIES[BACKUP_DAMAGE.code]
        seen = "the last backup found damage in the database"
        return BACKUP_DAMAGE.found(seen, remedy.advice, remedy.command)
    if said.get("last") == "failed":
        remedy = REMEDIES[BACKUP_FAILED.code]
        return BACKUP_FAILED.found("the last backup has failed", remedy.advice, remedy.command)
    try:
        found = list_backups(patient.settings.backups_path())
    except StorageError as error:
        command = shell("ls", "-l", patient.settings.backups_path())
        return BACKUP_UNREADABLE.found(error.message, "see the disk, and who owns the folder", command)
    return _newest(patient, found[0]) if found else _without(patient, said)


def _newest(patient: Patient, newest: Backup) -> Finding:
    manifest = newest.manifest
    try:
        if manifest.bytes <= VERIFIED_BYTES:
            verify_backup(newest)
        elif newest.path.stat().st_size != manifest.bytes:
            raise StoreCorruptError(
                f"{newest.path.name}: it isn't the file that its manifest was written for"
            )
    except ConfigurationError:
        return ok(f"{newest.path.name} is of a later version")
    except StorageError as error:
        return BACKUP_BROKEN.found(error.message, "have another one made", "ttsctl backup create")
    age_s = time.time() - datetime.fromisoformat(manifest.created_at).timestamp()
    seen = f"{newest.path.name}, {format_span(max(0.0, age_s))} old, {format_size(manifest.bytes)}"
    if age_s > STALE_S and patient.settings is not None and patient.settings.store.backup_at:
        return BACKUP_STALE.found(seen, "make one, and see backup_failed in the log", "ttsctl backup create")
    return ok(seen)


def _without(patient: Patient, said: dict[str, Any]) -> Finding:
    if patient.settings is not None and not patient.settings.store.backup_at:
        advice = "set store.backup_at, unless others back the data up"
        return BACKUP_OFF.found("none, and no nightly one is set", advice, "ttsctl backup create")
    if (patient.status or {}).get("uptime_s", 0.0) > STALE_S:
        return BACKUP_NEVER.found(
            "none", "make one, and see backup_failed in the log", "ttsctl backup create"
        )
    return ok(f"none yet{', the next is due at ' + said['next'] if said.get('next') else ''}")


def check_backup_disk(patient: Patient) -> Finding:
    """Are the backups on another disk than the database?"""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    folder, database = patient.settings.backups_path(), patient.settings.store_path()
    if not folder.exists() or not database.exists():
        return ok("there are none yet")
    if folder.stat().st_dev == database.stat().st_dev:
        advice = "copy them elsewhere from time to time: they don't help against a broken disk"
        return BACKUP_HERE.found(
            f"{folder} is on the database's disk", advice, f"{shell('cp', '-a', folder)} TARGET"
        )
    return ok(f"{folder} is on a disk of its own")


def check_jobs(patient: Patient) -> Finding:
    """Jobs that wait, and why; jobs that have failed."""
    if patient.paused_jobs is None or patient.failed_jobs is None:
        return unseen(NO_GATEWAY if patient.health is None else "the database doesn't answer, see database")
    held = [each for each in patient.paused_jobs["data"] if each["reason"] != BY_ITSELF]
    if held:
        reason = held[0]["reason"]
        seen = f"{len(held)} wait, the newest ({held[0]['id']}) for {reason}"
        return JOBS_HELD.found(
            seen, "mend what it waits for: it goes on by itself", _held_remedy(patient, held[0])
        )
    since = time.time() - DAY_S
    failed = [each for each in patient.failed_jobs["data"] if _ended_at(each) > since]
    if failed:
        newest = failed[0]
        seen = f"{len(failed)} failed within a day, the newest ({newest['id']}) with {newest['reason']}"
        advice = "see what its reason means (docs/errors.md), and try again; or cancel it, which deletes it"
        return JOB_FAILED.found(seen, advice, f"ttsctl jobs retry {newest['id']}")
    return ok("none waits for what passes, none has failed within a day")


def _held_remedy(patient: Patient, job: dict[str, Any]) -> str:
    folder = patient.settings.data.dir if patient.settings else patient.run_dir
    match job["reason"]:
        case "storage_full":
            return make_room(patient, folder)
        case "storage_readonly":
            return make_writable(folder)
        case "draining":
            return "ttsctl drain off"
        case "maintenance":
            return "ttsctl maintenance off"
        case "no_workers":
            return "ttsctl status"
        case _:
            return f"ttsctl jobs show {job['id']}"


def _ended_at(job: dict[str, Any]) -> float:
    if not job.get("ended_at"):
        return 0.0
    return datetime.fromisoformat(job["ended_at"]).astimezone(UTC).timestamp()


def check_cache(patient: Patient) -> Finding:
    """The disk of kept answers."""
    if patient.cache is None or patient.settings is None:
        return unseen(NO_GATEWAY)
    files = patient.cache["files"]
    seen = f"{files['answers']} answers in {format_size(files['bytes'])} of files, {files['state']}"
    if files["state"] in ("ok", "off"):
        return ok(seen)
    folder = patient.settings.data.dir / "cache"
    advice = "see its disk: it is tried again by itself"
    commands = {
        "No space left on device": make_room(patient, folder),
        "Read-only file system": make_writable(folder),
    }
    return CACHE_FAILED.found(seen, advice, commands.get(files["state"], DISK_ERRORS))


CHECKS = {
    "database": Check(
        check_database,
        (*STATES.values(), STORE_UNKNOWN, DATABASE_BROKEN),
        "what the gateway says of the database, or its first bytes where nothing runs",
    ),
    "moved_aside": Check(check_aside, (ASIDE,), "databases that were moved aside"),
    "history": Check(check_history, (LEDGER_UNWRITTEN, UNRECORDED), "rows and lines that are missing"),
    "backups": Check(
        check_backups,
        (
            BACKUP_DAMAGE,
            BACKUP_FAILED,
            BACKUP_BROKEN,
            BACKUP_UNREADABLE,
            BACKUP_STALE,
            BACKUP_NEVER,
            BACKUP_OFF,
        ),
        "the newest backup: its age, and whether it is whole (up to 64 MiB to the last byte)",
    ),
    "backup_disk": Check(check_backup_disk, (BACKUP_HERE,), "whether the backups are on another disk"),
    "jobs": Check(check_jobs, (JOBS_HELD, JOB_FAILED), "jobs that wait, and why; jobs that have failed"),
    "cache": Check(check_cache, (CACHE_FAILED,), "the disk of kept answers"),
}
