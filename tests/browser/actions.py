"""What tests do on the page and read from it."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import STEP_LIMIT_MS
from tests.parts.appliance import Appliance

TEXT = "Good morning. The kettle is on, and the cat is out."
LONG_TEXT = "This sentence is spoken again and again until somebody stops it. " * 250
PCM_BYTES_PER_S = 48_000
TOLERANCE_S = 0.15
LEAST_CONTRAST = 4.5
"""Of text. Source: WCAG 2.2, success criterion 1.4.3."""


def wait_for_state(page: Page, *states: str) -> None:
    expect(page.locator("body")).to_have_attribute(
        "data-state", re.compile(f"^({'|'.join(states)})$"), timeout=STEP_LIMIT_MS
    )


def facts(page: Page) -> dict[str, str]:
    """The body's data attributes."""
    return dict(page.evaluate("({...document.body.dataset})"))


def speech_s(appliance: Appliance, text: str, voice: str = "en-us", speed: float = 1.0) -> float:
    """How long the appliance speaks a text, asked without a browser."""
    body = {"model": "tts-1", "input": text, "voice": voice, "response_format": "pcm", "speed": speed}
    request = urllib.request.Request(
        f"{appliance.base_url}/v1/audio/speech",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return len(answer.read()) / PCM_BYTES_PER_S


def painted(page: Page) -> dict[str, Any]:
    """How many columns of the waveform are tall in the colour of what was heard, and in the other's."""
    return dict(
        page.evaluate("""() => {
            const canvas = document.getElementById("waveform");
            const style = getComputedStyle(canvas);
            const copy = (source, width, height) => {
                const sheet = new OffscreenCanvas(width, height)
                    .getContext("2d", { willReadFrequently: true });
                source(sheet);
                return sheet.getImageData(0, 0, width, height).data;
            };
            const bare = (name) => copy((sheet) => {
                sheet.fillStyle = style.getPropertyValue(name);
                sheet.fillRect(0, 0, 1, 1);
            }, 1, 1).join();
            const colours = { heard: bare("--accent"), unheard: bare("--wave") };
            const counts = { heard: 0, unheard: 0 };
            const { width, height } = canvas;
            const data = copy((sheet) => sheet.drawImage(canvas, 0, 0), width, height);
            for (const [name, colour] of Object.entries(colours)) {
                for (let x = 0; x < width; x += 1) {
                    let tall = 0;
                    for (let y = 0; y < height; y += 1) {
                        const at = (y * width + x) * 4;
                        if (data.slice(at, at + 4).join() === colour) tall += 1;
                    }
                    if (tall > height / 10) counts[name] += 1;
                }
            }
            return counts;
        }""")
    )


def contrasts_of(page: Page, selectors: list[str]) -> dict[str, float]:
    """The contrast between the text of the first element of each selector and what is behind it."""
    return dict(
        page.evaluate(
            """(selectors) => {
        const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const light = (colour) => {
            const [r, g, b] = numbers(colour).map((v) => v / 255)
                .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = (element) => {
            const colour = getComputedStyle(element).backgroundColor;
            return numbers(colour)[3] === 0 ? paper(element.parentElement) : colour;
        };
        return Object.fromEntries(selectors.map((selector) => {
            const element = document.querySelector(selector);
            const style = getComputedStyle(element);
            const colour = element instanceof SVGElement ? style.fill : style.color;
            const both = [light(colour), light(paper(element))];
            const [a, b] = both.sort((x, y) => y - x);
            return [selector, (a + 0.05) / (b + 0.05)];
        }));
    }""",
            selectors,
        )
    )
