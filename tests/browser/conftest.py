"""Debian's Chromium, the real appliance, and a page that may not complain."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.parts.appliance import Appliance, running_appliance

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
STEP_LIMIT_MS = 30_000
expect.set_options(timeout=STEP_LIMIT_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(120))


@pytest.fixture(scope="session")
def base_dir() -> Iterator[Path]:
    """A folder with a short path for the sockets of the appliances."""
    path = Path(tempfile.mkdtemp(prefix="tts-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def appliance(base_dir: Path) -> Iterator[Appliance]:
    """The appliance as it is delivered, with two espeak workers."""
    with running_appliance(base_dir / "a", WORKERS_ESPEAK=2, WORKERS_TONE=0) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


class Visit:
    """A visitor with a fresh profile, and what the browser complained of meanwhile."""

    def __init__(self, browser: Browser, base_url: str, **profile: Any) -> None:
        self.context = browser.new_context(base_url=base_url, **profile)
        self.context.set_default_timeout(STEP_LIMIT_MS)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._take_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _take_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def open(self) -> Page:
        """Open the page and wait until it can speak."""
        self.page.goto("/")
        self.page.locator("#speak:enabled").wait_for()
        return self.page

    def open_view(self, name: str) -> Page:
        """Open one of the other views and wait until the voices are known."""
        self.page.goto(f"/#{name}")
        self.page.locator("#speak:enabled").wait_for(state="attached")
        return self.page

    def open_jobs(self, path: str = "/#jobs") -> Page:
        """Open the view of jobs and wait until it can take one."""
        self.page.goto(path)
        self.page.locator("#order:enabled").wait_for()
        return self.page

    def take_refusals(self) -> int:
        """Forget and count the console's lines about answers that a test provoked."""
        refusals = [text for text in self.complaints if text.startswith("Failed to load resource")]
        self.complaints = [text for text in self.complaints if text not in refusals]
        return len(refusals)


@pytest.fixture
def visit(browser: Browser, appliance: Appliance) -> Iterator[Visit]:
    """A visit of the appliance; anything that the browser complained of fails the test."""
    visit = Visit(browser, appliance.base_url)
    yield visit
    visit.context.close()
    assert visit.complaints == []


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.open()


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """Playwright runs these tests on an event loop of its own, where they may block."""
