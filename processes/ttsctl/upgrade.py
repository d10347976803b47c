"""`ttsctl upgrade --check`: whether an upgrade could go well, as far as this machine can know.

Owns: what is looked at, and saying what can't be known here.
Refuses to know: registries and networks; it changes nothing and fetches nothing.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import appliance
from appliance.errors import ConfigurationError
from appliance.settings import Settings, load_settings
from appliance.store.backups import Backup, has_room, list_backups, verify_backup
from appliance.store.errors import StorageError
from appliance.store.migrations import SCHEMA_VERSION, schema_of
from processes.ttsctl.backup import said
from processes.ttsctl.doctor import EXIT_CODES, as_json, format_findings
from processes.ttsctl.finding import Finding, Verdict, ok, worst
from processes.ttsctl.outcome import ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.process_table import adopt_environment
from processes.ttsctl.release import Release, is_older, read_release
from processes.ttsctl.table import HOUR_S, format_size, format_span

OLD_BACKUP_S = 26 * HOUR_S
"""Older than a nightly one can be. Source: docs/operate/backup.md."""
UNKNOWN = (
    "whether the release is there, signed, and made for this machine's kind of processor",
    "whether its settings are still called as yours: run ttsctl config check of the new version",
    "how long its migration takes",
)
NOT_SAID = "the release doesn't say"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is looked at."""

    settings: Settings
    release: Release | None
    """None where no file was given."""


def run(arguments: argparse.Namespace) -> ExitCode:
    """Look at everything and print it; reads the newest backup to its last byte.

    A setting that is wrong, or a release's file that can't be read, is an error of the command.
    """
    release = read_release(arguments.release) if arguments.release else None
    adopt_environment(find_run_dir(arguments.run_dir))
    with said():
        facts = Facts(load_settings(), release)
        findings = {name: check(facts) for name, check in CHECKS.items()}
    verdict = worst([*findings.values()]).verdict
    if arguments.json:
        print_json(
            {
                "verdict": verdict.value,
                "current": {"version": appliance.__version__, "schema": SCHEMA_VERSION},
                "release": None if release is None else asdict(release),
                "checks": as_json(findings)["checks"],
                "unknown": list(UNKNOWN),
            }
        )
    else:
        print(format_findings(findings))
        print("\nnot known here: " + ";\n                ".join(UNKNOWN))
    return EXIT_CODES.get(verdict, ExitCode.OK)


def check_version(facts: Facts) -> Finding:
    """Is it a later version?"""
    current = appliance.__version__
    if facts.release is None:
        return _warn(
            f"this is {current}; no release was given", "name its notes or labels with --release FILE"
        )
    version = facts.release.version
    if version is None:
        return _warn(f"this is {current}; {NOT_SAID} which one it is", "read its notes")
    seen = f"from {current} to {version}"
    if is_older(version, current):
        return _warn(f"{seen}, which is older", "going back needs a database of its schema: see schema")
    return ok(seen)


def check_min_version(facts: Facts) -> Finding:
    """May one go there in one step?"""
    least = facts.release and facts.release.min_version
    if not least:
        return _warn(f"{NOT_SAID} from which version one may come", "read its notes")
    if is_older(appliance.__version__, least):
        return _fail(f"it takes {least} or later", f"upgrade to {least} first")
    return ok(f"it takes {least} or later")


def check_schema(facts: Facts) -> Finding:
    """Does it work with the database that is there?"""
    path = facts.settings.store_path()
    there = schema_of(path)
    if there is None:
        return ok("there is no database yet") if not path.exists() else _warn("not readable", "ttsctl doctor")
    theirs = None if facts.release is None else facts.release.schema
    if theirs is None:
        return _warn(f"the database has schema {there}; {NOT_SAID} which it needs", "read its notes")
    if theirs < there:
        advice = "put back a backup from before the last upgrade (ttsctl backup list: migration)"
        return _fail(f"the database has schema {there}, and it knows no later one than {theirs}", advice)
    return ok(f"from schema {there} to {theirs}" if theirs > there else f"schema {there} stays")


def check_room(facts: Facts) -> Finding:
    """Is there room for the backup that a migration makes first?"""
    database = facts.settings.store_path()
    files = (database, database.with_name(f"{database.name}-wal"))
    copied_bytes = sum(path.stat().st_size for path in files if path.exists())
    folder = next(each for each in (facts.settings.backups_path(), *database.parents) if each.exists())
    seen = f"a backup of {format_size(copied_bytes)} before a migration"
    try:
        if has_room(folder, copied_bytes):
            return ok(f"there is room for {seen}")
    except OSError as error:
        return _warn(f"the disk can't be looked at: {error.strerror}", "ttsctl doctor")
    free = os.statvfs(folder)
    left = format_size(free.f_bavail * free.f_frsize)
    return _fail(f"no room for {seen}, with {left} free", "make room: the migration won't begin without it")


def check_backup(facts: Facts) -> Finding:
    """Is there a whole backup of today?"""
    try:
        backups = list_backups(facts.settings.backups_path())
        if not backups:
            return _warn("there is no backup", "ttsctl backup create, and copy it to another disk")
        return _judge(backups[0])
    except (StorageError, ConfigurationError) as error:
        return _fail(f"the newest backup isn't whole: {error.message}", "ttsctl backup create")


def _warn(seen: str, advice: str) -> Finding:
    return Finding(Verdict.WARN, seen, advice)


def _fail(seen: str, advice: str) -> Finding:
    return Finding(Verdict.FAIL, seen, advice)


def _judge(backup: Backup) -> Finding:
    verify_backup(backup)
    age_s = (datetime.now(UTC) - datetime.fromisoformat(backup.manifest.created_at)).total_seconds()
    seen = f"{backup.path.name} is whole, {format_span(max(0.0, age_s))} old"
    return _warn(seen, "ttsctl backup create") if age_s > OLD_BACKUP_S else ok(seen)


CHECKS: dict[str, Callable[[Facts], Finding]] = {
    "version": check_version,
    "min_version": check_min_version,
    "schema": check_schema,
    "room": check_room,
    "backup": check_backup,
}
"""By name, in the order in which they are shown."""
