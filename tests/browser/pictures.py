"""Pictures of the page, to be looked at: `python -m tests.browser.pictures FOLDER`.

Each view on a desktop and on a phone, in light and dark, English and Polish; `page.png` is the README's.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import product
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.actions import wait_for_state
from tests.browser.conftest import ARGUMENTS, CHROMIUM, Visit
from tests.parts.appliance import Appliance, running_appliance

WIDTHS = {"desktop": 1280, "phone": 360}
VIEWS = ("speak", "jobs", "voices", "clients", "dictionary")
LOCALES = ("en-US", "pl-PL")
README_SIZE = {"width": 880, "height": 1045}
CAPTIONED = ".said"


def main(folder: Path) -> None:
    """Take all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="tts-", dir="/tmp") as base,
        running_appliance(Path(base), WORKERS_ESPEAK=2, WORKERS_TONE=0) as appliance,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        _take_readme(browser, appliance, folder)
        for size, scheme, locale in product(WIDTHS, ("light", "dark"), LOCALES):
            viewport = {"width": WIDTHS[size], "height": 900}
            visit = Visit(browser, appliance.base_url, viewport=viewport, color_scheme=scheme, locale=locale)
            page = visit.open()
            for view in VIEWS:
                _show(page, view)
                is_long = view == "voices"
                file = folder / f"{view}-{size}-{scheme}-{locale[:2]}.png"
                page.screenshot(path=file, full_page=not is_long)
            visit.context.close()
            print(size, scheme, locale, *visit.complaints, flush=True)
        browser.close()


def _show(page: Page, view: str) -> None:
    page.evaluate("(view) => { location.hash = view; }", view)
    page.wait_for_selector(f"body[data-view={view}]")
    if view == "speak":
        page.click("#speak")
        page.wait_for_selector(CAPTIONED)
    if view == "clients":
        page.locator("[data-client=sillytavern] [data-part=test]").click()
        page.wait_for_selector("[data-client=sillytavern][data-test=passed]")


def _take_readme(browser: Browser, appliance: Appliance, folder: Path) -> None:
    visit = Visit(browser, appliance.base_url, viewport=README_SIZE, locale="en-US")
    page = visit.open()
    page.evaluate("document.getElementById('base-url').textContent = 'http://tts.lan:8000/v1'")
    page.click("#speak")
    wait_for_state(page, "playing")
    page.wait_for_function("() => document.querySelector('.said')?.textContent.startsWith('pick')")
    page.screenshot(path=folder / "page.png")
    visit.context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
