"""`ttsctl backup restore`: a backup in the database's place, or everything as it was.

Owns: the order: verified, gateway stopped, swapped, gateway started and asked, else all the way back.
Refuses to know: what happens to the files (`appliance.store.restoring`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from appliance.backup_contents import contents_of
from appliance.errors import ConfigurationError
from appliance.settings import Settings
from appliance.store.backups import Backup, verify_backup
from appliance.store.check import rows_of
from appliance.store.errors import StorageError, StoreBusyError
from appliance.store.opening import StoreLock
from appliance.store.restoring import RestorePoint, begin, give_back, swap
from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.programs import ALREADY_STARTED, NOT_RUNNING, STOP_S, call, supervisor_of, undisturbed
from processes.ttsctl.store_rows import rows_now
from processes.ttsctl.table import NOTHING, format_table

GATEWAY = "gateway"
RUNNING_STATES = ("RUNNING", "STARTING", "BACKOFF")
COLUMNS = ("TABLE", "ROWS NOW", "ROWS THEN")
CHECK_S = 30.0
"""Seconds that the gateway has to open the database, and for each `CHECKED_BYTES_PER_S` bytes one more.

As many it has then to serve again, which doesn't depend on the database's size.
"""
CHECKED_BYTES_PER_S = 10_000_000
READ = ("/v1/history?limit=1", "/v1/jobs?limit=1")
"""What has to be answered from the database afterwards."""
PAUSE_S = 0.1
WELL = ("ok", "log_large")
BAD = ("restored", "lost", "corrupt", "failed", "readonly", "full")
SERVING = ("ok", "degraded", "overloaded")


def restore(arguments: argparse.Namespace, run_dir: Path, settings: Settings, backup: Backup) -> ExitCode:
    """Put a backup back; blocks until the gateway works with it, or with what was there before.

    Raises:
        CommandError: It was refused and nothing has changed, or everything is as before again.
        StorageError: Nothing has changed.
        ConfigurationError: The backup is one of a later version.
    """
    verify_backup(backup)
    differing = _differing(settings, backup)
    if not arguments.json:
        print(f"{backup.path.name} is whole; configuration that differs: {', '.join(differing) or NOTHING}")
    point = None
    if arguments.dry_run:
        rows_before = _rows_now(run_dir, settings.store_path())
    else:
        work = _Restore(run_dir, settings, backup)
        point, rows_before = work.run(), work.rows_before
    rows, kept = {"now": rows_before, "then": backup.manifest.rows}, _name(point)
    if arguments.json:
        done = {"restored": backup.path.name, "dry_run": arguments.dry_run, "restore_point": kept}
        print_json({**done, "rows": rows, "config_differs": differing})
        return ExitCode.OK
    tables = sorted({*rows["now"], *rows["then"]})
    lines = [(each, rows["now"].get(each), rows["then"].get(each)) for each in tables]
    print(f"\n{format_table(COLUMNS, lines)}")
    if point is not None:
        print(f"\n{backup.path.name} is the database now; what was there is kept as {kept or NOTHING}")
    return ExitCode.OK


class _Restore:
    """One restore; nobody disturbs it between the gateway's stop and its start."""

    def __init__(self, run_dir: Path, settings: Settings, backup: Backup) -> None:
        self._run_dir = run_dir
        self._settings = settings
        self._backup = backup
        self._database = settings.store_path()
        self._stop_s = settings.dispatch.drain_s + STOP_S
        self.rows_before: dict[str, int] = {}
        """Number of rows by table of what was there; nothing where it can't be read."""

    def run(self) -> RestorePoint:
        """Do all of it; return what is kept of the database before."""
        contents = contents_of(self._settings)
        with undisturbed():
            was_serving = self._is_serving()
            try:
                has_gateway = self._stop()
            except CommandError as error:
                raise CommandError(f"{error.message}, so nothing was restored", code=error.code) from None
            try:
                lock = StoreLock(self._database)
                try:
                    self.rows_before = _counted(self._database)
                    point = begin(self._backup, self._database, contents)
                    self._swap(point)
                finally:
                    lock.release()
            except BaseException:
                if has_gateway:
                    self._start()
                raise
            if has_gateway:
                self._check(point, was_serving=was_serving)
        return point

    def _swap(self, point: RestorePoint) -> None:
        try:
            swap(self._backup, self._database)
        except (StorageError, ConfigurationError) as error:
            raise self._given_back(point, error.message) from error

    def _given_back(self, point: RestorePoint, reason: str) -> CommandError:
        """Put everything back as it was; return what is to be said of it."""
        try:
            give_back(point, self._backup, self._database, reason)
        except StorageError as error:
            return self._stuck(point, reason, error, place="may still be")
        return CommandError(f"{reason}; everything is as it was before", code="restore_returned")

    def _stuck(
        self, point: RestorePoint, reason: str, error: CommandError | StorageError, *, place: str
    ) -> CommandError:
        """Return what is to be said where there is no way back now: what lies where, and what to do."""
        if point.backup is not None:
            name = point.backup.path.name
            kept = f"what was there is kept as {name}: ttsctl backup restore {name} puts it back"
        elif point.replaced:
            kept = f"what was there lies beside it as {point.replaced}: rename it, with the gateway stopped"
        else:
            kept = "nothing was there before"
        message = (
            f"{reason}; and that can't be taken back now: {error.message}; "
            f"{self._backup.path.name} {place} the database; {kept}"
        )
        return CommandError(message, code="restore_stuck")

    def _check(self, point: RestorePoint, *, was_serving: bool) -> None:
        """Start the gateway and see it work with the database, else put everything back.

        Raises:
            CommandError: It was put back, or couldn't be.
        """
        self._start()
        reason = self._fault()
        if not reason and was_serving and not _until(self._is_serving, CHECK_S):
            reason = f"the appliance served before, and doesn't within {CHECK_S:.0f} s after the restore"
        if not reason:
            return
        try:
            raise self._way_back(point, reason)
        finally:
            self._start()

    def _way_back(self, point: RestorePoint, reason: str) -> CommandError:
        """Stop the gateway and put everything back as it was; return what is to be said of it."""
        try:
            self._stop()
            lock = StoreLock(self._database)
        except (CommandError, StorageError) as error:
            return self._stuck(point, reason, error, place="is")
        try:
            return self._given_back(point, reason)
        finally:
            lock.release()

    def _fault(self) -> str:
        """Return why the gateway doesn't work with the database; nothing when it does."""
        seen = ""
        limit_s = CHECK_S + self._backup.manifest.bytes / CHECKED_BYTES_PER_S

        def is_decided() -> bool:
            nonlocal seen
            seen = str(self._health().get("db", {}).get("state", ""))
            return seen in (*WELL, *BAD)

        _until(is_decided, limit_s)
        if seen not in WELL:
            return f"the gateway's database is {seen or 'not heard of'} after the restore"
        try:
            for path in READ:
                ask_json(self._run_dir, "GET", path)
        except CommandError as error:
            return f"the gateway can't read the database: {error.message}"
        return ""

    def _health(self) -> dict[str, Any]:
        statuses = (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            return ask_json(self._run_dir, "GET", "/health", statuses=statuses)
        except CommandError:
            return {}

    def _is_serving(self) -> bool:
        return self._health().get("status") in SERVING

    def _stop(self) -> bool:
        """Stop the gateway; return whether it ran under a supervisord.

        Raises:
            CommandError: supervisord doesn't answer or refuses; the gateway goes on.
        """
        try:
            with supervisor_of(self._run_dir, self._stop_s) as supervisor:
                if supervisor.getProcessInfo(GATEWAY)["statename"] not in RUNNING_STATES:
                    return False
                call(supervisor.stopProcess, GATEWAY, harmless=NOT_RUNNING)
        except CommandError as error:
            if error.exit_code == ExitCode.DOWN:
                return False
            raise CommandError(f"the gateway can't be stopped: {error.message}", code=error.code) from None
        return True

    def _start(self) -> None:
        """Have supervisord start the gateway; one that is gone meanwhile has nothing to start."""
        try:
            with supervisor_of(self._run_dir, self._stop_s) as supervisor:
                call(supervisor.startProcess, GATEWAY, False, harmless=ALREADY_STARTED)
        except CommandError as error:
            print(f"ttsctl: the gateway wasn't started: {error.message}", file=sys.stderr)


def _name(point: RestorePoint | None) -> str | None:
    if point is None:
        return None
    return point.backup.path.name if point.backup is not None else point.replaced or None


def _rows_now(run_dir: Path, database: Path) -> dict[str, int]:
    """Return the number of rows by table; nothing where the database can't be read.

    Raises:
        StoreBusyError: No gateway answers, and another process works with it.
    """
    try:
        return rows_now(run_dir, database)
    except StoreBusyError:
        raise
    except (CommandError, StorageError):
        return {}


def _counted(database: Path) -> dict[str, int]:
    """Return the number of rows by table, under the lock; nothing where they can't be read."""
    try:
        return rows_of(database) if database.exists() else {}
    except StorageError:
        return {}


def _differing(settings: Settings, backup: Backup) -> list[str]:
    """Return names of the configuration's files that aren't as they were; they stay as they are."""
    now, then = contents_of(settings).config, backup.manifest.config
    return sorted(name for name in {*now, *then} if now.get(name) != then.get(name))


def _until(check: Callable[[], bool], limit_s: float) -> bool:
    deadline_s = time.monotonic() + limit_s
    while not check():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(PAUSE_S)
    return True
