"""What a player makes of the audio: ffmpeg decodes every format without a word of complaint."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.speech import AudioFormat
from tests.parts.appliance import Appliance, running_appliance

TEXTS = {
    "short": "The appliance speaks.",
    "long": "The appliance speaks at once, on any machine, and without a download. " * 20,
}
TOLERANCE_S = 0.15
TIME = re.compile(rb"time=(\d+):(\d+):(\d+\.\d+)")


@pytest.fixture(scope="module")
def appliance() -> Iterator[Appliance]:
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    with running_appliance(base, WORKERS_ESPEAK=2, WORKERS_TONE=0) as running:
        yield running
    shutil.rmtree(base)


def spoken(appliance: Appliance, text: str, audio_format: str) -> bytes:
    body = json.dumps({"input": text, "voice": "nova", "response_format": audio_format}).encode()
    request = urllib.request.Request(
        f"{appliance.base_url}/v1/audio/speech", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def decoded_s(path: Path, audio_format: str) -> float:
    """Decode a file whole; fail on any complaint; return the seconds of audio."""
    hints = ["-f", "s16le", "-ar", "24000", "-ac", "1"] if audio_format == "pcm" else []
    command = ["ffmpeg", "-nostdin", *hints, "-i", str(path), "-f", "null", "-"]
    strict = subprocess.run([*command[:1], "-v", "error", *command[1:]], capture_output=True, check=False)
    assert (strict.returncode, strict.stderr) == (0, b"")
    report = subprocess.run(command, capture_output=True, check=True).stderr
    hours, minutes, seconds = TIME.findall(report)[-1]
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


@pytest.mark.parametrize("length", TEXTS)
@pytest.mark.timeout(120)
def test_audio_when_played_then_no_format_gives_an_error_and_all_last_as_long(
    appliance: Appliance, tmp_path: Path, length: str
) -> None:
    durations_s = {}
    for audio_format in AudioFormat:
        path = tmp_path / f"speech.{audio_format}"
        path.write_bytes(spoken(appliance, TEXTS[length], audio_format))
        durations_s[audio_format] = decoded_s(path, audio_format)
    # espeak-ng isn't bit-reproducible: the same text differs by up to 0.2 % in length.
    tolerance_s = TOLERANCE_S + 0.002 * durations_s[AudioFormat.WAV]
    assert durations_s[AudioFormat.WAV] > 1
    assert max(durations_s.values()) - min(durations_s.values()) <= tolerance_s, durations_s


def test_audio_when_two_mp3_answers_are_put_together_then_they_play_as_one(
    appliance: Appliance, tmp_path: Path
) -> None:
    one, both = tmp_path / "one.mp3", tmp_path / "both.mp3"
    one.write_bytes(spoken(appliance, TEXTS["short"], "mp3"))
    both.write_bytes(one.read_bytes() + spoken(appliance, TEXTS["short"], "mp3"))
    assert decoded_s(both, "mp3") == pytest.approx(2 * decoded_s(one, "mp3"), abs=TOLERANCE_S)
