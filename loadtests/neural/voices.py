"""The voices that are measured: made of random weights once, imported by the real importer, and kept.

Owns: which checkpoints and voices there are, where they lie (`build/neural`, for the next run), and that
somebody's own checkpoint (`NEURAL_CHECKPOINT`) is read only and gets a folder beside the others.
Refuses to know: what is measured with them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from appliance.settings import ROOT
from appliance.voice_store import VoiceManifest, VoiceStore

FOLDER = ROOT / "build" / "neural"
"""`make clean` removes it."""
FULL, HUNDRED, SECOND = "full", "hundred", "second"
"""Ids of the voices: full size with one speaker, tiny with a hundred, a copy of the first."""
CHECKPOINT_FILES = ("model.pth", "config.json")
"""What Coqui's own server is started with."""
OWN_CHECKPOINT = "NEURAL_CHECKPOINT"
"""The variable that names a folder with these two, which are taken in place of `FULL`'s random weights."""
_OPTIONS: dict[str, list[str]] = {FULL: [], HUNDRED: ["--tiny", "--speakers", "100"]}


class VoiceNotMadeError(Exception):
    """A checkpoint or a voice couldn't be made; what was run has said why."""


def checkpoint(name: str) -> Path:
    """Return the folder of a checkpoint; makes it if it isn't there, which blocks for some ten seconds.

    Args:
        name: `FULL` or `HUNDRED`.

    Raises:
        VoiceNotMadeError: torch or Coqui isn't installed, or doesn't work; or there is no checkpoint in the
            folder that somebody has named.
    """
    if (own := _own_checkpoint(name)) is not None:
        return own
    folder = FOLDER / "checkpoints" / name
    if not (folder / "config.json").exists():  # written last
        _run("loadtests.checkpoints", name, str(folder), *_OPTIONS[name])
    return folder


def voice(name: str) -> VoiceManifest:
    """Return what the store says of a voice; imports it if it isn't there, which blocks for minutes.

    Raises:
        VoiceNotMadeError: The importer has failed and said why; or the checkpoint that somebody has named
            is one for Coqui itself, which has nothing to measure here.
    """
    store = VoiceStore(data_dir(name))
    if name not in {manifest.id for manifest in store.manifests()}:
        language = [] if _own_checkpoint(name) else ["--language", "en"]
        _run("processes.importer", name, str(checkpoint(name)), "--id", name, *language)
    manifest = store.read(name)
    if manifest.engine != "vits":
        raise VoiceNotMadeError(f"no voice of the vits engine: {' '.join(manifest.reasons)}")
    return manifest


def data_dir(name: str) -> Path:
    """Return the data folder of an appliance that has this voice and no other.

    Somebody's own checkpoint has one of its own, and another when it has changed.

    Raises:
        VoiceNotMadeError: There is no checkpoint in the folder that somebody has named.
    """
    own = _own_checkpoint(name)
    if own is None:
        return FOLDER / name
    found = [(own / file).stat() for file in CHECKPOINT_FILES]
    marks = repr([str(own), *((each.st_size, each.st_mtime_ns) for each in found)])
    return FOLDER / f"own-{hashlib.sha256(marks.encode()).hexdigest()[:12]}"


def two_voices() -> tuple[str, str]:
    """Return the ids of two full-size voices of one data folder, made of `FULL` if they aren't there.

    The second is a copy, whose files are its own, so that nothing of it is shared with the first in memory.

    Raises:
        VoiceNotMadeError: As `voice`.
    """
    made, store = voice(FULL), VoiceStore(two_voices_dir())
    there = {manifest.id: manifest.files for manifest in store.manifests()}
    for voice_id in (FULL, SECOND):
        if there.get(voice_id) != made.files:
            with store.making() as folder:
                for name in made.files:
                    shutil.copyfile(place(FULL) / name, folder / name)
                store.put(folder, made.model_copy(update={"id": voice_id}))
    return FULL, SECOND


def two_voices_dir() -> Path:
    """Return the data folder of an appliance that has two full-size voices."""
    one = data_dir(FULL)
    return one.with_name(f"{one.name}-two")


def place(name: str) -> Path:
    """Return the folder of a voice."""
    return VoiceStore(data_dir(name)).path(name)


def _own_checkpoint(name: str) -> Path | None:
    named = os.environ.get(OWN_CHECKPOINT)
    if name != FULL or not named:
        return None
    folder = Path(named).resolve()
    if not all((folder / file).is_file() for file in CHECKPOINT_FILES):
        raise VoiceNotMadeError(f"{OWN_CHECKPOINT}: {folder} has no {' with a '.join(CHECKPOINT_FILES)}")
    return folder


def _run(module: str, name: str, *arguments: str) -> None:
    folder = data_dir(name)
    environment = {"APPLIANCE_DATA_DIR": str(folder), "APPLIANCE_RUN_DIR": str(folder / "run")}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=os.environ | environment, check=False
    )
    if done.returncode:
        message = f"{module} ended with {done.returncode}; is all of `make .venv/neural.stamp` there?"
        raise VoiceNotMadeError(message)
