"""The view for the pronunciation dictionary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Visit
from tests.parts.appliance import Appliance, running_appliance
from tests.parts.asked import asked

KEY = "open-sesame"


@pytest.fixture(scope="module")
def operated(base_dir: Path) -> Iterator[Appliance]:
    """An appliance with an admin key."""
    key_file = base_dir / "dictionary-key"
    key_file.touch(mode=0o600)
    key_file.write_text(f"{KEY}\n")
    settings = {"WORKERS_ESPEAK": 1, "WORKERS_TONE": 0, "ADMIN_KEY_FILE": key_file}
    with running_appliance(base_dir / "d", **settings) as running:
        yield running


@pytest.fixture
def visit(browser: Browser, operated: Appliance) -> Iterator[Visit]:
    visit = Visit(browser, operated.base_url)
    yield visit
    visit.context.close()
    assert visit.complaints == []


@pytest.fixture
def page(visit: Visit, operated: Appliance) -> Page:
    """The open dictionary, with nothing in it."""
    page = visit.open()
    page.get_by_role("link", name="Dictionary").click()
    page.fill("#admin-key", KEY)
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#entry-word")).to_be_focused()
    while page.locator("#entry-list > li").count():
        count = page.locator("#entry-list > li").count()
        remove(page.locator("#entry-list > li").first)
        expect(page.locator("#entry-list > li")).to_have_count(count - 1)
    assert entries(operated) == []
    return page


def entries(appliance: Appliance) -> list[dict[str, str]]:
    return list(asked(appliance, "/admin/dictionary")["entries"])


def add(page: Page, word: str, spoken: str, language: str = "", voice: str = "") -> None:
    values = {"word": word, "spoken": spoken, "language": language, "voice": voice}
    for field, value in values.items():
        page.fill(f"#entry-{field}", value)
    page.click("#entry-save")
    expect(page.locator("#dictionary-status")).to_contain_text(word)
    expect(page.locator("#entry-word")).to_be_empty()


def entry(page: Page, word: str) -> Locator:
    return page.locator("#entry-list > li").filter(has=page.get_by_text(word, exact=True))


def remove(item: Locator) -> None:
    item.page.once("dialog", lambda dialog: dialog.accept())
    item.locator("[data-part=remove]").click()


def test_entry_when_added_changed_and_removed_then_the_appliance_has_it_so(
    page: Page, operated: Appliance
) -> None:
    add(page, "Nguyen", "win")
    add(page, "Oslo", "Ooslo", language="de")
    expect(page.locator("#dictionary-count")).to_have_text("2 entries")
    expect(entry(page, "Oslo").locator("[data-part=where]")).to_have_text("German")
    assert sorted((each["word"], each["spoken"], each["language"]) for each in entries(operated)) == [
        ("Nguyen", "win", ""),
        ("Oslo", "Ooslo", "de"),
    ]
    entry(page, "Nguyen").get_by_role("button", name="Change Nguyen").click()
    expect(page.locator("#entry-spoken")).to_have_value("win")
    add(page, "Nguyễn", "nwin", voice="en-us")
    assert [(each["word"], each["voice"]) for each in entries(operated) if each["word"] != "Oslo"] == [
        ("Nguyễn", "en-us")
    ]
    remove(entry(page, "Oslo"))
    expect(page.locator("#dictionary-status")).to_have_text("Oslo is spoken as before.")
    expect(page.locator("#dictionary-title")).to_be_focused()
    assert len(entries(operated)) == 1


def test_text_when_tried_then_what_is_spoken_is_shown_and_heard(page: Page, operated: Appliance) -> None:
    add(page, "Nguyen", "win")
    seen = len(operated.lines)
    page.fill("#try-text", "Dr. Nguyen is in.")
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("#try-spoken")).to_have_text("Spoken: Doctor win is in.")
    operated.wait_for("request_finished", after=seen, outcome="completed")
    expect(page.locator("#try-stop")).to_be_hidden()
    entry(page, "Nguyen").get_by_role("button", name="Listen to Nguyen").click()
    expect(page.locator("#try-spoken")).to_have_text("Spoken: win")
    expect(page.locator("#try-stop")).to_be_hidden()


def test_file_when_exported_and_imported_then_the_same_entries(
    page: Page, operated: Appliance, tmp_path: Path
) -> None:
    add(page, "Nguyen", "win")
    add(page, "Oslo", "Ooslo", language="de")
    before = entries(operated)
    with page.expect_download() as download:
        page.click("#dictionary-export")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert len(json.loads(file.read_text())["entries"]) == 2
    remove(entry(page, "Oslo"))
    expect(page.locator("#entry-list > li")).to_have_count(1)
    page.once("dialog", lambda dialog: dialog.accept())
    page.set_input_files("#dictionary-file", file)
    expect(page.locator("#dictionary-status")).to_have_text("2 entries were imported.")
    assert entries(operated) == before
    file.write_text("no entries")
    page.set_input_files("#dictionary-file", file)
    expect(page.locator("#dictionary-message")).to_contain_text("The file holds no entries")
    assert entries(operated) == before


def test_entry_when_the_appliance_refuses_it_then_its_own_words(visit: Visit, page: Page) -> None:
    page.fill("#entry-word", "…")
    page.fill("#entry-spoken", "dots")
    page.click("#entry-save")
    expect(page.locator("#dictionary-message")).to_contain_text("needs a letter or a digit")
    expect(page.locator("#entry-word")).to_have_value("…")
    assert visit.take_refusals() == 1


def test_key_when_wrong_then_asked_for_again_and_not_kept(visit: Visit) -> None:
    page = visit.open_view("dictionary")
    page.fill("#admin-key", "open-barley")
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#dictionary-message")).to_contain_text("status 401")
    expect(page.locator("#dictionary-open")).to_be_hidden()
    page.reload()
    expect(page.locator("#admin-key")).to_be_empty()
    assert visit.take_refusals() == 1


def test_dictionary_when_there_is_no_admin_key_then_said_how_to_make_one(
    browser: Browser, appliance: Appliance
) -> None:
    visit = Visit(browser, appliance.base_url)
    page = visit.open_view("dictionary")
    page.fill("#admin-key", "any")
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#dictionary-message")).to_contain_text("ttsctl keys create --name me --role admin")
    assert visit.take_refusals() == 1
    visit.context.close()
    assert visit.complaints == []
