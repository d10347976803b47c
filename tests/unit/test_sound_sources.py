"""What of our own code decides how a text sounds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.sound_sources import HERE, SOUND_SOURCES, sound_sources, sources_hash

PRINT_HASH = "from appliance.sound_sources import sound_sources; print(sound_sources())"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The appliance's sources in another place, with other times."""
    return Path(shutil.copytree(HERE, tmp_path / "appliance", copy_function=shutil.copyfile))


def hash_of(folder: Path) -> str:
    return sources_hash(folder, SOUND_SOURCES)


def test_sound_sources_when_another_process_asks_then_it_has_the_same(tmp_path: Path) -> None:
    environ = os.environ | {"PYTHONPATH": f"{HERE.parent}", "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", PRINT_HASH]
    answer = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == sound_sources()


def test_sources_hash_when_the_same_lie_elsewhere_then_it_is_the_same(copied: Path) -> None:
    assert hash_of(copied) == sound_sources()


@pytest.mark.parametrize(
    "name",
    [
        "text/normalize.py",
        "engines/espeak.py",
        "engines/vits/front_end/tokenizer.py",
        "audio/resample.py",
        "audio/encoders/mp3.py",
    ],
)
def test_sources_hash_when_one_of_them_is_changed_then_it_is_another(copied: Path, name: str) -> None:
    path = copied / name
    path.write_bytes(path.read_bytes().replace(b"0", b"1", 1))
    assert hash_of(copied) != sound_sources()


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "text" / "new.py").write_text(""),
        lambda folder: (folder / "text" / "words.json").write_text("{}"),
        lambda folder: (folder / "text" / "tags.py").unlink(),
        lambda folder: (folder / "text" / "tags.py").rename(folder / "text" / "gats.py"),
    ],
)
def test_sources_hash_when_one_has_come_gone_or_another_name_then_it_is_another(
    copied: Path, change: Callable[[Path], object]
) -> None:
    change(copied)
    assert hash_of(copied) != sound_sources()


def test_sources_hash_when_nothing_that_sounds_is_changed_then_it_is_the_same(copied: Path) -> None:
    (copied / "logs.py").write_text("")
    (copied / "text" / "__pycache__").mkdir(exist_ok=True)
    (copied / "text" / "__pycache__" / "tags.pyc").write_bytes(b"")
    assert hash_of(copied) == sound_sources()
