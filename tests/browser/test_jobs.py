"""Jobs on the page: handing in, progress, what is done to them, what becomes of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import Visit
from tests.browser.job_actions import (
    BOOK,
    LONG_BOOK,
    SLOW_TONE,
    job_id_of,
    part,
    press,
    remembered,
    start_job,
    wait_for_job,
)
from tests.parts.appliance import Appliance, running_appliance
from tests.parts.asked import asked
from tests.parts.jobs import job_of, sent


@pytest.fixture(scope="module")
def slow(base_dir: Path) -> Iterator[Appliance]:
    """An appliance that takes minutes for a long text."""
    with running_appliance(base_dir / "s", **SLOW_TONE) as running:
        yield running


@pytest.fixture
def slow_visit(browser: Browser, slow: Appliance) -> Iterator[Visit]:
    visit = Visit(browser, slow.base_url)
    yield visit
    visit.context.close()
    assert visit.complaints == []


def test_job_when_handed_in_then_asked_for_as_chosen_and_its_files_are_offered(
    visit: Visit, appliance: Appliance, tmp_path: Path
) -> None:
    page = visit.open_jobs()
    page.select_option("#language", label="German")
    page.fill("#speed", "1.5")
    with page.expect_request(lambda request: request.method == "POST") as order:
        card = start_job(page, BOOK)
    assert order.value.post_data_json == {
        "model": "tts-1",
        "input": BOOK,
        "title": "The Kettle",
        "voice": "de",
        "response_format": "mp3",
        "speed": 1.5,
        "captions": True,
        "chapters": True,
    }
    expect(part(card, "title")).to_be_focused()
    wait_for_job(card, "completed")
    job = job_of(appliance, job_id_of(page))
    assert (job["voice"], job["chars"], job["speed"]) == ("de", len(BOOK), 1.5)
    expect(part(card, "title")).to_have_text("The Kettle")
    expect(part(card, "progress")).to_have_text(re.compile(r"^0:\d\d of audio · \d+ kB$"))
    expect(part(card, "chapters").get_by_role("button")).to_have_text(
        [re.compile(r"^The Kettle0:00$"), re.compile(r"^The Cat0:\d\d$")]
    )
    for name, file_name, magic in (
        ("save-audio", "The Kettle.mp3", rb"\xff[\xe2-\xff]"),
        ("save-srt", "the-kettle.srt", rb"1\n00:00:00"),
        ("save-vtt", "the-kettle.vtt", rb"WEBVTT"),
    ):
        with page.expect_download() as download:
            part(card, name).click()
        assert download.value.suggested_filename == file_name
        download.value.save_as(tmp_path / file_name)
        assert re.match(magic, (tmp_path / file_name).read_bytes())


def test_formats_when_listed_then_those_of_the_api(visit: Visit, appliance: Appliance) -> None:
    page = visit.open_jobs()
    formats = asked(appliance, "/openapi.json")["components"]["schemas"]["JobFormat"]["enum"]
    expect(page.locator("#job-format option")).to_have_count(len(formats))
    options = page.locator("#job-format option")
    assert [options.nth(at).get_attribute("value") for at in range(len(formats))] == formats
    page.select_option("#job-format", "wav")
    page.uncheck("#job-captions")
    page.reload()
    expect(page.locator("#job-format")).to_have_value("wav")
    expect(page.locator("#job-captions")).not_to_be_checked()
    card = start_job(page, BOOK)
    wait_for_job(card, "completed")
    part(card, "save-audio").wait_for()
    expect(part(card, "save-srt")).to_be_hidden()
    expect(part(card, "transcript")).to_be_hidden()
    expect(part(card, "contents")).to_be_visible()


def test_progress_when_the_page_is_reloaded_and_left_then_it_is_told_on(
    slow_visit: Visit, slow: Appliance
) -> None:
    page = slow_visit.open_jobs()
    card = start_job(page, LONG_BOOK)
    wait_for_job(card, "running")
    far = re.compile(r"^\d+ of 2,0\d\d utterances · \d+:\d\d of audio · about \d+ (s|min) left, until ")
    expect(part(card, "progress")).to_have_text(far)
    job_id = job_id_of(page)
    page.reload()
    expect(part(card, "title")).to_have_attribute("aria-expanded", "true")
    expect(part(card, "progress")).to_have_text(far)
    first = part(card, "bar").evaluate("(bar) => bar.value")
    page.wait_for_function("(first) => document.querySelector('progress').value > first", arg=first)
    page.close()
    other = slow_visit.context.new_page()
    other.goto("/")
    other.get_by_role("link", name="Long texts").click()
    card = other.locator(".job")
    expect(part(card, "title")).to_have_text(re.compile(r"^Page 0\. It rained, .* stayed…$"))
    wait_for_job(card, "running")
    expect(part(card, "actions")).to_be_hidden()
    part(card, "title").click()
    press(card, "cancel")
    wait_for_job(card, "cancelled")
    assert job_of(slow, job_id)["state"] == "cancelled"


def test_job_when_paused_resumed_cancelled_and_deleted_then_each_is_shown(
    slow_visit: Visit, slow: Appliance
) -> None:
    page = slow_visit.open_jobs()
    card = start_job(page, LONG_BOOK)
    wait_for_job(card, "running")
    press(card, "pause")
    wait_for_job(card, "paused")
    expect(part(card, "resume")).to_be_focused()
    expect(part(card, "state")).to_have_text("Paused")
    expect(part(card, "reason")).to_be_hidden()
    press(card, "resume")
    wait_for_job(card, "running")
    page.once("dialog", lambda dialog: dialog.dismiss())
    part(card, "cancel").click()
    job_id = job_id_of(page)
    assert job_of(slow, job_id)["state"] == "running"
    press(card, "cancel")
    wait_for_job(card, "cancelled")
    expect(page.locator("#jobs-status")).to_have_text(re.compile(": Cancelled$"))
    expect(part(card, "bar")).to_be_hidden()
    press(card, "delete")
    expect(card).to_have_count(0)
    expect(page.locator("#jobs-empty")).to_be_visible()
    assert remembered(page) == []
    assert page.evaluate("location.hash") == "#jobs"


def test_job_when_refused_then_the_appliances_own_words_and_no_job(visit: Visit) -> None:
    page = visit.open_jobs()
    page.fill("#text", "…")
    page.click("#order")
    expect(page.get_by_role("alert")).to_have_text(
        re.compile(r"^The text holds nothing that can be spoken.*\(status 400, request \w+\)$")
    )
    expect(page.locator("#order")).to_be_enabled()
    expect(page.locator(".job")).to_have_count(0)
    page.fill("#text", "")
    page.click("#order")
    expect(page.get_by_role("alert")).to_have_text("There is no text to speak yet.")
    assert visit.take_refusals() == 1
    card = start_job(page, BOOK)
    wait_for_job(card, "completed")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_job_when_what_is_pressed_comes_too_late_then_the_appliances_own_words(
    slow_visit: Visit, slow: Appliance
) -> None:
    page = slow_visit.open_jobs()
    card = start_job(page, LONG_BOOK)
    wait_for_job(card, "running")
    page.route("**/v1/jobs/*/pause", lambda route: route.continue_(url=route.request.url[:-5] + "retry"))
    part(card, "pause").click()
    expect(part(card, "trouble")).to_have_text(re.compile(r"doesn't allow this: retry \(status 409, "))
    press(card, "cancel")
    wait_for_job(card, "cancelled")
    expect(part(card, "trouble")).to_be_hidden()
    assert slow_visit.take_refusals() == 1
    assert slow.process.poll() is None


def test_job_when_cancelled_as_it_ends_then_said_and_it_is_not_deleted(
    slow_visit: Visit, slow: Appliance
) -> None:
    page = slow_visit.open_jobs()
    card = start_job(page, LONG_BOOK)
    wait_for_job(card, "running")
    job_id = job_id_of(page)

    def end_before(route: Route) -> None:
        assert sent(slow, "POST", f"/v1/jobs/{job_id}/cancel")[0] == 200
        route.continue_()

    page.route("**/v1/jobs/*/cancel", end_before)
    press(card, "cancel")
    expect(part(card, "trouble")).to_have_text(re.compile(r"\(cancelled\) doesn't allow this: cancel "))
    assert job_of(slow, job_id)["state"] == "cancelled"
    assert slow_visit.take_refusals() == 1


def test_job_when_it_is_gone_then_said_and_forgotten(visit: Visit, appliance: Appliance) -> None:
    page = visit.open_jobs()
    start_job(page, BOOK)
    wait_for_job(page.locator(".job"), "completed")
    job_id = job_id_of(page)
    assert sent(appliance, "DELETE", f"/v1/jobs/{job_id}")[0] == 200
    page.reload()
    expect(page.get_by_role("alert")).to_have_text(re.compile(r"^There is no such job.*\(status 404, "))
    expect(page.locator("#jobs-empty")).to_be_visible()
    assert remembered(page) == []
    assert visit.take_refusals() >= 1


def test_job_when_its_address_is_opened_elsewhere_then_it_is_there(
    visit: Visit, browser: Browser, appliance: Appliance
) -> None:
    page = visit.open_jobs()
    wait_for_job(start_job(page, BOOK), "completed")
    other = Visit(browser, appliance.base_url)
    there = other.open_jobs(f"/#jobs/{job_id_of(page)}")
    card = there.locator(".job")
    wait_for_job(card, "completed")
    expect(part(card, "title")).to_have_text("The Kettle")
    part(card, "audio").wait_for()
    there.goto("/#jobs/../../admin/status")
    expect(part(card, "title")).to_have_attribute("aria-expanded", "false")
    other.context.close()
    assert other.complaints == []


def test_view_when_left_then_nothing_is_followed_any_more(slow_visit: Visit) -> None:
    page = slow_visit.open_jobs()
    card = start_job(page, LONG_BOOK)
    wait_for_job(card, "running")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/events")):
        page.get_by_role("link", name="Speak now").click()
    expect(page.locator("#speak")).to_be_visible()
    expect(page.locator("#order")).to_be_hidden()
    page.go_back()
    wait_for_job(card, "running")
    press(card, "cancel")
    wait_for_job(card, "cancelled")


def page_titles(page: Page) -> list[str]:
    titles: list[str] = page.locator(".job [data-part=title]").all_inner_texts()
    return titles


def test_jobs_when_several_then_the_newest_comes_first(visit: Visit) -> None:
    page = visit.open_jobs()
    for text in ("First.", "Second.", "Third."):
        wait_for_job(start_job(page, text), "completed")
    page.reload()
    expect(page.locator(".job")).to_have_count(3)
    assert page_titles(page) == ["Third.", "Second.", "First."]
    expect(page.locator("[aria-expanded=true]")).to_have_count(1)


def test_jobs_when_one_comes_back_to_the_page_then_they_are_looked_at_no_oftener(visit: Visit) -> None:
    page = visit.open_jobs()
    wait_for_job(start_job(page, BOOK), "completed")
    page.evaluate("""() => {
        window.timers = new Set();
        const { setTimeout: set, clearTimeout: clear } = window;
        window.setTimeout = (...call) => { const id = set(...call); window.timers.add(id); return id; };
        window.clearTimeout = (id) => { window.timers.delete(id); clear(id); };
        for (let time = 0; time < 9; time += 1) document.dispatchEvent(new Event("visibilitychange"));
    }""")
    assert page.evaluate("window.timers.size") < 9
    page.get_by_role("link", name="Speak now").click()
    expect(page.locator("#speak")).to_be_visible()
