"""Pins that outlive what gives their answers another name, and a gateway that hasn't spoken them yet."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes.gateway.answer_files import MAX_PINS
from tests.integration.test_cache import cache, files, speak
from tests.parts.appliance import eventually, running_appliance
from tests.parts.ttsctl import run_ttsctl

pytestmark = pytest.mark.timeout(120)
SETTINGS = {"CACHE_SPEECH": "true", "VOICES_DEFAULT": "tone-low"}
TEXT = "This stays, whatever comes."
PIN = ("pin", TEXT, "--voice", "tone-low")


@pytest.fixture
def base() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


def pins(base: Path) -> list[Path]:
    return list((base / "data" / "cache").glob("??/*.pin"))


def test_pin_when_a_setting_gives_its_answer_another_name_then_that_is_pinned_and_spoken(base: Path) -> None:
    with running_appliance(base, **SETTINGS) as appliance:
        assert cache(appliance, *PIN)["pinned"]
        eventually(lambda: files(base))
        appliance.stop()
    [before], [pin] = files(base), pins(base)
    assert json.loads(pin.read_bytes()) == {
        "input": TEXT,
        "voice": "tone-low",
        "response_format": "mp3",
        "speed": 1.0,
    }
    assert pin.stat().st_mode & 0o777 == 0o600
    with running_appliance(base, **SETTINGS, TEXT_PAUSE_S=1.5) as appliance:
        eventually(lambda: files(base) and files(base) != [before])
        eventually(lambda: len(files(base)) == len(pins(base)) == 1)
        assert cache(appliance, "purge")["removed"] == 0
        assert speak(appliance, TEXT)[0] == "hit"
        assert cache(appliance, "stats")["files"]["pinned"] == 1
        assert cache(appliance, "unpin", *PIN[1:])["was_pinned"]
        assert pins(base) == []
        assert cache(appliance, "purge")["removed"] == 1


def test_pin_when_the_gateway_ends_before_it_is_spoken_then_the_next_one_speaks_it(base: Path) -> None:
    with running_appliance(base, **SETTINGS, DISPATCH_OUTAGE_LIMIT_S=0.5) as appliance:
        assert appliance.supervisorctl("stop", "worker-tone-1").returncode == 0
        assert cache(appliance, *PIN) == {"pinned": True, "kept": False}
        appliance.stop()
    assert files(base) == []
    with running_appliance(base, **SETTINGS) as appliance:
        eventually(lambda: files(base))
        assert speak(appliance, TEXT)[0] == "hit"


@pytest.mark.slow
def test_pin_when_its_voice_is_gone_then_it_is_idle_until_that_is_back_or_a_purge_takes_it(
    base: Path,
) -> None:
    with running_appliance(base, **SETTINGS, WORKERS_ESPEAK=1) as appliance:
        cache(appliance, "pin", TEXT, "--voice", "en-us")
        eventually(lambda: files(base))
        appliance.stop()
    with running_appliance(base, **SETTINGS) as appliance:
        assert appliance.wait_for("cache_pins_idle")["reasons"] == ["voice_not_found"]
        assert cache(appliance, "stats")["files"]["pinned"] == 1
        appliance.stop()
    with running_appliance(base, **SETTINGS, WORKERS_ESPEAK=1) as appliance:
        assert cache(appliance, "pin", TEXT, "--voice", "en-us") == {"pinned": True, "kept": True}
        appliance.stop()
    with running_appliance(base, **SETTINGS) as appliance:
        appliance.wait_for("cache_pins_idle")
        assert cache(appliance, "purge")["removed"] == 1
        assert cache(appliance, "stats")["files"]["pinned"] == 0
    assert files(base) == pins(base) == []


def test_pin_when_there_are_as_many_as_may_be_then_refused(base: Path) -> None:
    """Pins of no request, which a disk may leave, count like any other."""
    for number in range(MAX_PINS):
        path = base / "data" / "cache" / f"{number % 256:02x}" / f"{number:062x}.pin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with running_appliance(base, **SETTINGS) as appliance:
        refused = run_ttsctl(appliance, "--json", "cache", *PIN)
        assert refused.returncode != 0
        assert f"{MAX_PINS} pinned answers" in refused.stdout + refused.stderr
        appliance.wait_for("cache_pins_idle", count=MAX_PINS)
