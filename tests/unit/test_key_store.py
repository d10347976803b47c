"""The file of created keys: its mode, its lock, changes in one step."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import key_store
from appliance.errors import ConfigurationError
from appliance.key_records import NewKey, Records, create
from appliance.key_store import change_records, read_records
from appliance.voice_folders import locked

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "keys" / "keys.json"


def add_one(path: Path) -> None:
    change_records(path, lambda records: create(records, NewKey(), NOW))


def test_read_when_there_is_no_file_then_no_record(path: Path) -> None:
    assert read_records(path) == ()


def test_change_when_made_then_file_and_folder_are_private_and_nothing_else_is_left(path: Path) -> None:
    add_one(path)
    add_one(path)
    assert len(read_records(path)) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["keys.json"]


def test_change_when_a_killed_one_has_left_its_file_then_it_is_replaced(path: Path) -> None:
    add_one(path)
    (path.parent / ".keys.json.new").write_text("half")
    add_one(path)
    assert len(read_records(path)) == 2
    assert [each.name for each in path.parent.iterdir()] == ["keys.json"]


def test_change_when_it_is_refused_then_the_file_is_as_before(path: Path) -> None:
    add_one(path)
    before = path.read_bytes()

    def refuse(_records: Records) -> tuple[Records, None]:
        raise ConfigurationError("no")

    with pytest.raises(ConfigurationError, match=r"^no$"):
        change_records(path, refuse)
    assert path.read_bytes() == before
    add_one(path)  # the lock is free again


def test_change_when_another_one_takes_too_long_then_it_gives_up_and_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_one(path)
    monkeypatch.setattr(key_store, "LOCK_S", 0.0)
    with locked(path.parent) as is_ours:
        assert is_ours
        with pytest.raises(ConfigurationError, match="another command"):
            add_one(path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_read_when_others_may_read_it_then_it_is_refused(path: Path, mode: int) -> None:
    add_one(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_records(path)


def test_read_when_it_is_no_plain_file_then_it_is_refused(path: Path, tmp_path: Path) -> None:
    add_one(path)
    moved = path.rename(tmp_path / "elsewhere")
    path.symlink_to(moved)
    with pytest.raises(ConfigurationError, match="can't be read"):
        read_records(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigurationError, match="isn't a file"):
        read_records(path)


def test_read_when_it_is_broken_or_too_large_then_the_file_is_named(path: Path) -> None:
    add_one(path)
    path.write_bytes(b"{")
    with pytest.raises(ConfigurationError, match=f"^{path}: is broken"):
        read_records(path)
    path.write_bytes(b" " * (key_store.MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigurationError, match="is larger than"):
        read_records(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_change_when_the_data_belongs_to_another_user_then_it_is_refused(path: Path) -> None:
    path.parent.parent.mkdir()
    os.chown(path.parent.parent, 12345, 12345)
    with pytest.raises(ConfigurationError, match="belongs to user 12345"):
        add_one(path)
    assert not path.exists()
