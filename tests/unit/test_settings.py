"""The settings' bounds, beyond those of a single one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.errors import ConfigurationError
from appliance.settings import load_settings


@pytest.mark.parametrize(
    ("heartbeat_s", "silence_s", "is_right"),
    [
        ("0.25", "0.5", True),
        ("0.25", "0.49", False),
        ("1", "1", False),
        ("5", None, False),
        ("0.5", None, True),
    ],
)
def test_silence_when_shorter_than_two_heartbeats_then_refused_with_value_and_bound(
    heartbeat_s: str, silence_s: str | None, is_right: bool
) -> None:
    environ = {"APPLIANCE_WORKERS_HEARTBEAT_S": heartbeat_s}
    if silence_s is not None:
        environ["APPLIANCE_WORKERS_SILENCE_S"] = silence_s
    if is_right:
        assert load_settings(environ).workers.silence_s >= 2 * float(heartbeat_s)
        return
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    value = 1.0 if silence_s is None else silence_s
    bound_s = 2 * float(heartbeat_s)
    assert f"workers.silence_s = {value!r}: must be at least {bound_s:g}" in caught.value.message


def test_silence_when_the_heartbeat_is_wrong_itself_then_only_that_is_said() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"APPLIANCE_WORKERS_HEARTBEAT_S": "99"})
    assert "workers.heartbeat_s = '99'" in caught.value.message
    assert "silence_s" not in caught.value.message


def test_settings_when_wrong_in_the_environment_and_in_the_file_then_each_is_said_with_its_place(
    tmp_path: Path,
) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text('[http]\nhost = 5\n[log]\nlevel = "LOUD"\n', "utf-8")
    environ = {"APPLIANCE_CONFIG": str(file), "APPLIANCE_HTTP_PORT": "abc", "APPLIANCE_LOG_LEVEL": "QUIET"}
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    in_environment, in_file = caught.value.message.split(f"{file}: ")
    assert "APPLIANCE_HTTP_PORT: http.port = 'abc'" in in_environment
    assert "APPLIANCE_LOG_LEVEL: log.level = 'QUIET'" in in_environment
    assert in_file.startswith("http.host = 5")


@pytest.mark.parametrize(("silence_s", "is_right"), [("0", True), ("1.9", False), ("2", True)])
def test_watchdog_when_its_silence_is_short_then_only_none_at_all_is_right(
    silence_s: str, is_right: bool
) -> None:
    environ = {"APPLIANCE_WATCHDOG_SILENCE_S": silence_s}
    if is_right:
        assert load_settings(environ).watchdog.silence_s == float(silence_s)
        return
    with pytest.raises(ConfigurationError, match="at least 2, two heartbeats") as caught:
        load_settings(environ)
    assert "watchdog.silence_s = '1.9'" in caught.value.message


@pytest.mark.parametrize("name", ["/etc/x", "../x", ".", "a/../../x", "a\0b"])
def test_ledger_file_when_not_below_the_data_then_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text(f"[log]\nledger_file = {json.dumps(name)}\n", "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"APPLIANCE_CONFIG": str(file)})
    assert "must be a file's path below data.dir" in caught.value.message


def test_ledger_file_when_in_a_folder_of_its_own_then_below_the_data() -> None:
    settings = load_settings({"APPLIANCE_DATA_DIR": "/srv/data", "APPLIANCE_LOG_LEDGER_FILE": "a/b.jsonl"})
    assert settings.ledger_path() == Path("/srv/data/a/b.jsonl")


@pytest.mark.parametrize(
    "name", ["vits", "../en/x/y", "tts_models/en/../vits", "tts_models/en/a/b/c", "/tmp/x"]
)
def test_imports_when_no_name_of_a_model_then_refused_with_the_setting(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"voices\.import\.0|APPLIANCE_VOICES_IMPORT"):
        load_settings({"APPLIANCE_VOICES_IMPORT": name})


def test_imports_when_named_in_the_file_then_under_the_word_import(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text('[voices]\nimport = ["tts_models/en/ljspeech/vits"]\n')
    settings = load_settings({"APPLIANCE_CONFIG": str(file)})
    assert settings.voices.wanted == ("tts_models/en/ljspeech/vits",)


@pytest.mark.parametrize("in_file", [True, False])
def test_setting_when_it_has_its_name_of_an_earlier_version_then_it_is_still_read(
    tmp_path: Path, *, in_file: bool
) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text("[store]\nbackup_keep = 30\n" if in_file else "[store]\nbackup_daily = 5\n", "utf-8")
    environ = {"APPLIANCE_CONFIG": str(file)}
    if not in_file:
        environ["APPLIANCE_STORE_BACKUP_KEEP"] = "30"
    assert load_settings(environ).store.backup_daily == 30


def test_setting_when_it_has_both_names_then_refused(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text("[store]\nbackup_keep = 30\nbackup_daily = 5\n", "utf-8")
    with pytest.raises(ConfigurationError, match=r"store\.backup_keep: no such setting"):
        load_settings({"APPLIANCE_CONFIG": str(file)})


def test_settings_when_the_environment_is_the_containers_then_what_is_for_compose_is_no_mistake() -> None:
    environ = {"APPLIANCE_LAN_ADDRESS": "192.168.1.10", "APPLIANCE_LAN_PORT": "8000"}
    assert load_settings(environ) == load_settings({})
    with pytest.raises(ConfigurationError, match="APPLIANCE_LAN_ADRESS: no such setting"):
        load_settings({"APPLIANCE_LAN_ADRESS": "192.168.1.10"})
