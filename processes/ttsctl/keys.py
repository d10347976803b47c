"""`ttsctl keys …`: create, list, revoke, rotate and prune API keys.

Owns: changing the file of keys, having the running gateway take the change, what a person is told. A key is
printed once, alone on standard output.
Refuses to know: how a key is made and kept (`appliance.key_records`, `appliance.key_store`).

The file is changed here whether a gateway runs or not, under a lock of its own, so that no key ever goes
through a socket, and the gateway needs no way to change keys.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from appliance import key_records
from appliance.errors import ConfigurationError
from appliance.key_records import Issued, KeyRecord, NewKey, Records, Role
from appliance.key_store import change_records, read_records
from appliance.settings import Settings, load_settings
from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.process_table import adopt_environment
from processes.ttsctl.table import format_table

PATH = "/admin/keys"
COLUMNS = ("ID", "NAME", "ROLE", "STATE", "CREATED", "EXPIRES", "PER MINUTE", "REQUESTS", "LAST USED")
NO_NAME = "-"
LATER = "no gateway runs; it will be in force from the next start on"


class Keys:
    """The keys of one appliance."""

    def __init__(self, run_dir: Path, settings: Settings) -> None:
        """Remember where they are.

        Args:
            run_dir: Where the gateway's socket lies.
            settings: Name the file, and what is in force without it.
        """
        self._run_dir = run_dir
        self._settings = settings
        self._path = settings.keys_path()
        self._now = datetime.now(UTC).replace(microsecond=0)

    def list(self, arguments: argparse.Namespace) -> None:
        """Print what there is, with the use of each as the gateway knows it."""
        records = read_records(self._path)
        known = self._asked("GET") or {"keys": []}
        used = {each["id"]: each for each in known["keys"]}
        described = [_described(each, used.get(each.id, {}), self._now) for each in records]
        if arguments.json:
            print_json({"in_force": asks_for_keys(self._settings, records), "keys": described})
            return
        print(format_table(COLUMNS, [_row(each) for each in described]))
        print(f"\n{self._force_said(records)}")
        if trouble := known.get("trouble"):
            raise CommandError(f"the gateway doesn't take the keys: {trouble}", code="keys_unusable")

    def create(self, arguments: argparse.Namespace) -> None:
        """Make one and print it."""
        wanted = NewKey(
            _checked_name(arguments.name),
            Role(arguments.role),
            arguments.expires,
            arguments.requests_per_minute,
            arguments.burst,
        )
        was_open = not asks_for_keys(self._settings, read_records(self._path))
        issued = change_records(self._path, lambda records: key_records.create(records, wanted, self._now))
        self._hand_out(issued, arguments)
        if was_open and wanted.role is Role.SPEECH:
            _tell("from now on nobody speaks without a key")
            if self._settings.wyoming.enabled:
                _tell(self._wyoming_said())
        self._have_it_taken()

    def rotate(self, arguments: argparse.Namespace) -> None:
        """Give one another secret and print it."""
        issued = change_records(
            self._path,
            lambda records: key_records.rotate(records, arguments.key, arguments.keep_old, self._now),
        )
        self._hand_out(issued, arguments)
        until = issued.record.former_until
        _tell(
            "the old secret works no more" if until is None else f"the old secret works until {_shown(until)}"
        )
        self._have_it_taken()

    def revoke(self, arguments: argparse.Namespace) -> None:
        """End one."""
        ended = change_records(
            self._path, lambda records: key_records.revoke(records, arguments.key, self._now)
        )
        if arguments.json:
            print_json(_described(ended, {}, self._now))
        else:
            print(f"{ended.id} is revoked")
        self._have_it_taken()

    def prune(self, arguments: argparse.Namespace) -> None:
        """Delete the records of keys that have ended."""
        gone = change_records(
            self._path, lambda records: key_records.prune(records, self._now, may_open=arguments.open)
        )
        if arguments.json:
            print_json({"removed": [each.id for each in gone]})
        else:
            print("\n".join(f"{each.id} is deleted" for each in gone) or "no key has ended")
        self._have_it_taken()

    def _hand_out(self, issued: Issued, arguments: argparse.Namespace) -> None:
        """Print a key; nobody can do so again."""
        if arguments.json:
            print_json({**_described(issued.record, {}, self._now), "key": issued.key})
            return
        print(issued.key, flush=True)
        name = f" ({issued.record.name})" if issued.record.name else ""
        _tell(f"key {issued.record.id}{name}, role {issued.record.role.value}; it can't be shown again")

    def _have_it_taken(self) -> None:
        """Have the gateway take the change at once.

        Raises:
            CommandError: It runs and doesn't; the change is in the file all the same.
        """
        try:
            taken = self._asked("POST")
        except CommandError as error:
            message = f"the change is stored, but the gateway hasn't taken it: {error.message}"
            raise CommandError(message, code=error.code) from None
        if taken is None:
            _tell(LATER)

    def _asked(self, method: str) -> dict[str, Any] | None:
        """Return the gateway's answer; None where none runs."""
        try:
            return ask_json(self._run_dir, method, PATH, statuses=(HTTPStatus.OK,))
        except CommandError as error:
            if error.exit_code == ExitCode.DOWN:
                return None
            raise

    def _wyoming_said(self) -> str:
        """Return whom the Wyoming server speaks to while keys are in force."""
        networks = ", ".join(self._settings.wyoming.keyless_networks)
        listeners = f"only {networks}" if networks else "nobody"
        return f"Wyoming knows no keys: over it {listeners} may speak (wyoming.keyless_networks)"

    def _force_said(self, records: Records) -> str:
        if not asks_for_keys(self._settings, records):
            return "no key is asked for: everybody who reaches the port may speak"
        others = "; those of http.api_keys_file open it, too" if self._settings.http.api_keys_file else ""
        return f"speech needs a key{others}"


def run(arguments: argparse.Namespace) -> ExitCode:
    """Do what is asked.

    Raises:
        CommandError: It can't be done.
    """
    run_dir = find_run_dir(arguments.run_dir)
    adopt_environment(run_dir)
    keys = Keys(run_dir, _settings())
    actions: dict[str | None, Callable[[argparse.Namespace], None]] = {
        None: keys.list,
        "list": keys.list,
        "create": keys.create,
        "rotate": keys.rotate,
        "revoke": keys.revoke,
        "prune": keys.prune,
    }
    try:
        actions[arguments.action](arguments)
    except ConfigurationError as error:
        raise CommandError(error.message, code=error.code) from None
    return ExitCode.OK


def asks_for_keys(settings: Settings, records: Records) -> bool:
    """Return whether speech needs a key, with these settings and created keys."""
    http = settings.http
    return http.require_key or bool(http.api_keys_file) or key_records.has_speech(records)


def _settings() -> Settings:
    try:
        return load_settings()
    except ConfigurationError as error:
        raise CommandError(error.message, code=error.code, exit_code=ExitCode.BAD_CONFIGURATION) from None


def _checked_name(name: str) -> str:
    """Return a name that can be kept.

    Raises:
        CommandError: It is too long, or holds a control character.
    """
    if len(name) > key_records.MAX_NAME_CHARS or not name.isprintable():
        message = f"a name has at most {key_records.MAX_NAME_CHARS} characters, all of them visible"
        raise CommandError(message, code="invalid_value")
    return name


def _tell(text: str) -> None:
    """Say something beside what a program may read from standard output."""
    print(f"ttsctl: {text}", file=sys.stderr)


def _shown(moment: datetime) -> str:
    return moment.astimezone().isoformat(sep=" ", timespec="minutes")


def _described(record: KeyRecord, use: dict[str, Any], now: datetime) -> dict[str, Any]:
    kept = record.model_dump(mode="json", exclude={"sha256", "former_sha256"})
    known = {"requests": use.get("requests"), "last_used_at": use.get("last_used_at")}
    return {**kept, "state": record.state(now), **known}


def _row(values: dict[str, Any]) -> tuple[object, ...]:
    def day(name: str) -> str | None:
        return None if values[name] is None else _shown(datetime.fromisoformat(values[name]))[:16]

    return (
        values["id"],
        values["name"] or NO_NAME,
        values["role"],
        values["state"],
        day("created_at"),
        day("expires_at"),
        values["requests_per_min"],
        values["requests"],
        day("last_used_at"),
    )
