"""The page fits its screen, can be read, can be used without a mouse, and loads nothing foreign."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.actions import LEAST_CONTRAST, TEXT, contrasts_of, painted, wait_for_state
from tests.browser.conftest import Visit
from tests.parts.appliance import Appliance

CONTROLS = ("text", "language", "voice", "variant", "speed", "speak", "stop", "format", "download")


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_page_when_narrow_or_wide_then_nothing_sticks_out(
    width: int, browser: Browser, appliance: Appliance
) -> None:
    visit = Visit(browser, appliance.base_url, viewport={"width": width, "height": 800})
    page = visit.open()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for control in CONTROLS:
        box = page.locator(f"#{control}").bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["height"] >= 44, f"{control} is too low for a finger"
    page.fill("#text", TEXT)
    page.click("#speak")
    wait_for_state(page, "ended")
    assert painted(page)["heard"] > 50
    visit.context.close()
    assert visit.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_when_light_or_dark_then_contrast_is_enough(
    scheme: str, browser: Browser, appliance: Appliance
) -> None:
    visit = Visit(browser, appliance.base_url, color_scheme=scheme)
    page = visit.open()
    page.fill("#text", "")
    page.click("#speak")
    wait_for_state(page, "error")
    names = ["h1", "label", "#counter", "#text", "#voice", "#speak", "#download", "#message"]
    names += ["#health", "#status", "summary", "footer p", "code", "a"]
    contrasts = contrasts_of(page, names)
    assert {name: ratio for name, ratio in contrasts.items() if ratio < LEAST_CONTRAST} == {}
    is_dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 23, 27)"
    assert is_dark == (scheme == "dark")
    visit.context.close()


def test_controls_when_read_aloud_then_each_has_a_name(page: Page) -> None:
    controls: list[tuple[Any, str]] = [
        ("textbox", "Text"),
        ("combobox", "Language"),
        ("combobox", "Voice"),
        ("combobox", "Variant"),
        ("slider", "Speed"),
        ("button", "Speak"),
        ("button", "Stop"),
        ("combobox", "File format"),
        ("button", "Download"),
        ("img", "Waveform of the audio"),
    ]
    counts = {
        control: page.get_by_role(control[0], name=control[1], exact=True).count() for control in controls
    }
    assert counts == dict.fromkeys(controls, 1)


def test_page_when_used_with_the_keyboard_then_every_control_is_reached_and_seen(page: Page) -> None:
    page.focus("#text")
    reached = ["text"]
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached[:-1] == [control for control in CONTROLS if control != "stop"]


def test_languages_when_listed_then_by_name_and_the_default_is_chosen(page: Page) -> None:
    names = page.locator("#language option").all_inner_texts()
    assert names == sorted(names, key=str.casefold) or names == page.evaluate(
        "(names) => [...names].sort((a, b) => a.localeCompare(b, 'en'))", names
    )
    assert {"English", "German", "Polish", "Japanese"} <= set(names)
    assert len(names) > 90
    assert [name for name in names if len(name) < 3] == []
    assert (page.input_value("#language"), page.input_value("#voice")) == ("en", "en-us")


def test_page_when_loaded_then_everything_comes_from_the_appliance(
    visit: Visit, appliance: Appliance
) -> None:
    urls: list[str] = []
    visit.page.on("request", lambda request: urls.append(request.url))
    visit.open()
    assert {url.removeprefix(appliance.base_url) for url in urls} >= {"/", "/page/app.js", "/page/style.css"}
    assert [url for url in urls if not url.startswith(f"{appliance.base_url}/")] == []


def test_page_when_foreign_code_gets_in_then_the_browser_refuses_it(visit: Visit) -> None:
    page = visit.open()
    blocked = page.evaluate("""() => new Promise((resolve) => {
        document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
        const script = document.createElement("script");
        script.textContent = "document.title = 'foreign'";
        document.body.append(script);
    })""")
    assert blocked == "script-src-elem"
    assert page.title() == "Speech appliance"
    assert len(visit.complaints) == 1
    visit.complaints.clear()
