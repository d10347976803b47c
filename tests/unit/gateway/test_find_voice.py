"""A voice that nobody has, while an engine has yet to tell its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import NoWorkersError, VoiceNotFoundError
from appliance.settings import load_settings
from processes.gateway.__main__ import build_gateway
from processes.gateway.speech import find_voice


def test_find_voice_when_an_engine_is_long_in_coming_then_only_once_it_has_is_the_voice_nobodys(
    run_dir: Path,
) -> None:
    environ = {
        "APPLIANCE_RUN_DIR": str(run_dir),
        "APPLIANCE_WORKERS_ESPEAK": "1",
        "APPLIANCE_WORKERS_TONE": "1",
    }
    made = build_gateway(load_settings(environ))
    gateway = replace(made, started_at_s=made.started_at_s - 3600)
    gateway.pool.known_engines.add("tone")
    with pytest.raises(NoWorkersError):
        find_voice(gateway, "en-us")
    gateway.pool.known_engines.add("espeak")
    with pytest.raises(VoiceNotFoundError):
        find_voice(gateway, "en-us")
