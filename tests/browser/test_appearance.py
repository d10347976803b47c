"""The page fits its screen, can be read, can be used without a mouse, and loads nothing foreign."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_views_when_light_or_dark_then_contrast_is_enough(
    scheme: str, browser: Browser, appliance: Appliance
) -> None:
    visit = Visit(browser, appliance.base_url, color_scheme=scheme)
    page = visit.open_view("voices")
    names = [
        "#voice-list h3",
        "#voice-list .quiet",
        "#voice-list code",
        "[data-part=use]",
        "[data-chosen] [data-part=use]",
    ]
    page.locator("[data-part=sample]").first.click()
    expect(page.locator("[data-sample=playing]")).to_have_count(1)
    contrasts = contrasts_of(
        page, [*names, "[data-sample=playing] [data-part=sample]", "#gallery-count", "#page-language"]
    )
    page.evaluate("location.hash = 'clients'")
    card = page.locator("[data-client=librechat]")
    card.locator("[data-part=test]").click()
    expect(card).to_have_attribute("data-test", "passed")
    names = [
        ".setting dt",
        ".setting code",
        ".setting button",
        ".mark",
        ".steps strong",
        ".steps li > span:last-child",
    ]
    contrasts |= contrasts_of(
        page, [*names, "[data-client=librechat] [data-part=verdict]", "#client-address", "#client-own"]
    )
    page.evaluate("document.querySelector('.steps li').dataset.step = 'failed'")
    contrasts |= contrasts_of(page, ["[data-step=failed] > span:last-child"])
    page.evaluate("location.hash = 'speak'")
    page.click("#speak")
    expect(page.locator(".said")).to_be_visible()
    contrasts |= contrasts_of(page, ["#captions", ".said"])
    assert {name: ratio for name, ratio in contrasts.items() if ratio < LEAST_CONTRAST} == {}
    visit.context.close()


@pytest.mark.parametrize("locale", ["en-US", "pl-PL"])
@pytest.mark.parametrize("view", ["jobs", "voices", "clients", "dictionary"])
def test_view_when_on_a_phone_then_nothing_sticks_out(
    view: str, locale: str, browser: Browser, appliance: Appliance
) -> None:
    visit = Visit(browser, appliance.base_url, viewport={"width": 360, "height": 800}, locale=locale)
    page = visit.open_view(view)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    outside = page.evaluate("""() => [...document.querySelectorAll("button, input, select, code")]
        .filter((each) => each.checkVisibility() && !each.closest(".hidden, .checks"))
        .map((each) => [each.id || each.dataset.part, each.getBoundingClientRect()])
        .filter(([_, box]) => box.left < 0 || box.right > innerWidth)
        .map(([name]) => name)""")
    assert outside == []
    visit.context.close()
    assert visit.complaints == []


def test_views_when_used_with_the_keyboard_then_every_control_is_reached_in_its_order(page: Page) -> None:
    page.get_by_role("link", name="Voices").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#gallery-language")).to_be_visible()
    names = []
    for _ in range(7):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate("""() => {
            const { id, dataset } = document.activeElement;
            return id || dataset.part || dataset.view;
        }""")
        )
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert names == [
        "clients",
        "dictionary-link",
        "gallery-language",
        "gallery-search",
        "sample",
        "use",
        "sample",
    ]
    page.keyboard.press("Enter")
    expect(page.locator("[data-sample=playing]")).to_have_count(1)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_have_attribute("data-view", "speak")
    expect(page.locator("#text")).to_be_focused()


@pytest.mark.parametrize("view", ["speak", "jobs", "voices", "clients", "dictionary"])
def test_view_when_read_aloud_then_every_control_and_list_has_a_name(view: str, visit: Visit) -> None:
    page = visit.open_view(view)
    tree = page.locator("main").aria_snapshot()
    unnamed = [
        line.strip()
        for line in tree.splitlines()
        if re.match(r"\s*- (button|textbox|combobox|searchbox|slider|link|img|checkbox)(:|$| \[)", line)
    ]
    assert [line for line in unnamed if line != "- img"] == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len({*ids})


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
    page = visit.open()
    for view in ("jobs", "voices", "clients", "dictionary"):
        page.evaluate("(view) => { location.hash = view; }", view)
        page.wait_for_selector(f"body[data-view={view}]")
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
