"""`ttsctl backup …`: make, list, verify, thin out and put back backups of the database.

Owns: the way without a running gateway (the store's lock), and what a person is told.
Refuses to know: how a backup is made, and how one is put back (`backup_restore`).
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from appliance.backup_contents import contents_of
from appliance.errors import ConfigurationError
from appliance.settings import Settings, load_settings
from appliance.store.backups import (
    Backup,
    create_backup,
    list_backups,
    prune,
    verify_backup,
)
from appliance.store.errors import StorageError
from appliance.store.manifests import described
from appliance.store.opening import StoreLock
from processes.ttsctl.backup_restore import restore
from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.process_table import adopt_environment
from processes.ttsctl.table import format_size, format_table

COLUMNS = ("BACKUP", "MADE", "REASON", "SIZE", "ROWS", "VERSION")
NEWEST = "newest"
CREATE_S = 600.0
"""Seconds that the gateway has for a backup: it copies and checks some 50 MB a second."""


def run(arguments: argparse.Namespace) -> ExitCode:
    """Do what is asked.

    Raises:
        CommandError: It can't be done.
    """
    actions: dict[str, Callable[[argparse.Namespace, Path, Settings], ExitCode]] = {
        "create": _create,
        "list": _list,
        "verify": _verify,
        "prune": _prune,
        "restore": _restore,
    }
    run_dir = find_run_dir(arguments.run_dir)
    with said():
        adopt_environment(run_dir)
        return actions[arguments.action](arguments, run_dir, load_settings())


@contextlib.contextmanager
def said() -> Iterator[None]:
    """Turn the errors of the appliance into those of a verb."""
    try:
        yield
    except ConfigurationError as error:
        raise CommandError(error.message, code=error.code, exit_code=ExitCode.BAD_CONFIGURATION) from None
    except StorageError as error:
        raise CommandError(error.message, code=error.code) from None


def _create(arguments: argparse.Namespace, run_dir: Path, settings: Settings) -> ExitCode:
    """Have the gateway make a backup; where none runs, make it under the store's lock."""
    try:
        made = ask_json(run_dir, "POST", "/admin/backups", statuses=(HTTPStatus.CREATED,), timeout_s=CREATE_S)
    except CommandError as error:
        if error.exit_code != ExitCode.DOWN:
            raise
        made = described(_create_alone(settings).manifest)
    if arguments.json:
        print_json(made)
    else:
        rows = sum(made["rows"].values())
        print(f"{made['file']}: {format_size(made['bytes'])}, {rows} rows, in {settings.backups_path()}")
    return ExitCode.OK


def _create_alone(settings: Settings) -> Backup:
    if not settings.store_path().exists():
        raise CommandError(f"there is no database at {settings.store_path()}", code="no_database")
    lock = StoreLock(settings.store_path())
    try:
        return create_backup(settings.store_path(), settings.backups_path(), "manual", contents_of(settings))
    finally:
        lock.release()


def _list(arguments: argparse.Namespace, _run_dir: Path, settings: Settings) -> ExitCode:
    """Print what there is, the newest first; whether it is whole is for `verify` to say."""
    manifests = [each.manifest for each in list_backups(settings.backups_path())]
    if arguments.json:
        found = [described(each) for each in manifests]
        print_json({"folder": str(settings.backups_path()), "backups": found})
        return ExitCode.OK
    rows = [
        (
            each.file,
            each.created_at[:19].replace("T", " "),
            each.reason,
            format_size(each.bytes),
            sum(each.rows.values()),
            each.appliance,
        )
        for each in manifests
    ]
    print(format_table(COLUMNS, rows))
    return ExitCode.OK


def _verify(arguments: argparse.Namespace, _run_dir: Path, settings: Settings) -> ExitCode:
    """Read one backup, or all of them, to the last byte; exit code 1 if one isn't whole or can't be read."""
    folder = settings.backups_path()
    chosen = list_backups(folder) if arguments.name is None else [find_backup(folder, arguments.name)]
    results: list[dict[str, Any]] = []
    for backup in chosen:
        reason = None
        try:
            verify_backup(backup)
        except (StorageError, ConfigurationError) as error:
            reason = error.message
        results.append({"file": backup.path.name, "whole": reason is None, "reason": reason})
        if not arguments.json:
            print(f"{backup.path.name}: whole" if reason is None else reason, flush=True)
    if arguments.json:
        print_json({"backups": results})
    elif not results:
        print(f"there is no backup in {folder}")
    return ExitCode.OK if all(each["whole"] for each in results) else ExitCode.FAILED


def _prune(arguments: argparse.Namespace, _run_dir: Path, settings: Settings) -> ExitCode:
    """Delete all but the last of each of so many days and weeks."""
    daily = settings.store.backup_daily if arguments.daily is None else arguments.daily
    weekly = settings.store.backup_weekly if arguments.weekly is None else arguments.weekly
    removed = prune(settings.backups_path(), daily, weekly)
    if arguments.json:
        print_json({"removed": removed})
    else:
        print("\n".join(f"{name} is removed" for name in removed) or "none is older than what stays")
    return ExitCode.OK


def _restore(arguments: argparse.Namespace, run_dir: Path, settings: Settings) -> ExitCode:
    """Put one back."""
    return restore(arguments, run_dir, settings, find_backup(settings.backups_path(), arguments.name))


def find_backup(folder: Path, name: str) -> Backup:
    """Return a backup by the name that `list` prints, or the newest.

    Raises:
        CommandError: There is none of that name.
        StorageError: The folder can't be read.
    """
    found = list_backups(folder)
    wanted = [each for each in found if name in (NEWEST, each.path.name, each.path.stem)]
    if not wanted:
        raise CommandError(f"no backup is called {name[:80]!r}: see ttsctl backup list", code="no_backup")
    return wanted[0]
