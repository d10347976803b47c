"""What must be right before anything starts, beyond the settings themselves.

Owns: looking into every file that the settings name, so that a mistake is one line and exit code 78 at the
start, and not a program that ends again and again.
Refuses to know: what the files are used for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

from appliance.errors import ConfigurationError
from appliance.key_store import read_records
from appliance.keys import read_keys
from appliance.proxy_socket import check_proxy_socket
from appliance.secret_settings import check_env_file, find_secrets
from appliance.settings import ROOT, Settings
from appliance.store.migrations import check_not_newer
from appliance.tracing_check import check_tracing
from appliance.voices import read_voices_file

ENVIRONMENT, KEY_FILE, PROXY_SOCKET = "environment", "key_file", "proxy_socket"
VOICES_FILE, DATABASE, TRACING = "voices_file", "database", "tracing"
"""What a file is to the appliance."""


def check_files(settings: Settings) -> None:
    """Read every file that the settings name and forget what is in it; look at this process's environment.

    Raises:
        ConfigurationError: A file is missing, holds something else, or others may read its keys or the
            `.env`; a secret in the environment can't be one; what sends traces isn't installed; the socket
            for a reverse proxy has no place; or the database is one of a later version.
    """
    for _kind, check in file_checks(settings):
        check()


def file_checks(settings: Settings) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what each file is, and a function that reads it and raises as `check_files` does."""
    yield ENVIRONMENT, _check_environment
    yield VOICES_FILE, partial(_check_voices, settings)
    key_files = {"http.api_keys_file": settings.http.api_keys_file, "admin.key_file": settings.admin.key_file}
    for setting, name in key_files.items():
        yield KEY_FILE, partial(_check_keys, setting, name)
    yield KEY_FILE, partial(_check_created_keys, settings)
    yield TRACING, partial(check_tracing, settings.tracing)
    yield PROXY_SOCKET, partial(check_proxy_socket, settings)
    yield DATABASE, partial(check_not_newer, settings.store_path())


def _check_environment() -> None:
    check_env_file(os.environ, ROOT)
    find_secrets(os.environ)


def _check_voices(settings: Settings) -> None:
    read_voices_file(settings.config_dir() / settings.voices.file)


def _check_keys(setting: str, name: str) -> None:
    try:
        read_keys(name)
    except ConfigurationError as error:
        message = f"{setting}: {error.message}"
        raise ConfigurationError(message) from None


def _check_created_keys(settings: Settings) -> None:
    read_records(settings.keys_path())
