"""Where imports beside the appliance stand, whatever their file holds."""

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.imports_beside import (
    FOLDER,
    MAX_FILE_BYTES,
    PLACES,
    claimed,
    read_all_imports,
    write_beside,
)
from appliance.voice_imports import (
    IMPORTS_FILE,
    KILLED,
    MAX_CHARS,
    MAX_IMPORTS,
    ImportState,
    VoiceImport,
    write_imports,
)

MODEL = "tts_models/en/ljspeech/vits"
WAITING = VoiceImport(MODEL, reason="No network; tried again after 10 s")
RUNNING = VoiceImport(MODEL, ImportState.EXPORTING, 0.25)
FAILED = VoiceImport(MODEL, ImportState.FAILED, reason="No network", code="download_failed")
DONE = VoiceImport(MODEL, ImportState.DONE, 1.0, voice="en-ljspeech-vits")
OTHER = "tts_models/pl/mai_female/vits"
OTHER_DONE = VoiceImport(OTHER, ImportState.DONE, 1.0, voice="pl-mai-female-vits")


def sorted_by_model(imports: list[VoiceImport]) -> list[VoiceImport]:
    return sorted(imports, key=lambda each: each.model)


def beside(data_dir: Path) -> list[VoiceImport]:
    return read_all_imports(data_dir / "run", data_dir)


def put(data_dir: Path, content: str | bytes) -> Path:
    path = data_dir / FOLDER / PLACES[0] / IMPORTS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("entry", [WAITING, RUNNING, FAILED, DONE], ids=lambda entry: entry.state)
def test_imports_when_their_writer_lives_then_read_as_written_and_what_has_ended_stays(
    tmp_path: Path, entry: VoiceImport
) -> None:
    with claimed(tmp_path) as folder:
        assert folder is not None
        write_beside(folder, [entry])
        assert beside(tmp_path) == [entry]
    [after] = beside(tmp_path)
    if entry.is_under_way:
        assert (after.state, after.reason, after.code) == (ImportState.FAILED, KILLED, "import_killed")
    else:
        assert after == entry


def test_claim_when_others_live_then_all_are_told_and_what_has_ended_is_forgotten_by_the_next(
    tmp_path: Path,
) -> None:
    with claimed(tmp_path) as first, claimed(tmp_path) as second:
        assert first is not None
        assert second is not None
        write_beside(first, [WAITING])
        write_beside(second, [OTHER_DONE])
        assert sorted_by_model(beside(tmp_path)) == [WAITING, OTHER_DONE]
        with claimed(tmp_path) as third:
            assert third is not None
            assert sorted_by_model(beside(tmp_path)) == [WAITING, OTHER_DONE]
    with claimed(tmp_path) as next_one:
        assert next_one is not None
        assert beside(tmp_path) == []


def test_import_when_one_of_two_importers_is_gone_then_only_its_own_has_failed(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack, claimed(tmp_path) as second:
        first = stack.enter_context(claimed(tmp_path))
        assert first is not None
        assert second is not None
        write_beside(first, [RUNNING])
        write_beside(second, [replace(RUNNING, model=OTHER)])
        stack.close()
        found = {each.model: each.state for each in beside(tmp_path)}
    assert found == {MODEL: ImportState.FAILED, OTHER: ImportState.EXPORTING}


def test_claim_when_all_places_are_taken_then_none_until_one_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.imports_beside.CLAIM_S", 0.05)
    with contextlib.ExitStack() as others:
        for _ in PLACES:
            assert others.enter_context(claimed(tmp_path)) is not None
        with claimed(tmp_path) as one_more:
            assert one_more is None
    with claimed(tmp_path) as one_more:
        assert one_more is not None


def test_claim_when_the_folder_cant_be_made_then_none(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file")
    with claimed(tmp_path) as folder:
        assert folder is None


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "7", b"\xff", '{"imports": {}}', DEEP, '{"imports": ' + DEEP[:60_000] + "}"],
    ids=range(8),
)
def test_imports_when_the_file_is_broken_then_none(tmp_path: Path, content: str | bytes) -> None:
    put(tmp_path, content)
    assert beside(tmp_path) == []


def test_imports_when_the_file_is_too_large_then_none(tmp_path: Path) -> None:
    text = json.dumps({"imports": [DONE.as_dict()]})
    put(tmp_path, text.ljust(MAX_FILE_BYTES))
    assert beside(tmp_path) == [DONE]
    put(tmp_path, text.ljust(MAX_FILE_BYTES + 1))
    assert beside(tmp_path) == []


def test_imports_when_the_file_is_a_link_or_a_pipe_then_none_and_nobody_waits(tmp_path: Path) -> None:
    path = put(tmp_path, json.dumps({"imports": [DONE.as_dict()]}))
    assert beside(tmp_path) == [DONE]
    other = path.rename(tmp_path / "other")
    path.symlink_to(other)
    assert beside(tmp_path) == []
    path.unlink()
    os.mkfifo(path)
    assert beside(tmp_path) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"model": 7},
        {"state": "dancing"},
        {"state": []},
        {"fraction": "half"},
        {"fraction": True},
        {"reason": None},
        {"voice": {}},
    ],
    ids=str,
)
def test_import_when_a_field_is_of_another_type_then_left_out_and_the_others_stay(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    put(tmp_path, json.dumps({"imports": [FAILED.as_dict() | changes, "nothing", DONE.as_dict()]}))
    assert beside(tmp_path) == [DONE]


def test_imports_when_there_are_many_with_long_texts_then_cut(tmp_path: Path) -> None:
    others = [DONE.as_dict() | {"model": f"{OTHER}-{number}"} for number in range(200)]
    long = {**FAILED.as_dict(), "reason": "\x1b[2J" + "x" * 1000, "fraction": 1e308, "more": 1}
    put(tmp_path, json.dumps({"imports": [long, *others]}))
    found = beside(tmp_path)
    assert len(found) == MAX_IMPORTS
    assert len(found[0].reason) == MAX_CHARS["reason"]
    assert found[0].reason.startswith(" [2Jx")
    assert found[0].fraction == 0


def test_imports_when_both_have_told_of_a_model_then_the_last_word_counts(tmp_path: Path) -> None:
    run_dir, data_dir = tmp_path / "run", tmp_path / "data"
    for each in (run_dir, data_dir):
        each.mkdir()
    other = VoiceImport("tts_models/pl/mai_female/vits", ImportState.DONE, 1.0)
    write_imports(run_dir, os.getpid(), [FAILED, other])
    path = put(data_dir, json.dumps({"imports": [DONE.as_dict()]}))
    os.utime(run_dir / IMPORTS_FILE, (1, 1))
    assert read_all_imports(run_dir, data_dir) == [DONE, other]
    os.utime(path, (0, 0))
    assert read_all_imports(run_dir, data_dir) == [FAILED, other]


def test_imports_when_there_are_too_many_then_those_under_way_stay(tmp_path: Path) -> None:
    run_dir, data_dir = tmp_path / "run", tmp_path / "data"
    run_dir.mkdir()
    write_imports(run_dir, os.getpid(), [WAITING])
    os.utime(run_dir / IMPORTS_FILE, (1, 1))
    for number, _ in enumerate(PLACES):
        entries = [replace(DONE, model=f"{OTHER}-{number}-{each}") for each in range(MAX_IMPORTS)]
        path = data_dir / FOLDER / PLACES[number] / IMPORTS_FILE
        path.parent.mkdir(parents=True)
        write_beside(path.parent, entries)
    found = read_all_imports(run_dir, data_dir)
    assert len(found) == MAX_IMPORTS
    assert found[-1] == WAITING
