"""The words that run along with what is spoken at once."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.actions import LONG_TEXT, wait_for_state

TEXT = "It is 21 °C in **Oslo** today.\nTomorrow, too."


def note_marked(page: Page) -> None:
    """Have the page keep each word that is marked, and how many columns were heard by then."""
    page.evaluate("""() => {
        window.marked = [];
        const box = document.getElementById("captions");
        new MutationObserver(() => {
            const word = box.querySelector(".said");
            if (word && word !== window.last) window.marked.push(word.textContent);
            window.last = word ?? window.last;
        }).observe(box, { subtree: true, attributes: true, attributeFilter: ["class"] });
    }""")


def marked(page: Page) -> list[Any]:
    return list(page.evaluate("window.marked"))


def test_words_when_spoken_then_as_written_and_each_is_marked_in_its_turn(page: Page) -> None:
    note_marked(page)
    page.fill("#text", TEXT)
    page.click("#speak")
    wait_for_state(page, "ended")
    words = page.locator("#captions span").all_inner_texts()
    assert words == ["It", "is", "21", "°C", "in", "Oslo", "today.", "Tomorrow,", "too."]
    assert page.locator("#captions").inner_text() == "It is 21 °C in Oslo today.\nTomorrow, too."
    seen = marked(page)
    assert [word for word in words if word in seen] == seen
    assert {"Oslo", "Tomorrow,"} <= {*seen}
    expect(page.locator(".said")).to_have_count(0)


def test_words_when_another_text_is_spoken_then_those_of_before_are_gone(page: Page) -> None:
    page.fill("#text", LONG_TEXT)
    page.click("#speak")
    expect(page.locator("#captions .said")).to_be_visible()
    page.fill("#text", "Dobranoc.")
    page.select_option("#language", label="Polish")
    page.click("#speak")
    wait_for_state(page, "ended")
    expect(page.locator("#captions")).to_have_text("Dobranoc.")
    expect(page.locator("#captions")).to_have_attribute("lang", "pl")


def test_words_when_there_are_many_then_the_one_that_is_heard_stays_in_sight(page: Page) -> None:
    page.fill("#text", "One two three four five six seven eight nine ten. " * 30)
    page.fill("#speed", "2")
    page.click("#speak")
    page.wait_for_function("() => document.getElementById('captions').scrollTop > 0")
    inside = page.evaluate("""() => {
        const box = document.getElementById("captions").getBoundingClientRect();
        const word = document.querySelector(".said").getBoundingClientRect();
        return word.top >= box.top && word.bottom <= box.bottom;
    }""")
    assert inside
    page.click("#stop")
