"""Where imports stand, as one process writes it and others read it."""

import os
from pathlib import Path

import pytest

from appliance.lifecycle import read_json, write_json
from appliance.settings import load_settings
from appliance.voice_imports import (
    IMPORTS_FILE,
    KILLED,
    REQUEST_FILE,
    ImportState,
    VoiceImport,
    missing_models,
    other_importers,
    read_imports,
    request_import,
    take_request,
    write_imports,
)
from appliance.voice_store import VoiceStore
from tests.parts.stored_voices import put

MODEL = "tts_models/en/ljspeech/vits"
OTHER = "tts_models/pl/mai_female/vits"
RUNNING = VoiceImport(MODEL, ImportState.EXPORTING, 0.25)
DONE = VoiceImport(OTHER, ImportState.DONE, 1.0, voice="pl-mai-female-vits")


def test_imports_when_their_writer_lives_then_read_as_written(tmp_path: Path) -> None:
    write_imports(tmp_path, os.getpid(), [RUNNING, DONE])
    assert read_imports(tmp_path) == [RUNNING, DONE]


@pytest.mark.parametrize("changes", [{"pid": 2**22 + 1}, {"started": 1}, {"started": None}])
def test_imports_when_their_writer_is_dead_then_what_was_under_way_has_failed(
    tmp_path: Path, changes: dict[str, int | None]
) -> None:
    write_imports(tmp_path, os.getpid(), [RUNNING, DONE])
    write_json(tmp_path / IMPORTS_FILE, read_json(tmp_path / IMPORTS_FILE) | changes)
    failed, done = read_imports(tmp_path)
    assert (failed.state, failed.reason, failed.code) == (ImportState.FAILED, KILLED, "import_killed")
    assert done == DONE


def test_imports_when_another_importer_writes_while_theirs_waits_then_both_are_there(tmp_path: Path) -> None:
    write_imports(tmp_path, os.getppid(), [RUNNING])
    waiting = other_importers(tmp_path, os.getpid(), are_all=False)
    write_imports(tmp_path, os.getpid(), [DONE], waiting)
    assert read_imports(tmp_path) == [RUNNING, DONE]
    assert other_importers(tmp_path, os.getpid(), are_all=False) == waiting
    assert other_importers(tmp_path, os.getppid(), are_all=False) == []  # it has ended all of its own
    again = VoiceImport(MODEL, ImportState.DOWNLOADING, 0.1)
    write_imports(tmp_path, os.getpid(), [again], waiting)
    assert read_imports(tmp_path) == [again]


def test_imports_when_another_has_ended_while_theirs_waited_then_both_are_there(tmp_path: Path) -> None:
    write_imports(tmp_path, os.getpid(), [DONE], [])
    beside = other_importers(tmp_path, os.getppid(), are_all=True)
    write_imports(tmp_path, os.getppid(), [RUNNING], beside)
    assert read_imports(tmp_path) == [DONE, RUNNING]


def test_imports_when_their_writer_died_before_another_writes_then_they_are_gone(tmp_path: Path) -> None:
    write_imports(tmp_path, 2**22 + 1, [RUNNING])
    assert other_importers(tmp_path, os.getpid(), are_all=False) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"others": 1}',
        '{"others": [1, {}]}',
        '{"pid": 1, "started": 1, "imports": [{"model": "x", "state": "dancing"}]}',
    ],
)
def test_imports_when_the_file_is_broken_then_none(tmp_path: Path, text: str) -> None:
    (tmp_path / IMPORTS_FILE).write_text(text)
    assert read_imports(tmp_path) == []


def test_imports_when_no_appliance_ever_ran_then_nothing_is_made(tmp_path: Path) -> None:
    write_imports(tmp_path / "run", os.getpid(), [RUNNING])
    assert not (tmp_path / "run").exists()


def test_request_when_left_then_taken_once(tmp_path: Path) -> None:
    request_import(tmp_path, MODEL)
    assert [take_request(tmp_path), take_request(tmp_path)] == [MODEL, None]


@pytest.mark.parametrize("model", ["../../etc", "tts_models/../../x", "/tmp/model", 7, None])
def test_request_when_it_names_no_model_then_none(tmp_path: Path, model: object) -> None:
    write_json(tmp_path / REQUEST_FILE, {"model": model})
    assert take_request(tmp_path) is None


def test_missing_when_a_voice_was_made_of_a_model_then_only_the_others(tmp_path: Path) -> None:
    put(VoiceStore(tmp_path), model=MODEL)
    settings = load_settings({"APPLIANCE_VOICES_IMPORT": f"{OTHER},{MODEL},{OTHER}"})
    assert missing_models(settings, VoiceStore(tmp_path)) == [OTHER]
