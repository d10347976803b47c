"""Speaking, stopping, downloading: what the page is for."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.actions import (
    LONG_TEXT,
    PCM_BYTES_PER_S,
    TEXT,
    TOLERANCE_S,
    facts,
    painted,
    speech_s,
    wait_for_state,
)
from tests.browser.conftest import Visit
from tests.parts.appliance import Appliance, eventually, running_appliance

NOTICED_S = 1.0
"""What a test may be late in noticing the first sound."""


def test_speak_when_clicked_then_played_to_its_end(page: Page, appliance: Appliance) -> None:
    page.fill("#text", TEXT)
    assert painted(page) == {"heard": 0, "unheard": 0}
    page.click("#speak")
    wait_for_state(page, "playing", "ended")
    began_s = time.monotonic()
    wait_for_state(page, "ended")
    audio_s = float(facts(page)["audioS"])
    assert time.monotonic() - began_s > audio_s - NOTICED_S
    assert audio_s == pytest.approx(speech_s(appliance, TEXT), abs=TOLERANCE_S)
    assert painted(page)["heard"] > 100
    assert painted(page)["unheard"] == 0
    expect(page.locator("#status")).to_have_text(
        f"{audio_s:.1f} s of audio; the first sound came after {facts(page)['firstSoundMs']} ms."
    )
    expect(page.locator("#stop")).to_be_disabled()


def test_waveform_when_playing_then_shows_what_was_heard_and_what_comes(page: Page) -> None:
    page.fill("#text", LONG_TEXT[:2000])
    page.click("#speak")
    eventually(lambda: painted(page)["heard"] and painted(page)["unheard"])
    assert facts(page)["state"] == "playing"
    expect(page.locator("#time")).to_have_text(re.compile(r"^\d:\d\d\.\d / \d:\d\d\.\d$"))
    page.click("#stop")


def test_stop_when_clicked_then_silent_and_the_appliance_stops_working(
    page: Page, appliance: Appliance
) -> None:
    seen = len(appliance.lines)
    page.fill("#text", LONG_TEXT)
    page.click("#speak")
    wait_for_state(page, "playing")
    page.click("#stop")
    wait_for_state(page, "stopped")
    line = appliance.wait_for("request_finished", after=seen, outcome="cancelled")
    assert line["chars"] == len(LONG_TEXT)
    heard = page.inner_text("#time")
    expect(page.locator("#status")).to_have_text(re.compile(r"^Stopped after \d+\.\d s\.$"))
    expect(page.locator("#speak")).to_be_focused()
    page.fill("#text", "And on.")
    page.click("#speak")
    wait_for_state(page, "ended")
    assert page.inner_text("#time") != heard


def test_speak_when_already_speaking_then_only_the_new_text_is_heard(
    page: Page, appliance: Appliance
) -> None:
    seen = len(appliance.lines)
    page.fill("#text", LONG_TEXT)
    page.click("#speak")
    wait_for_state(page, "playing")
    page.fill("#text", TEXT)
    page.press("#text", "Control+Enter")
    wait_for_state(page, "ended")
    assert float(facts(page)["audioS"]) == pytest.approx(speech_s(appliance, TEXT), abs=TOLERANCE_S)
    appliance.wait_for("request_finished", after=seen, outcome="cancelled", chars=len(LONG_TEXT))


def test_speak_when_voice_variant_and_speed_are_chosen_then_they_are_asked_for(
    page: Page, appliance: Appliance
) -> None:
    page.select_option("#language", label="Polish")
    page.select_option("#variant", "f3")
    page.fill("#speed", "1.5")
    page.fill("#text", "Dzień dobry, sąsiedzie.")
    with page.expect_request("**/v1/audio/speech") as asked:
        page.click("#speak")
    assert asked.value.post_data_json == {
        "model": "tts-1",
        "input": "Dzień dobry, sąsiedzie.",
        "voice": "pl+f3",
        "response_format": "pcm",
        "stream_format": "sse",
        "timestamps": "word",
        "speed": 1.5,
    }
    wait_for_state(page, "ended")
    expected_s = speech_s(appliance, "Dzień dobry, sąsiedzie.", "pl+f3", 1.5)
    assert float(facts(page)["audioS"]) == pytest.approx(expected_s, abs=TOLERANCE_S)


@pytest.mark.parametrize(
    ("label", "voice"),
    [
        ("French", "fr-fr"),
        ("Portuguese", "pt"),
        ("Spanish", "es"),
        ("German", "de"),
        ("Chinese", "cmn"),
        ("English", "en-us"),
    ],
)
def test_language_when_chosen_then_its_usual_voice_is(label: str, voice: str, page: Page) -> None:
    page.select_option("#language", label="Polish")
    page.select_option("#language", label=label)
    assert page.input_value("#voice") == voice


def test_language_when_the_default_voice_is_still_to_come_then_that_voices(
    browser: Browser, base_dir: Path
) -> None:
    settings = {"WORKERS_ESPEAK": 1, "WORKERS_TONE": 0, "VOICES_DEFAULT": "pl-later-vits"}
    with running_appliance(base_dir / "b", **settings) as appliance:
        visit = Visit(browser, appliance.base_url)
        page = visit.open()
        assert (page.input_value("#language"), page.input_value("#voice")) == ("pl", "pl")
        visit.context.close()


def test_choices_when_the_page_is_opened_again_then_they_are_remembered(visit: Visit) -> None:
    page = visit.open()
    page.select_option("#language", label="German")
    page.select_option("#variant", "f2")
    page.fill("#speed", "0.8")
    page.select_option("#format", "flac")
    page.reload()
    page.locator("#speak:enabled").wait_for()
    chosen = [page.input_value(f"#{name}") for name in ("language", "voice", "variant", "speed", "format")]
    assert chosen == ["de", "de", "f2", "0.8", "flac"]


@pytest.mark.parametrize(
    ("audio_format", "magic"),
    [
        ("mp3", rb"\xff[\xe2-\xff]"),
        ("opus", rb"OggS"),
        ("aac", rb"\xff[\xf0-\xf9]"),
        ("flac", rb"fLaC"),
        ("wav", rb"RIFF....WAVE"),
        ("pcm", rb""),
    ],
)
def test_download_when_a_format_is_chosen_then_a_file_of_it(
    audio_format: str, magic: bytes, page: Page, tmp_path: Path
) -> None:
    page.fill("#text", TEXT)
    page.select_option("#format", audio_format)
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == f"good-morning-the-kettle-is-on.{audio_format}"
    download.value.save_as(tmp_path / "speech")
    data = (tmp_path / "speech").read_bytes()
    assert len(data) > 5_000
    assert re.match(magic, data, re.DOTALL)
    expect(page.locator("body")).to_have_attribute("data-download", "done")
    expect(page.locator("#download")).to_be_enabled()


def test_download_when_pcm_then_as_long_as_the_speech(
    page: Page, appliance: Appliance, tmp_path: Path
) -> None:
    page.fill("#text", TEXT)
    page.select_option("#format", "pcm")
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "speech")
    audio_s = (tmp_path / "speech").stat().st_size / PCM_BYTES_PER_S
    assert audio_s == pytest.approx(speech_s(appliance, TEXT), abs=TOLERANCE_S)
