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
"""`make clean` removes it."""
FULL, HUNDRED = "full", "hundred"
"""Ids of the voices: full size with one speaker, tiny with a hundred."""
_OPTIONS: dict[str, list[str]] = {FULL: [], HUNDRED: ["--tiny", "--speakers", "100"]}


class VoiceNotMadeError(Exception):
    """A checkpoint or a voice couldn't be made; what was run has said why."""


def checkpoint(name: str) -> Path:
    """Return the folder of a checkpoint; makes it if it isn't there, which blocks for some ten seconds.

    Args:
        name: `FULL` or `HUNDRED`.

    Raises:
        VoiceNotMadeError: torch or Coqui isn't installed, or doesn't work.
    """
    folder = FOLDER / "checkpoints" / name
    if not (folder / "config.json").exists():  # written last
        _run("loadtests.checkpoints", name, str(folder), *_OPTIONS[name])
    return folder


def voice(name: str) -> VoiceManifest:
    """Return what the store says of a voice; imports it if it isn't there, which blocks for minutes.

    Raises:
        VoiceNotMadeError: The importer has failed and said why.
    """
    store = VoiceStore(data_dir(name))
    if name not in {manifest.id for manifest in store.manifests()}:
        _run("processes.importer", name, str(checkpoint(name)), "--id", name, "--language", "en")
    return store.read(name)


def data_dir(name: str) -> Path:
    """Return the data folder of an appliance that has this voice and no other."""
    return FOLDER / name


def place(name: str) -> Path:
    """Return the folder of a voice."""
    return VoiceStore(data_dir(name)).path(name)


def _run(module: str, name: str, *arguments: str) -> None:
    folder = data_dir(name)
    environment = {"APPLIANCE_DATA_DIR": str(folder), "APPLIANCE_RUN_DIR": str(folder / "run")}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=os.environ | environment, check=False
    )
    if done.returncode:
        message = f"{module} ended with {done.returncode}; is all of `make .venv/neural.stamp` there?"
        raise VoiceNotMadeError(message)
