"""What the page says when something is wrong, and that it says it honestly."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.actions import LONG_TEXT, TEXT, wait_for_state
from tests.browser.conftest import Visit
from tests.parts.appliance import Appliance, running_appliance
from tests.parts.ttsctl import run_ttsctl

MAX_INPUT_CHARS = 20_000


def requests_of(page: Page) -> list[str]:
    """The paths of what the page asks the API for from now on, its looks at the health left out."""
    paths: list[str] = []

    def take(request: Request) -> None:
        path = urlsplit(request.url).path
        if path.startswith("/v1/"):
            paths.append(path)

    page.on("request", take)
    return paths


@pytest.mark.parametrize("button", ["#speak", "#download"])
@pytest.mark.parametrize("text", ["", " \n\t "])
def test_text_when_empty_then_said_without_asking(text: str, button: str, page: Page) -> None:
    asked = requests_of(page)
    page.fill("#text", text)
    page.click(button)
    wait_for_state(page, "error")
    expect(page.get_by_role("alert")).to_have_text("There is no text to speak yet.")
    expect(page.locator("#text")).to_be_focused()
    expect(page.locator("#text")).to_have_attribute("aria-invalid", "true")
    assert asked == []


def test_text_when_too_long_then_counted_and_said(page: Page) -> None:
    asked = requests_of(page)
    page.fill("#text", "😀" * (MAX_INPUT_CHARS + 3))
    expect(page.locator("#counter")).to_have_text("20,003 of 20,000 characters")
    page.click("#speak")
    wait_for_state(page, "error")
    expect(page.get_by_role("alert")).to_have_text("The text has 3 characters too many.")
    assert asked == []


def test_text_when_mended_then_the_error_goes(page: Page) -> None:
    asked = requests_of(page)
    page.fill("#text", "")
    page.click("#speak")
    wait_for_state(page, "error")
    page.fill("#text", TEXT)
    expect(page.locator("#text")).to_have_attribute("aria-invalid", "false")
    page.click("#speak")
    wait_for_state(page, "ended")
    expect(page.get_by_role("alert")).to_be_hidden()
    assert asked == ["/v1/audio/speech"]


def test_text_when_unspeakable_then_the_appliances_own_words(visit: Visit) -> None:
    page = visit.open()
    page.fill("#text", "…")
    page.click("#speak")
    wait_for_state(page, "error")
    expect(page.get_by_role("alert")).to_have_text(
        re.compile(r"^The text holds nothing that can be spoken.*\(status 400, request \w+\)$")
    )
    assert visit.take_refusals() == 1


@pytest.mark.parametrize("text", ["<script>alert(1)</script> Hello", '<img src=x onerror="alert(1)"> Hello'])
def test_text_when_it_is_markup_then_it_stays_text(text: str, page: Page, tmp_path: Path) -> None:
    page.fill("#text", text)
    with page.expect_download() as download:
        page.click("#download")
    assert re.fullmatch(r"[a-z0-9-]+\.mp3", download.value.suggested_filename)
    assert page.locator("main script, main img[src=x]").count() == 0


def test_speak_when_draining_then_says_when_to_come_back(visit: Visit, appliance: Appliance) -> None:
    page = visit.open()
    drain(appliance, "on")
    try:
        page.click("#speak")
        wait_for_state(page, "error")
        expect(page.get_by_role("alert")).to_have_text(
            re.compile(r"draining.* Try again in \d+ s\. \(status 503, request \w+\)$")
        )
        page.reload()
        expect(page.locator("#health")).to_have_attribute("data-status", "draining")
        expect(page.locator("#health-text")).to_have_text("Draining · 2 of 2 workers")
    finally:
        drain(appliance, "off")
    assert visit.take_refusals() >= 1


def test_speak_when_the_gateway_dies_then_the_break_is_told_and_it_mends(
    browser: Browser, base_dir: Path
) -> None:
    # The engine is slow, so that the page can't have read all that it reads ahead.
    settings = {
        "WORKERS_ESPEAK": 0,
        "WORKERS_TONE": 1,
        "TONE_CHUNK_DELAY_S": 0.2,
        "VOICES_DEFAULT": "tone-low",
    }
    with running_appliance(base_dir / "g", **settings) as slow:
        visit = Visit(browser, slow.base_url)
        page = visit.open()
        page.fill("#text", LONG_TEXT)
        page.click("#speak")
        wait_for_state(page, "playing")
        slow.program("gateway").send_signal(signal.SIGKILL)
        wait_for_state(page, "error")
        told = page.get_by_role("alert")
        expect(told).to_have_text("The connection broke off before the speech was complete.")
        expect(page.locator("#health")).to_have_attribute("data-status", "ok", timeout=60_000)
        page.fill("#text", TEXT)
        page.click("#speak")
        wait_for_state(page, "ended")
        visit.take_refusals()
        assert [text for text in visit.complaints if "net::ERR" not in text] == []
        visit.context.close()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file of API keys."""
    file = tmp_path / "keys"
    file.touch(mode=0o600)
    file.write_text("open-sesame\n")
    return file


def test_key_when_the_appliance_asks_for_one_then_typed_once_per_tab(
    browser: Browser, base_dir: Path, keys: Path
) -> None:
    settings = {"WORKERS_ESPEAK": 1, "WORKERS_TONE": 0, "HTTP_API_KEYS_FILE": keys}
    with running_appliance(base_dir / "k", **settings) as guarded:
        visit = Visit(browser, guarded.base_url)
        page = visit.open()
        page.fill("#text", TEXT)
        page.click("#speak")
        wait_for_state(page, "error")
        expect(page.get_by_role("alert")).to_contain_text("status 401")
        expect(page.locator("#key")).to_be_focused()
        page.fill("#key", "open-sesame")
        page.click("#speak")
        wait_for_state(page, "ended")
        page.reload()
        page.locator("#speak:enabled").wait_for()
        page.fill("#text", TEXT)
        page.press("#text", "Control+Enter")
        wait_for_state(page, "ended")
        assert visit.take_refusals() == 1
        assert visit.complaints == []
        visit.context.close()
        other = Visit(browser, guarded.base_url)
        assert other.open().input_value("#key") == ""
        other.context.close()


def test_key_when_even_the_lists_want_one_then_the_cursor_is_taken_only_once(
    browser: Browser, base_dir: Path, keys: Path
) -> None:
    settings = {"WORKERS_ESPEAK": 1, "WORKERS_TONE": 0, "HTTP_API_KEYS_FILE": keys, "VOICES_DEFAULT": "Nova"}
    with running_appliance(base_dir / "l", **settings, HTTP_PUBLIC_LISTS="false") as guarded:
        visit = Visit(browser, guarded.base_url)
        page = visit.page
        page.clock.install()
        page.goto("/")
        told = page.get_by_role("alert")
        expect(told).to_contain_text("status 401")
        expect(page.locator("#key")).to_be_focused()
        page.focus("#text")
        first = told.inner_text()
        with page.expect_response("**/v1/audio/voices") as refused:
            page.clock.run_for(11_000)
        assert refused.value.status == 401
        page.fill("#text", TEXT)
        expect(page.locator("#text")).to_be_focused()
        assert told.inner_text() == first
        page.fill("#key", "open-sesame")
        page.press("#key", "Tab")
        page.locator("#speak:enabled").wait_for()
        assert (page.input_value("#voice"), page.input_value("#variant")) == ("en-us", "f3")
        assert visit.take_refusals() >= 2
        visit.context.close()


def drain(appliance: Appliance, switch: str) -> None:
    """Switch draining as an operator does."""
    done = run_ttsctl(appliance, "drain", switch)
    assert done.returncode == 0, done.stderr
