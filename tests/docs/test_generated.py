"""The documents that are made of code are fresh, and the settings file says each default."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from appliance.settings import CONFIG_FILE, ROOT
from tests.docs.generate import SETTINGS_FILE, TARGETS
from tests.docs.settings_page import Setting, sections, settings_of

FRESH = sorted(set(TARGETS) - {SETTINGS_FILE})
SETTINGS = [setting for section in sections() for setting in settings_of(section)]


@pytest.mark.parametrize("name", FRESH)
def test_document_when_made_anew_then_unchanged(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == TARGETS[name](), "run `make docs`"


def test_settings_file_when_read_then_every_setting_is_there_with_its_default() -> None:
    """Holds for a file with settings of somebody's own too: those are not compared."""
    shown = _shown_settings()
    assert list(shown) == [(setting.section, setting.key) for setting in SETTINGS]
    wrong = {
        setting.variable: (written, setting.toml_default)
        for setting in SETTINGS
        if (written := shown[setting.section, setting.key]) not in {None, setting.toml_default}
    }
    assert wrong == {}


def test_settings_file_when_every_comment_sign_is_taken_away_then_valid_toml() -> None:
    text = re.sub(r"^# (\w+ = )", r"\1", CONFIG_FILE.read_text("utf-8"), flags=re.MULTILINE)
    tables = tomllib.loads(text)
    assert {(section, key) for section, table in tables.items() for key in table} == {
        (setting.section, setting.key) for setting in SETTINGS
    }


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.variable)
def test_setting_when_described_then_in_one_sentence_without_a_place_of_this_machine(
    setting: Setting,
) -> None:
    assert re.fullmatch(r"[A-Z].*\.", setting.description)
    assert str(ROOT) not in json.dumps(setting.default)


def _shown_settings() -> dict[tuple[str, str], str | None]:
    """Section and key of each line that shows a setting; its value if it is commented out, else None."""
    shown: dict[tuple[str, str], str | None] = {}
    section = ""
    for line in CONFIG_FILE.read_text("utf-8").splitlines():
        if found := re.fullmatch(r"\[(\w+)\]", line):
            section = found[1]
        elif found := re.fullmatch(r"(# )?(\w+) = (.*)", line):
            shown[section, found[2]] = found[3] if found[1] else None
    return shown
