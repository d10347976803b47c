"""The operator's console: the key, what it shows, its buttons, and that it fits and can be read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.actions import LEAST_CONTRAST, contrasts_of
from tests.browser.conftest import Visit
from tests.parts.appliance import Appliance, eventually, running_appliance
from tests.parts.asked import asked, spoken
from tests.parts.keys import ask

KEY = "open-sesame"
MARKUP = "<img src=x onerror=\"document.title='foreign'\"><script>document.title='foreign'</script>"
TABLES = ("workers", "programs", "jobs", "failures")


@pytest.fixture(scope="module")
def operated(base_dir: Path) -> Iterator[Appliance]:
    """An appliance with an admin key, some requests in its history, and a job with a hostile title."""
    key_file = base_dir / "console-key"
    key_file.touch(mode=0o600)
    key_file.write_text(f"{KEY}\n")
    settings = {
        "WORKERS_TONE": 2,
        "TONE_HOOKS": "true",
        "TEXT_MAKE_SPEAKABLE": "false",
        "VOICES_DEFAULT": "tone-low",
        "ADMIN_KEY_FILE": key_file,
    }
    with running_appliance(base_dir / "c", **settings) as running:
        for number in range(3):
            spoken(running, f"console-{number}")
        failing = {"input": "It breaks: __FAIL__", "voice": "tone-low"}
        assert ask(running, "/v1/audio/speech", KEY, body=failing).status == 500
        assert ask(running, "/v1/jobs", KEY, body={"input": "A job.", "title": MARKUP}).status == 202
        eventually(lambda: asked(running, "/v1/history?state=failed")["data"])
        eventually(lambda: asked(running, "/v1/jobs?state=completed")["data"])
        yield running


@contextlib.contextmanager
def visiting(browser: Browser, appliance: Appliance, **profile: object) -> Iterator[Visit]:
    """A visit; anything that the browser complained of fails the test."""
    visit = Visit(browser, appliance.base_url, **profile)
    yield visit
    visit.context.close()
    assert visit.complaints == []


@pytest.fixture
def visit(browser: Browser, operated: Appliance) -> Iterator[Visit]:
    with visiting(browser, operated) as visit:
        yield visit


def enter(page: Page, key: str = KEY) -> Page:
    """Open the console and sign in."""
    page.goto("/admin")
    page.fill("#key", key)
    page.press("#key", "Enter")
    return page


def await_live(page: Page) -> Page:
    expect(page.locator("body")).to_have_attribute("data-console", "live")
    expect(page.locator("#failures tbody tr")).not_to_have_count(0)
    return page


def cells(page: Page, table: str, row: str) -> Locator:
    """The cells of the row in which a text stands."""
    return page.locator(f"#{table} tbody tr").filter(has_text=row).locator("td")


def test_key_when_wrong_then_refused_and_when_right_then_kept_in_this_tab_alone(
    browser: Browser, operated: Appliance, visit: Visit
) -> None:
    page = enter(visit.page, "guessed")
    expect(page.get_by_role("alert")).to_contain_text("The admin key is missing or wrong")
    expect(page.locator("#key")).to_be_focused()
    expect(page.locator("#key")).to_have_value("")
    expect(page.locator("#console")).to_be_hidden()
    assert visit.take_refusals() == 1
    await_live(enter(page))
    page.reload()
    await_live(page)
    expect(page.locator("#findings-title")).to_be_focused()
    assert page.evaluate("localStorage.length") == 0
    with visiting(browser, operated) as other:
        other.page.goto("/admin")
        expect(other.page.locator("#sign-in")).to_be_visible()
    page.click("#leave")
    expect(page.locator("#key")).to_be_focused()
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-console", "signed-out")


def test_console_when_signed_in_then_it_shows_what_the_routes_say(visit: Visit, operated: Appliance) -> None:
    spoken(operated, "console-shown")
    page = await_live(enter(visit.page))
    for name in ("worker-tone-1", "worker-tone-2"):
        row = cells(page, "workers", name)
        expect(row.nth(1)).to_have_text("ready")
        expect(row.nth(2)).to_have_text(re.compile(r"^[\d.]+ MB$"))
        expect(row.nth(7)).to_have_text(str(operated.program(name).pid))
    gateway = cells(page, "programs", "gateway")
    expect(gateway.nth(1)).to_have_text("running")
    expect(gateway.nth(6)).to_have_text(str(operated.program("gateway").pid))
    failure = cells(page, "failures", "engine_failed")
    expect(failure.nth(2)).to_have_text("tone-low")
    expect(failure.nth(3)).to_have_text(re.compile("^requests_fail: the engine, which failed on this text"))
    request_id = failure.last.inner_text()
    expect(failure.nth(4)).to_have_text(f"ttsctl logs --request={request_id}")
    expect(page.locator("#tile-workers")).to_have_text("2 of 2")
    expect(page.locator("#tile-database")).to_have_text("well")
    expect(page.locator("#tile-success")).to_have_text(re.compile(r"^\d+\.\d %$"))
    expect(page.locator("#tile-waiting")).to_have_text("0 first · 0 rest · 0 jobs")
    expect(page.locator("#findings")).to_have_text("Nothing that the gateway knows of.")
    expect(page.locator("#plot-requests")).to_have_attribute(
        "aria-label", re.compile(r": [3-9] completed, 1 failed$")
    )
    assert page.locator("#plot-requests .bar.bad").count() == 1
    assert str(page.locator("#plot-ttfa path.p90").get_attribute("d")).startswith("M")
    assert str(page.locator("#plot-waiting path").get_attribute("d")).startswith("M")


def test_title_when_it_is_markup_then_it_stays_text(visit: Visit) -> None:
    page = await_live(enter(visit.page))
    expect(cells(page, "jobs", "onerror").nth(3)).to_have_text(MARKUP)
    assert page.locator("td img, td script").count() == 0
    assert page.title() == "Operator's console"


def test_restart_when_a_worker_is_named_then_it_comes_back_as_another_process(
    visit: Visit, operated: Appliance
) -> None:
    page = await_live(enter(visit.page))
    before = operated.program("worker-tone-2").pid
    button = page.get_by_role("button", name="Restart worker-tone-2")
    page.once("dialog", lambda dialog: dialog.dismiss())
    button.press("Enter")
    expect(page.locator("#said")).to_be_empty()
    page.once("dialog", lambda dialog: dialog.accept())
    button.press("Enter")
    expect(page.locator("#said")).to_have_text("worker-tone-2 will be restarted as soon as it may go.")
    process = cells(page, "workers", "worker-tone-2").nth(7)
    expect(process).not_to_have_text(str(before))
    expect(page.get_by_role("button", name="Restart worker-tone-2")).to_have_attribute(
        "aria-disabled", "false"
    )
    assert page.evaluate("document.activeElement.closest('tr')?.cells[0].textContent") == "worker-tone-2"
    assert operated.program("worker-tone-2").pid != before


def test_drain_when_pressed_then_requests_are_refused_until_it_is_pressed_again(
    visit: Visit, operated: Appliance
) -> None:
    page = await_live(enter(visit.page))
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("#drain")
    expect(page.locator("#health-text")).to_have_text("Draining")
    expect(page.locator("#said")).to_have_text("New requests are refused; 0 still run.")
    drained = page.locator("#findings li").filter(has_text="Doctor's draining: let it take requests again.")
    expect(drained.locator("code")).to_have_text("ttsctl drain off")
    body = {"input": "Hello.", "voice": "tone-low"}
    assert ask(operated, "/v1/audio/speech", KEY, body=body).code == "draining"
    page.get_by_role("button", name="Take requests again").click()
    expect(page.locator("#health-text")).to_have_text("Ready")
    assert ask(operated, "/v1/audio/speech", KEY, body=body).status == 200
    visit.take_refusals()  # /health is 503 meanwhile


def test_backup_when_pressed_then_its_name_is_said(visit: Visit, operated: Appliance) -> None:
    page = await_live(enter(visit.page))
    page.click("#back-up")
    expect(page.locator("#said")).to_have_text(re.compile(r"^Made the backup \S+\.$"))
    assert asked(operated, "/health")["backup"]["newest"]


def test_console_when_the_gateway_is_away_then_it_says_so_and_mends(
    visit: Visit, operated: Appliance
) -> None:
    page = await_live(enter(visit.page))
    assert operated.supervisorctl("stop", "gateway").returncode == 0
    expect(page.locator("body")).to_have_attribute("data-console", "broken")
    expect(page.get_by_role("alert")).to_contain_text("What is shown here is from before.")
    expect(page.locator("#health-text")).to_have_text("Unreachable")
    assert operated.supervisorctl("start", "gateway").returncode == 0
    expect(page.locator("body")).to_have_attribute("data-console", "live", timeout=60_000)
    expect(page.get_by_role("alert")).to_be_hidden()
    eventually(lambda: len(asked(operated, "/admin/status")["workers"]) == 2)
    visit.take_refusals()
    visit.complaints = [text for text in visit.complaints if "net::ERR" not in text]


@pytest.mark.parametrize("width", [390, 1200])
def test_console_when_narrow_or_wide_then_only_tables_scroll_and_plots_are_seen(
    width: int, browser: Browser, operated: Appliance
) -> None:
    with visiting(browser, operated, viewport={"width": width, "height": 900}) as visit:
        page = await_live(enter(visit.page))
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for selector in ("#drain", "#restart-all", "#back-up", "#leave", "#workers button"):
            box = page.locator(selector).first.bounding_box()
            assert box
            assert box["height"] >= 44, f"{selector} is too low for a finger"
        for plot in ("#plot-ttfa", "#plot-requests", "#plot-waiting"):
            box = page.locator(plot).bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["width"] > 250


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_console_when_light_or_dark_then_contrast_is_enough(
    scheme: str, browser: Browser, operated: Appliance
) -> None:
    with visiting(browser, operated, color_scheme=scheme) as visit:
        visit.page.goto("/admin")
        signing_in = contrasts_of(visit.page, ["h1", "label", "#key-hint", "code", "#enter"])
        page = await_live(enter(visit.page))
        names = ["#health", "#drain", "dt", "dd", "h2", "#findings li", "figcaption p", ".plot text"]
        names += ["thead th", "tbody td", "#workers button", "section p", "#version", "footer a"]
        contrasts = {**signing_in, **contrasts_of(page, names)}
        assert {name: ratio for name, ratio in contrasts.items() if ratio < LEAST_CONTRAST} == {}


def test_console_when_used_with_the_keyboard_then_everything_is_reached_in_order_and_seen(
    visit: Visit,
) -> None:
    page = await_live(enter(visit.page))
    page.focus("#drain")
    reached = []
    for _ in range(10):
        reached.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.getAttribute('aria-label')"
                " || document.activeElement.getAttribute('aria-labelledby')"
            )
        )
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Tab")
    assert reached == [
        *("drain", "restart-all", "back-up", "leave"),
        *("workers-title", "Restart worker-tone-1", "Restart worker-tone-2"),
        *(f"{table}-title" for table in TABLES[1:]),
    ]
    for table in TABLES:
        assert (
            page.get_by_role("region", name=re.compile(table.removesuffix("s"), re.IGNORECASE)).count() >= 1
        )
