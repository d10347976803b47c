"""The result of a job on the page: a player with its captions, chapters, and the listener's place in it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Visit
from tests.browser.job_actions import (
    BOOK,
    heard,
    job_id_of,
    marked_words,
    note_marked_words,
    part,
    start_job,
    wait_for_audio,
    wait_for_job,
)
from tests.parts.appliance import Appliance, eventually
from tests.parts.asked import asked
from tests.parts.jobs import job_of

NEAR_S = 0.3
"""What a jump in an mp3 may miss."""


@pytest.fixture
def card(visit: Visit) -> Locator:
    """A short book, spoken."""
    card = start_job(visit.open_jobs(), BOOK)
    wait_for_job(card, "completed")
    wait_for_audio(card)
    return card


def test_captions_when_moved_in_by_keys_then_one_line_is_reached_and_enter_plays(card: Locator) -> None:
    lines = card.locator(".cue")
    assert card.locator(".cue[tabindex='0']").count() == 1
    lines.first.focus()
    card.page.keyboard.press("ArrowDown")
    expect(lines.nth(1)).to_be_focused()
    card.page.keyboard.press("End")
    expect(lines.last).to_be_focused()
    card.page.keyboard.press("ArrowDown")
    expect(lines.last).to_be_focused()
    card.page.keyboard.press("Enter")
    eventually(lambda: heard(card)["line"] == lines.last.locator("> span:last-child").inner_text())
    card.page.keyboard.press("Home")
    expect(lines.first).to_be_focused()
    assert card.locator(".cue[tabindex='0']").count() == 1


def test_captions_when_played_then_the_marked_word_moves_on_with_the_sound(
    card: Locator, appliance: Appliance
) -> None:
    cues = asked(appliance, f"/v1/jobs/{job_id_of(card.page)}/captions.json")["cues"]
    spoken = [word for cue in cues for word in cue["words"]]
    assert heard(card)["word"].strip() in ("", spoken[0]["word"])
    note_marked_words(card)
    card.locator("audio").evaluate("(audio) => audio.play()")
    marked = marked_words(card, 8)
    rest = iter(spoken)
    for each in marked:  # in their order, if some are too short for a slow browser to draw
        word = next((word for word in rest if word["word"] == each["word"]), None)
        assert word is not None, marked
        assert each["is_in_line"]
        assert word["start"] - NEAR_S < each["at_s"] < word["end"] + NEAR_S, marked


def test_chapter_when_clicked_then_heard_from_there(card: Locator, appliance: Appliance) -> None:
    start_s = job_of(appliance, job_id_of(card.page))["chapters"][1]["start"]
    chapter = part(card, "chapters").get_by_role("button", name="The Cat")
    chapter.click()
    expect(chapter).to_have_attribute("aria-current", "true")
    assert heard(card)["at_s"] >= start_s - NEAR_S
    assert not heard(card)["is_paused"]
    expect(part(card, "chapters").locator("[aria-current]")).to_have_count(1)


@pytest.mark.parametrize("markup", ["<img src=x onerror=alert(1)>", "<script>alert(1)</script>"])
def test_text_when_it_is_markup_then_it_stays_text_everywhere(markup: str, visit: Visit) -> None:
    page = visit.open_jobs()
    card = start_job(page, f"# {markup} one\n\nTwo {markup} three.")
    wait_for_job(card, "completed")
    wait_for_audio(card)
    expect(part(card, "title")).to_have_text(f"{markup} one")
    assert page.locator("main script, main img[src=x]").count() == 0


def test_audio_when_the_browser_cannot_play_it_then_said_and_still_offered(visit: Visit) -> None:
    page = visit.open_jobs()
    page.locator("#job-format option").nth(1).wait_for(state="attached")
    page.select_option("#job-format", "pcm")
    card = start_job(page, BOOK)
    wait_for_job(card, "completed")
    expect(part(card, "note")).to_have_text("This browser can't play the file; save it instead.")
    expect(part(card, "save-audio")).to_be_visible()
