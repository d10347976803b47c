"""The view for other programs: settings to copy, and tests that ask as they do."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect

from tests.browser.conftest import Visit
from tests.parts.appliance import Appliance, running_appliance

KEY = "open-sesame"
CLIENTS = {
    "open_webui": ["GET /v1/audio/models", "GET /v1/audio/voices", *["POST /v1/audio/speech"] * 3],
    "home_assistant": ["POST /process", *["GET /v1/audio/speech"] * 2],
    "sillytavern": [
        "POST /v1/audio/speech",
        "GET /speakers",
        "POST /set_tts_settings",
        "POST /tts_to_audio/",
    ],
    "librechat": ["POST /v1/audio/speech"] * 3,
}


def card_of(page: Page, client: str) -> Locator:
    return page.locator(f"[data-client={client}]")


def value_of(card: Locator, label: str) -> str:
    setting = card.locator(".setting").filter(has=card.page.get_by_text(label, exact=True))
    value: str = setting.locator("code").inner_text()
    return value


def run_test(card: Locator) -> str:
    """Press the button and return what is said in the end."""
    card.locator("[data-part=test]").click()
    expect(card).to_have_attribute("data-test", re.compile("^(passed|failed)$"))
    verdict: str = card.locator("[data-part=verdict]").inner_text()
    return verdict


@pytest.mark.parametrize("client", CLIENTS)
def test_client_when_tested_then_asked_as_it_does_and_every_step_is_told(client: str, visit: Visit) -> None:
    page = visit.open_view("clients")
    requests: list[str] = []
    bearers: list[str | None] = []

    def take(request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme == "http" and address.path != "/health":
            requests.append(f"{request.method} {address.path}")
            bearers.append(request.headers.get("authorization"))

    page.on("request", take)
    card = card_of(page, client)
    told = run_test(card)
    assert requests == CLIENTS[client]
    assert all(
        bearer
        for request, bearer in zip(requests, bearers, strict=True)
        if request == "POST /v1/audio/speech"
    )
    assert not any(
        bearer for request, bearer in zip(requests, bearers, strict=True) if request.startswith("GET")
    )
    steps = card.locator(".steps li")
    expect(steps).to_have_text([re.compile(r"^Works:\s*.+\..+\.$")] * steps.count())
    name = card.get_by_role("heading").inner_text()
    assert told == f"All {steps.count()} steps work: {name} gets on with this appliance."
    page.wait_for_function(
        "(client) => document.querySelector(`[data-client=${client}] audio`).readyState >= 1", arg=client
    )
    assert card.locator("audio").evaluate("(audio) => audio.duration") > 0.5


def test_settings_when_shown_then_they_hold_the_address_and_the_chosen_voice(
    visit: Visit, appliance: Appliance
) -> None:
    page = visit.open()
    page.select_option("#language", label="German")
    page.get_by_role("link", name="Other programs").click()
    webui = card_of(page, "open_webui")
    assert value_of(webui, "API Base URL") == f"{appliance.base_url}/v1"
    assert value_of(webui, "TTS Voice") == "de"
    assert "language: de" in value_of(card_of(page, "home_assistant"), "configuration.yaml")
    expect(page.locator("#client-own")).to_be_visible()
    page.fill("#client-address", "http://tts.lan:8123/")
    assert value_of(webui, "API Base URL") == "http://tts.lan:8123/v1"
    assert value_of(card_of(page, "home_assistant"), "Wyoming Protocol · Host") == "tts.lan"
    mary = value_of(card_of(page, "home_assistant"), "configuration.yaml")
    assert 'host: "tts.lan"' in mary
    assert "port: 8123" in mary
    page.fill("#client-address", "nowhere")
    expect(page.locator("#client-address")).to_have_attribute("aria-invalid", "true")
    assert value_of(webui, "API Base URL") == "http://tts.lan:8123/v1"


@pytest.mark.parametrize("has_clipboard", [True, False])
def test_setting_when_copied_then_the_clipboard_has_it(
    has_clipboard: bool, visit: Visit, appliance: Appliance
) -> None:
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit.open_view("clients")
    if not has_clipboard:  # as on plain http, where the older way is all there is
        page.evaluate(
            "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not here')); }"
        )
    button = page.get_by_role("button", name="Copy API Base URL, Open WebUI")
    button.click()
    expect(card_of(page, "open_webui").get_by_role("status").first).to_have_text("Copied")
    expect(button).to_be_focused()
    assert page.evaluate("navigator.clipboard.readText()") == f"{appliance.base_url}/v1"


def test_client_when_a_key_is_wanted_then_what_can_send_none_is_told_to_fail(
    browser: Browser, base_dir: Path
) -> None:
    key_file = base_dir / "clients-key"
    key_file.touch(mode=0o600)
    key_file.write_text(f"{KEY}\n")
    settings = {"WORKERS_ESPEAK": 1, "WORKERS_TONE": 0, "HTTP_API_KEYS_FILE": key_file}
    with running_appliance(base_dir / "q", **settings) as guarded:
        visit = Visit(browser, guarded.base_url)
        page = visit.open_view("clients")
        page.locator("#key-details summary").click()
        page.fill("#key", KEY)
        page.press("#key", "Tab")
        assert run_test(card_of(page, "home_assistant")).startswith("0 of 3 steps work")
        step = card_of(page, "home_assistant").locator(".steps li").first
        expect(step).to_contain_text("status 401")
        expect(step).to_have_attribute("data-step", "failed")
        assert run_test(card_of(page, "open_webui")).startswith("All 3 steps work")
        page.fill("#client-address", "http://tts.lan")
        assert KEY not in page.locator("#client-list").inner_text()
        assert visit.take_refusals() == 3
        assert visit.complaints == []
        visit.context.close()
