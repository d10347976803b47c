"""A job's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.job_errors import JobDamagedError
from processes.gateway.job_folder import (
    CHAPTERS_NAME,
    JOBS_NAME,
    PACK_NAME,
    SPOKEN_NAME,
    TEXT_NAME,
    JobFolder,
    sweep,
)

ID = "0" * 32


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path, ID, 1.0)
    (made.path / SPOKEN_NAME).mkdir(parents=True)
    return made


def test_leftovers_when_an_older_version_kept_a_file_for_each_utterance_then_they_are_deleted(
    folder: JobFolder,
) -> None:
    spoken = folder.path / SPOKEN_NAME
    for name in ("a" * 64, "b" * 32, "notes.txt", PACK_NAME):
        (spoken / name).touch()
    (folder.path / "audio-7.partial").touch()
    folder.forget_leftovers()
    assert {path.name for path in spoken.iterdir()} == {"notes.txt", PACK_NAME}
    assert [path.name for path in folder.path.iterdir()] == [SPOKEN_NAME]


def test_leftovers_when_there_is_no_folder_then_nothing_happens(tmp_path: Path) -> None:
    JobFolder(tmp_path, ID, 1.0).forget_leftovers()


def test_sweep_when_something_else_lies_among_the_folders_then_it_is_nobodys_business(
    tmp_path: Path, folder: JobFolder
) -> None:
    (tmp_path / JOBS_NAME / "before-restore").mkdir()
    (tmp_path / JOBS_NAME / "notes.txt").touch()
    assert sweep(tmp_path, -1.0) == [folder.path.name]


TEXT = "Wörter \ud800 und\r\nZeilen.\n" * 9_000


def test_text_when_written_then_read_as_it_was(folder: JobFolder) -> None:
    (folder.path / SPOKEN_NAME).rmdir()
    folder.upload_path.touch()
    folder.put_text(TEXT)
    assert "".join(folder.read_text()) == TEXT


@pytest.mark.parametrize("place", [0, 70, -1])
def test_text_when_the_disk_has_changed_a_bit_then_none_of_it_is_read(folder: JobFolder, place: int) -> None:
    (folder.path / SPOKEN_NAME).rmdir()
    folder.upload_path.touch()
    folder.put_text(TEXT)
    path = folder.path / TEXT_NAME
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(JobDamagedError):
        next(folder.read_text())


@pytest.mark.parametrize("content", [b"", b"[{", b"\xff"])
def test_chapters_when_the_disk_has_changed_them_then_they_are_damaged(
    folder: JobFolder, content: bytes
) -> None:
    assert folder.read_chapters() == []
    (folder.path / CHAPTERS_NAME).write_bytes(content)
    with pytest.raises(JobDamagedError):
        folder.read_chapters()
