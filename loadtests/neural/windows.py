"""Windowed against whole audio, in the form that was chosen for a voice and in fp32.

Owns: the comparison, and exporting a checkpoint once more where a form isn't kept.
Refuses to know: bounds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from appliance.engines.vits.noise import Noise
from appliance.engines.vits.voice import Sentence, VitsVoice
from appliance.voice_store import VitsModel

FIRST_FRAMES, MAX_FRAMES = 24, 96
"""The settings as they come."""
ALL_FRAMES = 1_000_000
TOKENS = 301
"""Those of 150 characters: a blank stands before, between and behind them."""


def largest_difference(folder: Path, model: VitsModel, seed: int) -> float:
    """Return how far windowed and whole audio of a random text differ at most, of a full scale of 1; blocks.

    Args:
        folder: Where the three graphs lie.
        model: What the voice's manifest says of them.
        seed: For the text and the noise.
    """
    voice = VitsVoice(folder, model, threads=1)
    ids = tuple(int(each) for each in np.random.default_rng(seed).integers(4, 60, TOKENS))
    audio = [
        np.concatenate(list(voice.begin(Sentence(ids), Noise(seed), ALL_FRAMES).windows(first, largest)))
        for first, largest in ((FIRST_FRAMES, MAX_FRAMES), (ALL_FRAMES, ALL_FRAMES))
    ]
    return float(np.abs(audio[0] - audio[1]).max())


def export_fp32(checkpoint: Path, folder: Path) -> None:
    """Export a checkpoint's graphs as they are; takes torch and Coqui, and blocks for ten seconds."""
    from appliance.engines.coqui.library import import_coqui

    import_coqui()
    from appliance.engines.vits.making.export import export_graphs
    from appliance.engines.vits.making.load import load_model

    export_graphs(load_model(checkpoint), folder)
