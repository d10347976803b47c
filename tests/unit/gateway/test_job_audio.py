"""A job's result while it is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.audio.files import Tags
from appliance.job_errors import AudioTooLargeError
from appliance.speech import JobFormat
from processes.gateway import job_audio
from processes.gateway.job_audio import JobAudio
from processes.gateway.job_folder import JobFolder
from processes.gateway.job_pack import SpokenUtterance
from tests.unit.gateway.test_job_text import found_in

SPOKEN = SpokenUtterance(bytes(20_000), 10_000)


def test_add_when_a_wav_file_cannot_hold_more_then_too_large_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_audio, "MAX_WAV_BYTES", 50_000)
    folder = JobFolder(tmp_path, "0" * 32, 1.0)
    folder.make()
    audio = JobAudio(folder, JobFormat.WAV, 1.0, Tags("", "tone-low"))
    [found] = found_in("One.")
    audio.add(found, SPOKEN)
    audio.add(found, SPOKEN)
    with pytest.raises(AudioTooLargeError):
        audio.add(found, SPOKEN)
    audio.close()
    assert list(folder.path.iterdir()) == []
