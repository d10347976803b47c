"""`ttsctl check-config`: would the appliance start with these settings?

Owns: saying so. Refuses to know: the settings themselves (`appliance.settings`).
"""

from __future__ import annotations

import argparse
import os

from appliance.errors import ConfigurationError
from processes.ttsctl.outcome import CommandError, ExitCode, print_json


def run(arguments: argparse.Namespace) -> ExitCode:
    """Load the settings as every program of the appliance does.

    Raises:
        CommandError: A setting or a file that one names is wrong.
    """
    # Not at the top: pydantic takes longer to import than every other verb takes altogether.
    from appliance.pools import look_at_machine, plan_pools
    from appliance.preflight import check_files
    from appliance.settings import CONFIG_FILE, load_settings

    try:
        settings = load_settings()
        check_files(settings)
        plan_pools(settings, look_at_machine(settings))
    except ConfigurationError as error:
        raise CommandError(error.message, code=error.code, exit_code=ExitCode.BAD_CONFIGURATION) from None
    source = os.environ.get("APPLIANCE_CONFIG", os.fspath(CONFIG_FILE))
    if arguments.json:
        print_json({"ok": True, "file": source, "settings": settings.model_dump(mode="json", by_alias=True)})
    else:
        print(f"ok: {source}")
    return ExitCode.OK
