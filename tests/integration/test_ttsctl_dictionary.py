"""`ttsctl dictionary …` against an appliance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes.ttsctl.outcome import ExitCode
from tests.parts.appliance import Appliance, eventually
from tests.parts.asked import database_state
from tests.parts.ttsctl import run_ttsctl, run_ttsctl_in

pytestmark = pytest.mark.timeout(120)


def dictionary(appliance: Appliance, *arguments: str, code: int = ExitCode.OK) -> str:
    """Run the verb; return what it printed."""
    done = run_ttsctl(appliance, "dictionary", *arguments)
    assert done.returncode == code, done
    return done.stdout if code == ExitCode.OK else done.stderr


def clear(appliance: Appliance) -> None:
    done = run_ttsctl_in(appliance.environment, "dictionary", "import", "-", typed='{"entries": []}')
    assert done.stdout == "the dictionary has 0 entries now\n", done.stderr


@pytest.fixture
def empty(speaking: Appliance) -> Iterator[Appliance]:
    """An appliance whose dictionary is empty, and is emptied again."""
    eventually(lambda: database_state(speaking) == "ok")
    clear(speaking)
    yield speaking
    clear(speaking)


def test_entry_when_set_and_removed_then_it_is_tried_and_listed_so(empty: Appliance) -> None:
    assert dictionary(empty, "set", "Nguyen", "win") == "Nguyen is spoken as win from now on\n"
    dictionary(empty, "set", "Nguyen", "Wienn", "--language", "de")
    assert dictionary(empty, "try", "Dr. Nguyen is in.", "--voice", "en-us") == "Doctor win is in.\n"
    assert dictionary(empty, "try", "Nguyen", "--voice", "de") == "Wienn\n"
    rows = [line.split() for line in dictionary(empty).splitlines()]
    assert rows == [
        ["WORD", "SPOKEN", "LANGUAGE", "VOICE"],
        ["Nguyen", "win", "-", "-"],
        ["Nguyen", "Wienn", "de", "-"],
    ]
    assert dictionary(empty, "remove", "Nguyen", "--language", "de") == "Nguyen is left to the engines\n"
    assert "no such entry" in dictionary(empty, "remove", "Nguyen", "--language", "de", code=ExitCode.FAILED)
    assert json.loads(dictionary(empty, "list", "--json")) == json.loads(dictionary(empty, "export"))


def test_file_when_exported_and_imported_then_the_same_entries(empty: Appliance, tmp_path: Path) -> None:
    target = tmp_path / "words.json"
    dictionary(empty, "set", "Łódź", "wootch")
    assert dictionary(empty, "export", "-o", str(target)) == f"{target}\n"
    dictionary(empty, "remove", "Łódź")
    dictionary(empty, "set", "other", "udder")
    assert dictionary(empty, "import", str(target), "--add") == "the dictionary has 2 entries now\n"
    assert dictionary(empty, "import", str(target)) == "the dictionary has 1 entry now\n"
    assert dictionary(empty, "export") == target.read_text("utf-8")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no json", "JSON"),
        (b'{"entries": [{"word": "x"}]}', "entries.0.spoken"),
        (b" " * 8_388_609, "larger than 8388608 bytes"),
    ],
)
def test_file_when_it_is_no_dictionary_then_the_reason_and_nothing_has_changed(
    empty: Appliance, tmp_path: Path, content: bytes, said: str
) -> None:
    dictionary(empty, "set", "Nguyen", "win")
    path = tmp_path / "words.json"
    path.write_bytes(content)
    assert said in dictionary(empty, "import", str(path), code=ExitCode.FAILED)
    assert "Nguyen" in dictionary(empty)


def test_file_when_there_is_none_then_the_reason(empty: Appliance, tmp_path: Path) -> None:
    path = tmp_path / "absent.json"
    assert f"{path}: can't be read" in dictionary(empty, "import", str(path), code=ExitCode.FAILED)


def test_try_when_the_voice_is_unknown_then_the_gateways_reason(empty: Appliance) -> None:
    assert "no voice" in dictionary(empty, "try", "x", "--voice", "nobody", code=ExitCode.FAILED)
