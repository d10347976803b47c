"""`.env.example` holds settings that exist, and voices that the container is to have."""

from __future__ import annotations

from appliance.settings import load_settings
from appliance.voice_settings import voice_id_of
from tests.docs.checkout import ROOT


def variables() -> dict[str, str]:
    """Return what the file sets."""
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    assert all(is_set for _, is_set, _ in pairs)
    return {name: value for name, _, value in pairs}


def test_env_example_when_loaded_then_every_line_is_a_setting_and_two_languages_have_a_voice() -> None:
    settings = load_settings(variables())
    assert [model.split("/")[1] for model in settings.voices.wanted] == ["en", "pl"]
    assert settings.voices.default == voice_id_of(settings.voices.wanted[0])
