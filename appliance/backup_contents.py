"""What a backup covers beside the database: the configuration's files and which voices were imported.

Owns: the choice of those files. Files of keys are none of them: settings only name those.
Refuses to know: how backups are stored (`store.backups`).
"""

from __future__ import annotations

from appliance.errors import ConfigurationError
from appliance.settings import Settings
from appliance.store.manifests import Contents
from appliance.voice_store import VoiceStore

MAX_FILE_BYTES = 1_048_576


def contents_of(settings: Settings) -> Contents:
    """Read what a backup made now has to cover; blocks for the disk.

    A file that isn't there isn't covered: the appliance may run on its defaults and its environment.

    Raises:
        ConfigurationError: A file of the configuration can't be read or is too large.
    """
    paths = (settings.config_file(), settings.config_dir() / settings.voices.file)
    config = {}
    for path in paths:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                message = f"{path}: larger than {MAX_FILE_BYTES} bytes, which no backup takes"
                raise ConfigurationError(message)
            config[path.name] = path.read_text("utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            message = f"{path}: can't be read for a backup: {error}"
            raise ConfigurationError(message) from error
    manifests = VoiceStore(settings.data.dir).manifests()
    return Contents(config, {each.id: each.model for each in manifests})
