"""What `ttsctl doctor` checks of the settings, of secrets, versions and libraries.

Owns: whether the appliance would start as it is set, and whether that is what runs.
Refuses to know: how it was asked (`patient`).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import stat
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import appliance
from appliance.packages import HOW_TO_INSTALL, missing_packages
from appliance.preflight import DATABASE, KEY_FILE, VOICES_FILE
from appliance.secret_settings import ENV_FILE_VARIABLE
from appliance.settings import SECRET_NAMES, Settings
from processes.ttsctl.check import Check
from processes.ttsctl.finding import Finding, failure, ok, unseen, warning
from processes.ttsctl.patient import SETTING, Patient
from processes.ttsctl.place import CHECKOUT
from processes.ttsctl.remedies import apply_changes, changes, restart, shell

SETTING_WRONG = failure("setting_wrong", "a setting is wrong, or no engine would have a worker")
VOICES_FILE_WRONG = failure("voices_file_wrong", "`voices.toml` can't be read or means nothing")
KEY_FILE_WRONG = failure("key_file_wrong", "a file of keys is missing, empty, or others may read it")
NEWER_SCHEMA = failure("newer_schema", "a later version of the appliance has used the database")
SETTINGS_CHANGED = warning("settings_changed", "settings were changed since the start, and aren't in force")
VOICES_CHANGED = warning("voices_file_changed", "`voices.toml` is newer than the gateway that has read it")
VERSION_DIFFERS = warning("version_differs", "launcher, gateway and this command are of different versions")
ENV_OPEN = failure("env_file_open", "others may read or write `.env`")
ENV_FOREIGN = warning("env_file_foreign", "`.env` belongs to another user")
PYTHON_OLD = failure("python_old", "Python is older than 3.11")
PACKAGE_MISSING = failure("package_missing", "a library is missing, or what an engine with workers needs")
PACKAGE_DIFFERS = warning("package_differs", "a library isn't as locked")
ESPEAK_MISSING = failure("espeak_missing", "espeak-ng's library or data isn't there")

WRONG_FILES = {SETTING: SETTING_WRONG, VOICES_FILE: VOICES_FILE_WRONG, DATABASE: NEWER_SCHEMA}
LEAST_PYTHON = (3, 11)
MAX_NAMED = 4
LOCK = CHECKOUT / "requirements" / "run.txt"
ENV_FILE = CHECKOUT / ".env"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(\s*;)?", re.MULTILINE)
REBUILD = "make clean run"
OTHERS = stat.S_IRWXG | stat.S_IRWXO
SETTINGS_WRONG = "the configuration is wrong"


def check_configuration(patient: Patient) -> Finding:
    """Would it start with these settings?"""
    if not patient.settings_error and patient.settings is not None:
        return ok(f"{patient.settings.config_dir()}")
    seen, kind = patient.settings_error or "the settings can't be read", patient.settings_fault
    if kind == KEY_FILE:
        advice = "have one key on each line of it, readable for the appliance's user alone, then restart"
        return KEY_FILE_WRONG.found(seen, advice, _close_keys(patient.settings))
    if kind == DATABASE:
        advice = "start that version, or put back a backup of before (docs/operate/store.md)"
        return NEWER_SCHEMA.found(seen, advice, "ttsctl backup list")
    advice = "mend what is named (docs/settings.md), then restart"
    return WRONG_FILES.get(kind, SETTING_WRONG).found(seen, advice, "ttsctl check-config")


def _close_keys(settings: Settings | None) -> str:
    """Return the command that takes a file of keys away from others, or one that names the fault."""
    for path in _key_files(settings):
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & OTHERS:
            return shell("chmod", "600", path)
    return "ttsctl check-config"


def _key_files(settings: Settings | None) -> list[Path]:
    if settings is None:
        return []
    names = [settings.http.api_keys_file, settings.admin.key_file]
    return [*(CHECKOUT / name for name in names if name), settings.keys_path()]


def check_running_settings(patient: Patient) -> Finding:
    """Is what is set by now what the appliance was started with?"""
    if patient.settings is None:
        return unseen(SETTINGS_WRONG)
    if not patient.started_with:
        return unseen("no launcher has written what it was started with")
    now = changes(patient.started_with, patient.settings)
    if changed := [_change(name, patient.started_with[name], value) for name, value in now.items()]:
        more = f" and {len(changed) - MAX_NAMED} more" if len(changed) > MAX_NAMED else ""
        advice = "apply the change, or take it back"
        command = apply_changes(patient)
        return SETTINGS_CHANGED.found(", ".join(changed[:MAX_NAMED]) + more, advice, command)
    file = patient.settings.config_dir() / patient.settings.voices.file
    since = patient.status and datetime.fromisoformat(patient.status["since"]).timestamp()
    if since and file.stat().st_mtime > since + 1:
        advice = "restart the gateway, which alone reads it"
        return VOICES_CHANGED.found(
            f"{file} was changed since the gateway's start", advice, "ttsctl supervisorctl restart gateway"
        )
    return ok("as at the start")


def _change(setting: str, before: Any, now: Any) -> str:
    return (
        setting if SECRET_NAMES.search(setting) else f"{setting} is {now!r} and was {before!r} at the start"
    )


def check_versions(patient: Patient) -> Finding:
    """Are all of one version, this command too?"""
    versions = {"here": appliance.__version__}
    if patient.launcher:
        versions["launcher"] = str(patient.launcher.get("version"))
    if patient.status is not None:
        versions["gateway"] = str(patient.status["version"])
    seen = ", ".join(f"{version} {name}" for name, version in versions.items())
    if len(set(versions.values())) > 1:
        advice = "restart the appliance, so that all of it is what is installed"
        return VERSION_DIFFERS.found(seen, advice, restart(patient))
    return ok(seen)


def check_secrets(patient: Patient) -> Finding:
    """Who may read `.env`; what keys are in is a part of `configuration`.

    Where `APPLIANCE_ENV_FILE` names one, as a container's mount, that counts; it may be the host's.
    """
    count = len(_key_files(patient.settings))
    named = os.environ.get(ENV_FILE_VARIABLE)
    path = CHECKOUT / named if named else ENV_FILE
    try:
        found = path.stat()
    except FileNotFoundError:
        return ok(f"no .env, {count} files of keys")
    mode = stat.S_IMODE(found.st_mode)
    seen = f"{path}, user {found.st_uid}, mode {mode:04o}"
    is_ours = os.geteuid() in (0, found.st_uid)
    if mode & OTHERS:
        if named and not is_ours:
            return ENV_OPEN.found(
                seen, "on the host: nobody else may read what is set there", "chmod 600 .env"
            )
        return ENV_OPEN.found(seen, "nobody else may read what is set there", shell("chmod", "600", path))
    if not (named or is_ours):
        advice = f"give it to user {os.geteuid()}"
        return ENV_FOREIGN.found(seen, advice, shell("chown", os.geteuid(), path))
    return ok(seen)


def check_packages(patient: Patient) -> Finding:
    """Python and the libraries against the lock, and what the engines of the pools need beyond it."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < LEAST_PYTHON:
        return PYTHON_OLD.found(f"Python {version}", "build it with Python 3.11 or newer", REBUILD)
    pins = {name: pinned for name, pinned, marker in PIN.findall(LOCK.read_text("utf-8")) if not marker}
    installed = {name: _installed(name) for name in pins}
    missing = sorted(name for name, found in installed.items() if found is None)
    if missing:
        seen = f"Python {version}; missing: {_named(missing)}"
        return PACKAGE_MISSING.found(seen, "build it anew", REBUILD)
    engines = [pool.engine for pool in patient.pools if pool.size]
    lacking = {engine: names for engine in engines if (names := missing_packages(engine))}
    if lacking:
        seen = "; ".join(f"missing for {engine}: {_named(names)}" for engine, names in lacking.items())
        advice = f"{HOW_TO_INSTALL}; or set workers.{next(iter(lacking))} = 0"
        return PACKAGE_MISSING.found(f"Python {version}; {seen}", advice, "make .venv/neural.stamp")
    other = [f"{name} {installed[name]} for {pins[name]}" for name in pins if installed[name] != pins[name]]
    if other:
        seen = f"Python {version}; not as locked: {_named(other)}"
        return PACKAGE_DIFFERS.found(seen, "build it anew", REBUILD)
    return ok(f"Python {version} and {len(pins)} libraries as in requirements/run.txt")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def check_espeak(patient: Patient) -> Finding:
    """espeak-ng's library and data, without loading them."""
    if patient.settings is not None and not patient.settings.workers.espeak:
        return ok("no espeak worker is set")
    spec = importlib.util.find_spec("espeakng_loader")
    places = spec.submodule_search_locations if spec else None
    place = Path(places[0] if places else "/nowhere")
    data = place / "espeak-ng-data"
    if not (data / "phontab").is_file() or not list(place.glob("libespeak-ng.so*")):
        return ESPEAK_MISSING.found("espeak-ng's library or data isn't there", "build it anew", REBUILD)
    return ok(f"{len(list((data / 'lang').rglob('*')))} language files in {data}")


CHECKS = {
    "configuration": Check(
        check_configuration,
        (SETTING_WRONG, VOICES_FILE_WRONG, KEY_FILE_WRONG, NEWER_SCHEMA),
        "whether the appliance would start with these settings and the files that they name",
    ),
    "running_settings": Check(
        check_running_settings,
        (SETTINGS_CHANGED, VOICES_CHANGED),
        "the settings by now against those that the launcher was started with",
    ),
    "versions": Check(check_versions, (VERSION_DIFFERS,), "the versions of launcher, gateway and ttsctl"),
    "secrets": Check(check_secrets, (ENV_OPEN, ENV_FOREIGN), "owner and mode of `.env`"),
    "packages": Check(
        check_packages,
        (PYTHON_OLD, PACKAGE_MISSING, PACKAGE_DIFFERS),
        "Python and the libraries against the lock, and what engines with workers need beyond it",
    ),
    "espeak": Check(check_espeak, (ESPEAK_MISSING,), "espeak-ng's library and data"),
}
