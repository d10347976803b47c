"""A job's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.job_errors import JobDamagedError
from appliance.speech import WordMark
from processes.gateway.job_folder import (
    CHAPTERS_NAME,
    JOBS_NAME,
    SPOKEN_NAME,
    TEXT_NAME,
    JobFolder,
    SpokenUtterance,
    sweep,
)

ID = "0" * 32
SPOKEN = SpokenUtterance(b"\x01\x00\x02\x00", 22_050, (WordMark(0, 3, 0.5),))


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path, ID, 1.0)
    (made.path / SPOKEN_NAME).mkdir(parents=True)
    return made


def test_spoken_when_written_then_found_as_it_was(folder: JobFolder) -> None:
    sha256 = folder.put_spoken("name", SPOKEN)
    assert folder.find_spoken("name") == (SPOKEN, sha256)
    assert folder.read_spoken("name", sha256) == SPOKEN
    assert folder.find_spoken("another") is None


@pytest.mark.parametrize("place", ["pcm", "marks", "end", "all"])
def test_spoken_when_it_is_not_as_it_was_written_then_it_is_not_found_by_its_name(
    folder: JobFolder, place: str
) -> None:
    sha256 = folder.put_spoken("name", SPOKEN)
    path = folder.path / SPOKEN_NAME / "name"
    sha256_line, head, pcm = path.read_bytes().split(b"\n", 2)
    other_head = json.dumps(json.loads(head) | {"rate": 16_000}).encode()
    changed = {
        "pcm": [sha256_line, head, b"\x03" + pcm[1:]],
        "marks": [sha256_line, other_head, pcm],
        "end": [sha256_line, head, pcm[:-2]],  # as a kill leaves it
        "all": [b""],
    }
    path.write_bytes(b"\n".join(changed[place]))
    assert folder.find_spoken("name") is None
    assert folder.read_spoken("name", sha256) is None
    assert folder.put_spoken("name", SPOKEN) == sha256
    assert folder.read_spoken("name", sha256) == SPOKEN


def test_spoken_when_its_row_says_something_else_then_it_is_not_read(folder: JobFolder) -> None:
    folder.put_spoken("name", SPOKEN)
    assert folder.read_spoken("name", "0" * 64) is None
    assert folder.has_spoken("name")
    assert not folder.has_spoken("another")


def test_sync_when_one_can_not_be_forced_to_the_disk_then_none_is_found_by_its_name(
    folder: JobFolder,
) -> None:
    folder.put_spoken("name", SPOKEN)
    folder.sync_spoken(["name"])
    with pytest.raises(FileNotFoundError):
        folder.sync_spoken(["name", "another"])
    assert folder.find_spoken("name") is None


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
