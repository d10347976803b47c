"""What tests do in the page's view of jobs and read from it."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import STEP_LIMIT_MS

BOOK = """# The Kettle

The kettle is on. The cat is out, and nobody knows where.

# The Cat

The cat came back. She was wet, and she had a fish with her.
"""
LONG_BOOK = " ".join(f"Page {number}. It rained, and the cat stayed in." for number in range(2_000))
"""Some minutes of work for the slow tone engine; in one line, since many are slow to be typed."""
SLOW_TONE = {"WORKERS_ESPEAK": 0, "WORKERS_TONE": 1, "TONE_CHUNK_DELAY_S": 0.05, "VOICES_DEFAULT": "tone-low"}


def start_job(page: Page, text: str) -> Locator:
    """Hand a text in; return the job's card once it is open."""
    before = page.locator(".job").count()
    page.fill("#text", text)
    page.click("#order")
    expect(page.locator(".job")).to_have_count(before + 1, timeout=STEP_LIMIT_MS)
    card = page.locator(".job").first
    expect(part(card, "title")).to_have_attribute("aria-expanded", "true")
    return card


def part(card: Locator, name: str) -> Locator:
    return card.locator(f"[data-part={name}]")


def wait_for_job(card: Locator, *states: str) -> None:
    pattern = re.compile(f"^({'|'.join(states)})$")
    expect(card).to_have_attribute("data-state", pattern, timeout=2 * STEP_LIMIT_MS)


def press(card: Locator, change: str) -> None:
    """Press a button of a job and say yes if something is asked."""
    if change in ("cancel", "delete"):
        card.page.once("dialog", lambda dialog: dialog.accept())
    part(card, change).click()


def heard(card: Locator) -> dict[str, Any]:
    """The audio's position and length in seconds, the current line's text, and the word that is marked."""
    return dict(
        card.evaluate("""(card) => {
            const audio = card.querySelector("audio");
            const text = (name) => card.querySelector(name)?.textContent ?? "";
            return {
                at_s: audio.currentTime,
                audio_s: audio.duration,
                is_paused: audio.paused,
                line: text(".cue[aria-current] > span:last-child"),
                word: text(".said"),
            };
        }""")
    )


def note_marked_words(card: Locator) -> None:
    """Have the page keep each word that is marked from now on, for `marked_words`."""
    card.evaluate("""(card) => {
        window.marked = [];
        let last = card.querySelector(".said");
        new MutationObserver(() => {
            const word = card.querySelector(".said");
            if (word && word !== last) {
                const is_in_line = word.closest(".cue").hasAttribute("aria-current");
                const at_s = card.querySelector("audio").currentTime;
                window.marked.push({ word: word.textContent.trim(), at_s, is_in_line });
                last = word;
            }
        }).observe(card, { subtree: true, attributes: true, attributeFilter: ["class"] });
    }""")


def marked_words(card: Locator, count: int) -> list[dict[str, Any]]:
    """Wait until so many words have been marked; return each with the audio's position then, in seconds."""
    card.page.wait_for_function("(count) => window.marked.length >= count", arg=count)
    return list(card.page.evaluate("window.marked"))


def wait_for_audio(card: Locator) -> None:
    """Wait until the player knows its file and the captions are there."""
    card.locator(".cue").first.wait_for()
    card.page.wait_for_function("() => document.querySelector('audio').readyState >= 1")


def job_id_of(page: Page) -> str:
    """The id of the open job."""
    page.wait_for_function("() => /^#jobs\\/[0-9a-f]{32}$/.test(location.hash)")
    return str(page.evaluate("location.hash.split('/')[1]"))


def remembered(page: Page) -> list[dict[str, Any]]:
    return list(page.evaluate("JSON.parse(localStorage.getItem('jobs') ?? '[]')"))
