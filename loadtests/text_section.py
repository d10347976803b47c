"""What a text's spoken form costs before anybody speaks it.

Owns: the section `text` of the measurements.
Refuses to know: engines; the work is done here, as the gateway does it.
"""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

from appliance.speech import SpokenText
from appliance.text.spoken.form import spell_out
from loadtests.figures import Figure

CHARS = 100_000
MOST_MS = 50.0
"""CPU for `CHARS` of prose. Source: the plan of text per language."""
ROUNDS = {False: 15, True: 3}
PROSE = tomllib.loads((Path(__file__).parent / "prose.toml").read_text("utf-8"))
"""Three things to say in full for every 350 characters or so."""


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes some seconds."""
    return [_figure(language, prose, ROUNDS[is_short]) for language, prose in PROSE.items()]


def _figure(language: str, prose: str, rounds: int) -> Figure:
    text = (f"{prose} " * (CHARS // len(prose) + 1))[:CHARS]
    spell_out(SpokenText(prose), language)  # the first time its patterns are made
    taken_ms = sorted(_taken_ms(text, language) for _ in range(rounds))
    name = f"spoken form of {CHARS // 1000} kB of prose, {language}"
    return Figure(name, taken_ms[len(taken_ms) // 2], "ms", taken_ms[0], most=MOST_MS)


def _taken_ms(text: str, language: str) -> float:
    begun_s = time.process_time()
    spell_out(SpokenText(text), language)
    return (time.process_time() - begun_s) * 1000
