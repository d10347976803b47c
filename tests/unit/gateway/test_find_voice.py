"""A voice that nobody has, while an engine has yet to tell its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import NoWorkersError, VoiceNotFoundError
from appliance.settings import load_settings
from appliance.voices import Voice
from processes.gateway.__main__ import build_gateway
from processes.gateway.gateway import Gateway
from processes.gateway.planned_speech import check_speech, find_voice
from tests.parts.voices_file import write_voices_file


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


def speaker(gateway: Gateway, voice: str) -> str:
    return check_speech(gateway, {"input": "Hello.", "voice": voice}).voice.id


def test_fallback_when_an_engine_is_long_in_coming_then_only_for_voices_that_are_entered_by_name(
    run_dir: Path,
) -> None:
    fallbacks = {"*": "auto", "en-later-tone": "en-us"}
    environ = {
        "APPLIANCE_RUN_DIR": str(run_dir),
        "APPLIANCE_WORKERS_ESPEAK": "1",
        "APPLIANCE_WORKERS_TONE": "1",
        "APPLIANCE_DISPATCH_OUTAGE_LIMIT_S": "60",
        "APPLIANCE_VOICES_FILE": str(write_voices_file(run_dir, fallbacks)),
    }
    young = build_gateway(load_settings(environ))
    young.pool.known_engines.add("espeak")
    young.catalog.replace("espeak", [Voice("en-us", "English", "espeak", "gmw/en-US", ("en-us", "en"))], [])
    old = replace(young, started_at_s=young.started_at_s - 61)
    assert speaker(young, "en-tpyo") == "en-us"
    with pytest.raises(NoWorkersError):
        speaker(old, "en-tpyo")
    assert speaker(young, "en-later-tone") == speaker(old, "en-later-tone") == "en-us"
