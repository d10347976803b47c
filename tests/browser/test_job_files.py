"""Jobs from files, and with keys: whose jobs are listed."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.browser.conftest import Visit
from tests.browser.job_actions import BOOK, part, press, remembered, start_job, wait_for_audio, wait_for_job
from tests.parts.appliance import Appliance, running_appliance

KEYS = ("open-sesame", "open-barley")


RECORDED = """() => {
    const send = XMLHttpRequest.prototype.send;
    window.uploads = [];
    XMLHttpRequest.prototype.send = async function (body) {
        if (body instanceof FormData) {
            const bytes = async (file) => [...new Uint8Array(await file.arrayBuffer())];
            const told = async ([name, value]) =>
                [name, value instanceof File ? [value.name, await bytes(value)] : value];
            window.uploads.push(Object.fromEntries(await Promise.all([...body].map(told))));
        }
        send.call(this, body);
    };
}"""
"""Notes the forms that the page sends: the browser doesn't tell what is in them."""

SENT_BYTES = 1_000_000
SLOW_NETWORK = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 500_000}
"""Bytes a second."""
SAID = """() => {
    window.said = [];
    const label = document.getElementById("order-text");
    new MutationObserver(() => window.said.push(label.textContent)).observe(label, { childList: true });
}"""
"""Notes what the button says."""


def uploaded(page: Page) -> dict[str, Any]:
    """The parts of the one form that was sent; a file as its name and contents."""
    page.wait_for_function("() => window.uploads.length > 0")
    (parts,) = page.evaluate("window.uploads")
    return dict(parts)


def test_file_when_it_is_text_then_uploaded_and_spoken(visit: Visit) -> None:
    page = visit.open_jobs()
    page.set_input_files("#file", {"name": "cat.md", "mimeType": "text/markdown", "buffer": BOOK.encode()})
    expect(page.locator("#text")).to_be_hidden()
    page.evaluate(RECORDED)
    page.click("#order")
    assert uploaded(page) == {
        "file": ["cat.md", list(BOOK.encode())],
        "title": "cat",
        "voice": "en-us",
        "speed": "1",
        "captions": "true",
        "chapters": "true",
        "format": "mp3",
    }
    card = page.locator(".job")
    wait_for_job(card, "completed")
    wait_for_audio(card)
    expect(part(card, "title")).to_have_text("cat")
    expect(page.locator("#text")).to_be_visible()
    assert page.input_value("#file") == ""
    visit.take_refusals()


def test_file_when_it_is_an_epub_then_sent_as_it_is(visit: Visit) -> None:
    page = visit.open_jobs()
    book = io.BytesIO()
    with zipfile.ZipFile(book, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
    page.set_input_files(
        "#file", {"name": "book.epub", "mimeType": "application/epub+zip", "buffer": book.getvalue()}
    )
    page.evaluate(RECORDED)
    page.click("#order")
    assert uploaded(page)["file"] == ["book.epub", list(book.getvalue())]
    # A book without contents is refused, whether the appliance takes books or not.
    expect(page.get_by_role("alert")).to_have_text(re.compile(r"\(status 4\d\d, request \w+\)$"))
    expect(page.locator("#order")).to_be_enabled()
    page.click("#no-file")
    expect(page.locator("#text")).to_be_visible()
    expect(page.locator("#file")).to_be_focused()
    assert visit.take_refusals() == 1


def test_file_when_it_takes_long_to_be_sent_then_the_page_says_how_much_of_it_is(visit: Visit) -> None:
    page = visit.open_jobs()
    page.set_input_files(
        "#file", {"name": "b.epub", "mimeType": "application/epub+zip", "buffer": b"0" * SENT_BYTES}
    )
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", SLOW_NETWORK)
    page.evaluate(SAID)
    page.click("#order")
    expect(page.get_by_role("alert")).to_have_text(re.compile(r"\(status 4\d\d, request \w+\)$"))
    expect(page.locator("#order-text")).to_have_text("Start job")
    said: list[str] = page.evaluate("window.said")
    shares = [int(found[1]) for each in said if (found := re.fullmatch(r"Sending… (\d\d?) %", each))]
    assert len(shares) > 2
    assert shares == sorted(shares)
    assert said[-2:] == ["Handing in…", "Start job"]
    assert visit.take_refusals() == 1


def test_order_when_its_answer_is_lost_then_sent_again_under_its_key(visit: Visit) -> None:
    page = visit.open_jobs()
    page.fill("#text", BOOK)
    keys: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            keys.append(request.headers["idempotency-key"])

    page.on("request", note)
    page.context.set_offline(True)
    page.click("#order")
    expect(page.get_by_role("alert")).to_have_text("The appliance can't be reached. Is it running?")
    page.context.set_offline(False)
    page.click("#order")
    wait_for_job(page.locator(".job"), "completed")
    page.click("#order")
    expect(page.locator(".job")).to_have_count(2)
    assert keys[0] == keys[1] != keys[2]
    visit.complaints = [text for text in visit.complaints if "ERR_INTERNET_DISCONNECTED" not in text]


@pytest.fixture(scope="module")
def guarded(base_dir: Path) -> Iterator[Appliance]:
    """An appliance with two keys in force."""
    file = base_dir / "keys"
    file.touch(mode=0o600)
    file.write_text("\n".join(KEYS))
    settings = {"WORKERS_ESPEAK": 1, "WORKERS_TONE": 0, "HTTP_API_KEYS_FILE": file}
    with running_appliance(base_dir / "k", **settings) as running:
        yield running


def test_jobs_when_keys_are_in_force_then_each_key_has_its_own(
    browser: Browser, guarded: Appliance, tmp_path: Path
) -> None:
    visit = Visit(browser, guarded.base_url)
    page = visit.open_jobs()
    page.click("#order")
    expect(page.get_by_role("alert")).to_contain_text("status 401")
    expect(page.locator("#key")).to_be_focused()
    page.fill("#key", KEYS[0])
    card = start_job(page, BOOK)
    wait_for_job(card, "completed")
    wait_for_audio(card)
    with page.expect_download() as download:
        part(card, "save-audio").click()
    download.value.save_as(tmp_path / "audio")
    assert (tmp_path / "audio").stat().st_size > 5_000
    page.fill("#key", KEYS[1])
    page.press("#key", "Tab")
    expect(page.locator("#jobs-empty")).to_be_visible()
    assert [job["title"] for job in remembered(page)] == ["The Kettle"]
    page.fill("#key", KEYS[0])
    page.press("#key", "Tab")
    expect(part(page.locator(".job"), "title")).to_have_text("The Kettle")
    assert visit.take_refusals() >= 1
    assert visit.complaints == []
    visit.context.close()
    elsewhere = Visit(browser, guarded.base_url)
    page = elsewhere.open_jobs()
    page.click("summary")
    page.fill("#key", KEYS[0])
    page.press("#key", "Tab")
    expect(part(page.locator(".job"), "title")).to_have_text("The Kettle")
    part(page.locator(".job"), "title").click()
    press(page.locator(".job"), "delete")
    expect(page.locator("#jobs-empty")).to_be_visible()
    assert elsewhere.complaints == []
    elsewhere.context.close()


def test_list_when_its_answer_comes_after_the_key_has_changed_then_not_shown(
    browser: Browser, guarded: Appliance
) -> None:
    visit = Visit(browser, guarded.base_url)
    page = visit.open_jobs()
    page.click("summary")
    page.fill("#key", KEYS[0])
    card = start_job(page, BOOK)
    wait_for_job(card, "completed")
    wait_for_audio(card)
    page.fill("#key", KEYS[1])
    page.press("#key", "Tab")
    expect(page.locator("#jobs-empty")).to_be_visible()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/v1/jobs?*", hold, times=1)
    page.fill("#key", KEYS[0])
    with page.expect_request("**/v1/jobs?*"):
        page.press("#key", "Tab")
    page.fill("#key", KEYS[1])
    with page.expect_response("**/v1/jobs?*"):
        page.press("#key", "Tab")
    with page.expect_response("**/v1/jobs?*"):
        held[0].continue_()
    page.evaluate("async () => { await (await fetch('/health/live')).text(); }")
    expect(page.locator(".job")).to_have_count(0)
    page.fill("#key", KEYS[0])
    page.press("#key", "Tab")
    press(page.locator(".job"), "delete")
    expect(page.locator("#jobs-empty")).to_be_visible()
    visit.take_refusals()
    assert visit.complaints == []
    visit.context.close()
