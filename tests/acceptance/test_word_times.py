"""When words sound in what a player gets of espeak's voices, held against silence and onsets in the PCM."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from appliance.speech import AudioFormat
from tests.parts.appliance import Appliance, running_appliance
from tests.parts.audio import RATE_HZ, decode
from tests.parts.onsets import distance_s, onsets_s

LIMIT_S = 0.05
"""A word's time may be so far from its sound."""
SILENCE_S = 0.03
"""The pause at a comma has 0.1 s at normal speed, and shrinks faster than the words do."""
SHIFT_S = 0.1
PAUSES = tuple(",.;:!?。\uff0c\uff1b")

CORPUS = {
    "en-us": (
        "In the morning, when the sun rose, people went out. Some walked; others took the bus. Nobody "
        "spoke, because it was 21,5 °C, and **the day** was long. Well, at 10:45, they all came back. "
        "Again, and again, the door opened."
    ),
    "de": (
        "Am Morgen, als die Sonne aufging, gingen die Leute hinaus. Manche liefen; andere nahmen den "
        "Bus. Niemand sprach, weil es 21,5 °C waren, und der Tag war lang. Nun, um 10:45 Uhr, kamen "
        "alle zurück."
    ),
    "fr-fr": (
        "Le matin, quand le soleil se leva, les gens sortirent. Certains marchaient; d'autres "
        "prenaient le bus. Personne ne parlait, parce qu'il faisait 21,5 °C, et la journée était "
        "longue."
    ),
    "pl": (
        "Rano, kiedy wzeszło słońce, ludzie wyszli. Jedni szli; inni jechali autobusem. Nikt nie "
        "mówił, bo było 21,5 °C, a dzień był długi. Potem, o 10:45, wszyscy wrócili."
    ),
    "es": (
        "Por la mañana, cuando salió el sol, la gente salió. Algunos caminaban; otros tomaron el "
        "autobús. Nadie hablaba, porque hacía 21,5 °C, y el día era largo."
    ),
    "cmn": (
        "早上\uff0c太阳出来的时候\uff0c人们出去了。有些人走路\uff1b有些人坐公交车。没有人说话\uff0c天也很长。"
    ),
}
WAYS = [
    *(("wav", 1.0), ("mp3", 1.0), ("opus", 1.0), ("aac", 1.0), ("pcm", 1.5), ("wav", 2.0)),
    *(("flac", 0.75), ("wav", 0.5), ("mp3", 0.3)),
]
"""The last is stretched: espeak-ng itself reaches 0.48."""


@pytest.fixture(scope="module")
def appliance() -> Iterator[Appliance]:
    base = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    with running_appliance(base, WORKERS_ESPEAK=2, WORKERS_TONE=0, TEXT_PAUSE_S=0.2) as running:
        yield running
    shutil.rmtree(base)


def spoken(appliance: Appliance, text: str, **fields: Any) -> tuple[list[dict[str, Any]], bytes]:
    """Return the words with their times, and the audio."""
    body = {"input": text, "stream_format": "sse", "timestamps": "word", **fields}
    request = urllib.request.Request(
        f"{appliance.base_url}/v1/audio/speech",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        raw = answer.read().decode()
    events = [json.loads(line.removeprefix("data: ")) for line in raw.split("\n\n") if line]
    audio = b"".join(base64.b64decode(event.get("audio", "")) for event in events)
    return [word for event in events for word in event.get("words", ())], audio


def behind_pauses(words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the words that silence stands before: the others run into each other."""
    found = [word for before, word in pairwise(words) if before["word"].endswith(PAUSES)]
    return [words[0], *found]


def too_far(words: list[dict[str, Any]], onsets: list[float]) -> list[dict[str, Any]]:
    """Return the words whose time isn't that of a sound."""
    return [word for word in words if distance_s(word["start"], onsets) > LIMIT_S]


@pytest.mark.parametrize(("audio_format", "speed"), WAYS)
@pytest.mark.parametrize("language", CORPUS)
@pytest.mark.timeout(120)
def test_words_when_behind_a_pause_then_their_time_is_that_of_their_sound(
    appliance: Appliance, language: str, audio_format: str, speed: float
) -> None:
    words, audio = spoken(
        appliance, CORPUS[language], voice=language, response_format=audio_format, speed=speed
    )
    pcm = decode(AudioFormat(audio_format), audio)
    onsets = onsets_s(pcm, RATE_HZ, SILENCE_S / max(1.0, speed) ** 2)
    found = behind_pauses(words)
    assert len(found) >= 6
    late = too_far(found, onsets)
    distances_ms = sorted(round(distance_s(word["start"], onsets) * 1000) for word in found)
    print(f"{language} {audio_format} {speed}: {distances_ms} ms")
    assert late == []
    if speed == 1.0:
        for shift_s in (SHIFT_S, -SHIFT_S):
            shifted = [word | {"start": word["start"] + shift_s} for word in found[1:]]
            assert len(too_far(shifted, onsets)) > len(shifted) / 2
    assert words[-1]["end"] <= len(pcm) / 2 / RATE_HZ + 0.001
