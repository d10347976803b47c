"""What must be right before anything starts, beyond the settings themselves.

Owns: looking into every file that the settings name, so that a mistake is one line and exit code 78 at the
start, and not a program that ends again and again.
Refuses to know: what the files are used for.
"""

from __future__ import annotations

from appliance.errors import ConfigurationError
from appliance.keys import read_keys
from appliance.settings import Settings
from appliance.store.migrations import check_not_newer
from appliance.voices import read_voices_file


def check_files(settings: Settings) -> None:
    """Read every file that the settings name and forget what is in it.

    Raises:
        ConfigurationError: A file is missing, holds something else, or others may read its keys; or the
            database is one of a later version.
    """
    read_voices_file(settings.config_dir() / settings.voices.file)
    key_files = {"http.api_keys_file": settings.http.api_keys_file, "admin.key_file": settings.admin.key_file}
    for setting, name in key_files.items():
        try:
            read_keys(name)
        except ConfigurationError as error:
            message = f"{setting}: {error.message}"
            raise ConfigurationError(message) from None
    check_not_newer(settings.store_path())
