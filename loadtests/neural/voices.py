"""The voices that are measured: made of random weights once, imported by the real importer, and kept.

Owns: which checkpoints and voices there are, and where they lie (`build/neural`, for the next run).
Refuses to know: what is measured with them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from appliance.settings import ROOT
from appliance.voice_store import VoiceManifest, VoiceStore

FOLDER = ROOT / "build" / "neural"
"""Data folder of the appliances that are measured. `make clean` removes it."""
FULL, HUNDRED = "full", "hundred"
"""Ids of the voices: full size with one speaker, tiny with a hundred."""
_OPTIONS: dict[str, list[str]] = {FULL: [], HUNDRED: ["--tiny", "--speakers", "100"]}


class VoiceNotMadeError(Exception):
    """A checkpoint or a voice couldn't be made; what was run has said why."""


def checkpoint(name: str, folder: Path = FOLDER) -> Path:
    """Return the folder of a checkpoint; makes it if it isn't there, which blocks for some ten seconds.

    Raises:
        VoiceNotMadeError: torch or Coqui isn't installed, or doesn't work.
    """
    place = folder / "checkpoints" / name
    if not (place / "config.json").exists():  # written last
        _run("loadtests.checkpoints", str(place), *_OPTIONS[name])
    return place


def voice(name: str, folder: Path = FOLDER) -> VoiceManifest:
    """Return what the store says of a voice; imports it if it isn't there, which blocks for minutes.

    Args:
        name: `FULL` or `HUNDRED`.
        folder: The data folder.

    Raises:
        VoiceNotMadeError: The importer has failed and said why.
    """
    store = VoiceStore(folder)
    if name not in {manifest.id for manifest in store.manifests()}:
        _run("processes.importer", str(checkpoint(name, folder)), "--id", name, "--language", "en")
    return store.read(name)


def place(name: str, folder: Path = FOLDER) -> Path:
    """Return the folder of a voice."""
    return VoiceStore(folder).path(name)


def _run(module: str, *arguments: str) -> None:
    environment = {"APPLIANCE_DATA_DIR": str(FOLDER), "APPLIANCE_RUN_DIR": str(FOLDER / "run")}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=os.environ | environment, check=False
    )
    if done.returncode:
        message = f"{module} ended with {done.returncode}; is all of `make .venv/neural.stamp` there?"
        raise VoiceNotMadeError(message)
