"""What an importer writes down of its imports, beside those of others."""

import os
from pathlib import Path

from appliance.voice_imports import ImportState, VoiceImport, other_importers, read_imports, write_imports
from processes.importer.book import ImportBook
from processes.importer.telling import ImportLog

MODEL = "tts_models/en/ljspeech/vits"
FAILED = VoiceImport(
    "tts_models/pl/mai_female/vits", ImportState.FAILED, reason="No network", code="download_failed"
)


def told(run_dir: Path) -> dict[str, ImportState]:
    return {each.model: each.state for each in read_imports(run_dir)}


def test_book_when_another_importer_has_ended_meanwhile_then_its_end_stays_and_is_gone_with_the_next(
    tmp_path: Path,
) -> None:
    book = ImportBook(tmp_path, ImportLog())
    book.note(MODEL)
    waiting = other_importers(tmp_path, os.getppid(), are_all=False)
    write_imports(tmp_path, os.getppid(), [FAILED], waiting)
    assert told(tmp_path) == {MODEL: ImportState.WAITING, FAILED.model: ImportState.FAILED}
    book.note(MODEL, state=ImportState.DOWNLOADING)
    assert told(tmp_path) == {MODEL: ImportState.DOWNLOADING, FAILED.model: ImportState.FAILED}
    ImportBook(tmp_path, ImportLog()).note(MODEL)
    assert told(tmp_path) == {MODEL: ImportState.WAITING}
