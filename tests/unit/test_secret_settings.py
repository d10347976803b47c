"""Secrets in the environment, and the mode of the `.env` that it was made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import ConfigurationError
from appliance.secret_settings import SECRET_VARIABLES, check_env_file, find_secrets
from appliance.settings import load_settings
from processes.launcher.children import clean_environment
from processes.launcher.secret_files import remove_secrets, take_secrets

KEYS, ADMIN = "APPLIANCE_HTTP_API_KEYS", "APPLIANCE_ADMIN_KEY"


def test_secrets_when_given_then_by_variable_and_empty_ones_are_none() -> None:
    assert find_secrets({KEYS: "one, two,", ADMIN: " ", "HOME": "/"}) == {KEYS: ("one", "two")}


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({ADMIN: "CANARY", f"{ADMIN}_FILE": "x"}, f"^{ADMIN}: {ADMIN}_FILE is set, too"),
        ({KEYS: ",,"}, "holds no key"),
        ({KEYS: "CANARY,two words"}, "visible characters"),
        ({KEYS: "CANARY\tx"}, "visible characters"),
        ({ADMIN: "CANARY-é"}, "visible characters"),
    ],
)
def test_secrets_when_one_is_wrong_then_the_variable_is_named_and_the_value_isnt(
    environ: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        find_secrets(environ)
    assert "CANARY" not in caught.value.message


def test_settings_when_secrets_are_in_the_environment_then_they_are_no_part_of_them() -> None:
    settings = load_settings({KEYS: "CANARY", ADMIN: "CANARY", "APPLIANCE_ENV_FILE": "CANARY"})
    assert "CANARY" not in settings.model_dump_json()
    assert all(load_settings({file_variable: "x"}) for file_variable in SECRET_VARIABLES.values())


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_env_file_when_only_its_owner_may_read_it_then_it_is_fine(tmp_path: Path, mode: int) -> None:
    (tmp_path / ".env").touch()
    (tmp_path / ".env").chmod(mode)
    check_env_file({"APPLIANCE_ENV_FILE": ".env"}, tmp_path)
    check_env_file({"APPLIANCE_ENV_FILE": str(tmp_path / ".env")}, Path("/"))
    check_env_file({}, tmp_path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o700, 0o602, 0o4600])
def test_env_file_when_it_has_another_mode_then_it_is_refused_with_the_cure(
    tmp_path: Path, mode: int
) -> None:
    (tmp_path / ".env").touch()
    (tmp_path / ".env").chmod(mode)
    with pytest.raises(ConfigurationError, match=f"its mode is {mode:04o}; chmod 600 the .env"):
        check_env_file({"APPLIANCE_ENV_FILE": ".env"}, tmp_path)


def test_env_file_when_it_is_a_folder_or_gone_then_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(ConfigurationError, match="isn't a file"):
        check_env_file({"APPLIANCE_ENV_FILE": ".env"}, tmp_path)
    with pytest.raises(ConfigurationError, match="can't be looked at: No such file"):
        check_env_file({"APPLIANCE_ENV_FILE": "other"}, tmp_path)


def test_take_when_there_are_secrets_then_private_files_have_them_and_the_environment_names_those(
    tmp_path: Path,
) -> None:
    left = take_secrets(tmp_path, {KEYS: "one,two", ADMIN: "", "HOME": "/"})
    path = tmp_path / "secrets" / "http_api_keys"
    assert left == {f"{KEYS}_FILE": str(path), "HOME": "/"}
    assert path.read_text() == "one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert take_secrets(tmp_path, left) is None


def test_remove_when_settings_name_a_file_then_only_the_others_go(tmp_path: Path) -> None:
    left = take_secrets(tmp_path, {KEYS: "one", ADMIN: "two"})
    assert left is not None
    remove_secrets(tmp_path, load_settings({f"{KEYS}_FILE": left[f"{KEYS}_FILE"]}))
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["http_api_keys"]
    remove_secrets(tmp_path)
    assert list((tmp_path / "secrets").iterdir()) == []
    remove_secrets(tmp_path / "nowhere")


def test_clean_environment_when_secrets_are_there_then_no_child_gets_them() -> None:
    environment = clean_environment({KEYS: "x", ADMIN: "x", "APPLIANCE_HTTP_PORT": "1"})
    assert environment.keys() & SECRET_VARIABLES.keys() == set()
    assert environment["APPLIANCE_HTTP_PORT"] == "1"
