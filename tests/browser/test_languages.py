"""The page in English and Polish."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.actions import wait_for_state
from tests.browser.conftest import Visit
from tests.docs.page_texts import forms, texts
from tests.parts.appliance import Appliance

VIEWS = ("speak", "jobs", "voices", "clients", "dictionary")


def heading(page: Page) -> str:
    text: str = page.locator("h1").inner_text()
    return text


@pytest.mark.parametrize(
    ("locale", "language", "title"),
    [
        ("en-GB", "en", "Speech appliance"),
        ("pl-PL", "pl", "Urządzenie mówiące"),
        ("de-DE", "en", "Speech appliance"),
    ],
)
def test_language_when_the_page_is_opened_first_then_the_browsers_or_english(
    locale: str, language: str, title: str, browser: Browser, appliance: Appliance
) -> None:
    visit = Visit(browser, appliance.base_url, locale=locale)
    page = visit.open()
    assert (heading(page), page.title()) == (title, title)
    expect(page.locator("html")).to_have_attribute("lang", language)
    assert page.input_value("#language") == language
    page.click("#speak")
    wait_for_state(page, "ended")
    visit.context.close()
    assert visit.complaints == []


def test_language_when_chosen_then_remembered_and_the_text_stays(visit: Visit) -> None:
    page = visit.open()
    page.fill("#text", "My own words.")
    page.select_option("#page-language", "pl")
    expect(page.locator("h1")).to_have_text("Urządzenie mówiące")
    page.locator("#speak:enabled").wait_for()
    assert page.input_value("#text") == "My own words."
    other = visit.context.new_page()
    other.goto("/")
    expect(other.locator("h1")).to_have_text("Urządzenie mówiące")
    expect(other.locator("#counter")).to_have_text("108 z 20 000 znaków")
    other.select_option("#page-language", "en")
    expect(other.locator("h1")).to_have_text("Speech appliance")


def test_page_when_polish_then_no_text_is_left_in_english(browser: Browser, appliance: Appliance) -> None:
    english, polish = texts("en"), texts("pl")
    same = {form for text in polish.values() for form in forms(text)}
    foreign = {form for text in english.values() for form in forms(text)} - same
    visit = Visit(browser, appliance.base_url, locale="pl-PL")
    found: set[str] = set()
    for view in VIEWS:
        page = visit.open_view(view)
        page.locator("#version:not(:empty)").wait_for()
        found |= set(
            page.evaluate("""() => {
                const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
                const found = [];
                while (walker.nextNode()) found.push(walker.currentNode.data.trim());
                for (const element of document.querySelectorAll("[aria-label], [placeholder]")) {
                    found.push(element.getAttribute("aria-label"), element.getAttribute("placeholder"));
                }
                return found.filter(Boolean);
            }""")
        )
    assert len(found) > 300
    assert found & foreign == set()
    visit.context.close()
    assert visit.complaints == []
