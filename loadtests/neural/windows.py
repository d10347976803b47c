"""Windowed against whole audio, in the form that was chosen for a voice and in fp32.

Owns: the comparison, and exporting a checkpoint once more where a form isn't kept.
Refuses to know: bounds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from appliance.engines.vits.noise import FloatArray, Noise
from appliance.engines.vits.recital import ALONE_FACTOR
from appliance.engines.vits.voice import Sentence, VitsVoice
from appliance.voice_store import VitsModel

FIRST_FRAMES = 24
MAX_FRAMES = (96, int(96 * ALONE_FACTOR))
"""The settings as they come: to what windows grow, and for a listener who is alone."""
ALL_FRAMES = 1_000_000
TOKENS = 301
"""Those of 150 characters: a blank stands before, between and behind them."""


def largest_difference(folder: Path, model: VitsModel, seed: int) -> float:
    """Return how far windowed and whole audio of a random text differ at most, of a full scale of 1; blocks.

    The larger one of the differences with the windows of `MAX_FRAMES`.

    Args:
        folder: Where the three graphs lie.
        model: What the voice's manifest says of them.
        seed: For the text and the noise.
    """
    voice = VitsVoice(folder, model, threads=1)
    ids = tuple(int(each) for each in np.random.default_rng(seed).integers(4, 60, TOKENS))

    def speak(first: int, largest: int) -> FloatArray:
        speech = voice.begin(Sentence(ids), Noise(seed), ALL_FRAMES)
        return np.concatenate(list(speech.windows(first, largest)))

    whole = speak(ALL_FRAMES, ALL_FRAMES)
    return max(float(np.abs(speak(FIRST_FRAMES, frames) - whole).max()) for frames in MAX_FRAMES)


def export_fp32(checkpoint: Path, folder: Path) -> None:
    """Export a checkpoint's graphs as they are; takes torch and Coqui, and blocks for ten seconds."""
    from appliance.engines.coqui.library import import_coqui

    import_coqui()
    from appliance.engines.vits.making.export import export_graphs
    from appliance.engines.vits.making.load import load_model

    export_graphs(load_model(checkpoint), folder)
