"""The gallery of voices: cards, filter, samples, the choice."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.actions import wait_for_state
from tests.browser.conftest import Visit
from tests.parts.appliance import Appliance


def card_of(page: Page, voice_id: str) -> Locator:
    id_shown = page.locator("code", has_text=voice_id)
    cards = page.locator("#voice-list > li").filter(has=id_shown)
    return cards.filter(has=page.get_by_text(voice_id, exact=True)).first


def shown(page: Page) -> list[str]:
    """The ids on the cards that are to be seen."""
    ids: list[str] = page.locator("#voice-list > li:visible [data-part=id]").all_text_contents()
    return ids


def listed(appliance: Appliance) -> list[dict[str, Any]]:
    return list(json.loads(appliance.get("/v1/audio/voices"))["voices"])


def test_gallery_when_shown_then_a_card_for_each_voice_says_what_it_is(
    visit: Visit, appliance: Appliance
) -> None:
    page = visit.open_view("voices")
    ids = [voice["id"] for voice in listed(appliance)]
    expect(page.locator("#voice-list > li")).to_have_count(len(ids))
    assert sorted(shown(page)) == sorted(ids)
    expect(page.locator("#gallery-count")).to_have_text(f"{len(ids)} of {len(ids)} voices")
    card = card_of(page, "de")
    expect(card.get_by_role("heading")).to_have_text("German")
    expect(card.locator("[data-part=about]")).to_have_text("German · Male · espeak")
    about = page.locator("#voice-list [data-part=about]").all_text_contents()
    assert [text for text in about if len(text.split(" · ")) < 3] == []
    expect(card.get_by_role("button", name="Listen to German", exact=True)).to_be_visible()
    expect(card_of(page, "en-us").get_by_role("button", name="In use: English (America)")).to_be_visible()


def test_gallery_when_filtered_then_only_the_voices_that_fit_are_shown(
    visit: Visit, appliance: Appliance
) -> None:
    page = visit.open_view("voices")
    page.select_option("#gallery-language", label="Portuguese")
    count = len(listed(appliance))
    expect(page.locator("#gallery-count")).to_have_text(f"2 of {count} voices")
    assert sorted(shown(page)) == ["pt", "pt-br"]
    page.fill("#gallery-search", "BRAZIL espeak")
    expect(page.locator("#gallery-count")).to_have_text(f"1 of {count} voices")
    assert shown(page) == ["pt-br"]
    page.fill("#gallery-search", "nobody is called so")
    expect(page.locator("#gallery-count")).to_have_text(f"0 of {count} voices")
    assert shown(page) == []


def test_sample_when_asked_for_then_spoken_in_the_voice_and_its_language(
    visit: Visit, appliance: Appliance
) -> None:
    page = visit.open_view("voices")
    seen = len(appliance.lines)
    card = card_of(page, "de")
    with page.expect_request("**/v1/audio/speech") as asked:
        card.locator("[data-part=sample]").click()
    body = dict(asked.value.post_data_json or {})
    assert (body["voice"], body["input"]) == ("de", "Guten Morgen! Wie geht es Ihnen heute?")
    expect(card).to_have_attribute("data-sample", "playing")
    expect(card.get_by_role("button", name="Stop German", exact=True)).to_be_visible()
    expect(card).to_have_attribute("data-sample", "idle")
    assert appliance.wait_for("request_finished", after=seen, outcome="completed")["voice"] == "de"


def test_sample_when_stopped_or_followed_by_another_then_silent(visit: Visit) -> None:
    page = visit.open_view("voices")
    first, second = card_of(page, "de"), card_of(page, "sv")
    first.locator("[data-part=sample]").click()
    expect(first).to_have_attribute("data-sample", "playing")
    second.locator("[data-part=sample]").click()
    expect(first).to_have_attribute("data-sample", "idle")
    expect(second).to_have_attribute("data-sample", "playing")
    second.locator("[data-part=sample]").click()
    expect(second).to_have_attribute("data-sample", "idle")


def test_every_language_when_it_has_a_voice_then_there_is_something_to_say_in_it(
    visit: Visit, appliance: Appliance
) -> None:
    page = visit.open_view("voices")
    languages = sorted({voice["language"].split("-")[0] for voice in listed(appliance)})
    samples = page.evaluate(
        """async (languages) => {
            const { sampleOf } = await import("/page/samples.js");
            return languages.map((language) => [language, sampleOf(language)]);
        }""",
        languages,
    )
    assert [language for language, sample in samples if len(sample) < 5] == []
    assert dict(samples)["pl"].startswith("Dzień dobry")


def test_voice_when_chosen_then_the_playground_has_it(visit: Visit) -> None:
    page = visit.open_view("voices")
    card_of(page, "pl").locator("[data-part=use]").click()
    expect(page.locator("body")).to_have_attribute("data-view", "speak")
    expect(page.locator("#text")).to_be_focused()
    expect(page.locator("#status")).to_have_text("Spoken by Polish from now on.")
    assert (page.input_value("#language"), page.input_value("#voice")) == ("pl", "pl")
    page.fill("#text", "Dzień dobry.")
    with page.expect_request("**/v1/audio/speech") as asked:
        page.click("#speak")
    assert dict(asked.value.post_data_json or {})["voice"] == "pl"
    wait_for_state(page, "ended")
    page.reload()
    page.locator("#speak:enabled").wait_for()
    assert page.input_value("#voice") == "pl"


def test_speakers_when_a_voice_has_several_then_they_share_its_card(visit: Visit) -> None:
    visit.page.route("**/v1/audio/voices", add_speakers)
    page = visit.open_view("voices")
    card = card_of(page, "en-choir-vits")
    expect(card.locator("[data-part=speaker] option")).to_have_text(["The voice's own", "Anna", "Ben"])
    page.fill("#gallery-search", "anna vits")
    assert shown(page) == ["en-choir-vits"]
    card.get_by_label("Speaker").select_option("Ben")
    card.locator("[data-part=use]").click()
    assert page.input_value("#voice") == "en-choir-vits-ben"


def add_speakers(route: Route) -> None:
    """Put an imported voice with two speakers into the list, as the voice store lists them."""
    answer = route.fetch()
    values = answer.json()
    for index, (voice_id, name) in enumerate(
        (
            ("en-choir-vits", "Choir"),
            ("en-choir-vits-anna", "Choir, Anna"),
            ("en-choir-vits-ben", "Choir, Ben"),
        )
    ):
        own = {"id": voice_id, "name": name, "engine": "vits", "engine_voice": f"en-choir-vits/{index}"}
        values["voices"].append({**values["voices"][0], **own, "language": "en", "languages": ["en"]})
    route.fulfill(response=answer, json=values)
