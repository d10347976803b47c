"""Files that the settings name are looked at before anything starts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from appliance.errors import ConfigurationError
from appliance.keys import read_keys
from appliance.preflight import check_files
from appliance.settings import load_settings


def key_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_keys_when_read_then_only_their_hashes_are_kept(tmp_path: Path) -> None:
    path = key_file(tmp_path, "one\n\n  two  \n")
    assert read_keys(str(path)) == {hashlib.sha256(key).digest() for key in (b"one", b"two")}
    assert read_keys("") == frozenset()


@pytest.mark.parametrize(
    ("text", "mode", "word"), [("key\n", 0o644, "chmod"), ("key\n", 0o640, "chmod"), (" \n", 0o600, "no key")]
)
def test_check_when_a_key_file_is_wrong_then_the_message_says_so_without_the_key(
    tmp_path: Path, text: str, mode: int, word: str
) -> None:
    path = key_file(tmp_path, text, mode)
    settings = load_settings({"APPLIANCE_ADMIN_KEY_FILE": str(path)})
    with pytest.raises(ConfigurationError, match=word) as caught:
        check_files(settings)
    assert caught.value.message.startswith(f"admin.key_file: {path}: ")


def test_check_when_a_file_is_missing_then_the_message_names_it(tmp_path: Path) -> None:
    settings = load_settings({"APPLIANCE_VOICES_FILE": str(tmp_path / "missing")})
    with pytest.raises(ConfigurationError, match="missing"):
        check_files(settings)


@pytest.mark.parametrize("name", ["http.api_keys_file", "admin.key_file"])
def test_check_when_a_key_stands_in_the_place_of_its_file_then_only_the_setting_is_named(name: str) -> None:
    settings = load_settings({f"APPLIANCE_{name.replace('.', '_').upper()}": "sk-1234"})
    with pytest.raises(ConfigurationError, match=f"^{name}: the key file can't be read: No such") as caught:
        check_files(settings)
    assert "sk-1234" not in caught.value.message
