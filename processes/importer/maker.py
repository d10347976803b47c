"""The process that makes one voice, with torch and Coqui: `python -m processes.importer.maker`.

Owns: fetching the model, the choice of the engine, what it tells its keeper, its own place in the machine.
Refuses to know: terminals, states, other imports; `keeper` starts and ends it.

    standard output   a JSON object a line: {"stage", "fraction"} …, then {"voice", …} or {"error", "message"}
    standard error    whatever libraries say
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from appliance.engines.coqui.downloads import CONFIG_FILE, Download, ModelEntry, download, look_up
from appliance.engines.vits.making.config import read_object
from appliance.engines.vits.making.make import Wanted, make_voice
from appliance.engines.vits.making.verdict import Limits
from appliance.errors import ApplianceError, CheckpointForeignError, ModelUnsupportedError
from appliance.import_errors import VoiceNotWrittenError
from appliance.lifecycle import die_with_parent
from appliance.settings import Settings, load_settings
from appliance.voice_store import VoiceManifest, VoiceStore
from processes.importer.errand import Errand

NICE = 19
"""An import takes what speaking leaves. Source: nice(2), the least favourable."""
OOM_SCORE_ADJ = 1000
"""When memory is short, this process goes first. Source: proc(5)."""
MAX_FILE_BYTES = 8 * 1024**3
"""No file that an import writes may be larger; XTTS has 1.9 GB."""
VITS = "vits"
"""What a VITS model's config calls its kind."""
MEASURE_S = 1.0
"""Seconds between two looks at how much has been downloaded."""

NO_ENTRY = ModelEntry(license="", attribution="", needs_terms=False, vocoder="")
"""For a folder, of which Coqui's list says nothing."""

Tell = Callable[[dict[str, Any]], None]


def main() -> int:
    """Make the voice that the first argument describes for the keeper whose process the second one is."""
    errand, keeper = Errand.from_json(sys.argv[1]), int(sys.argv[2])
    die_with_parent(parent=keeper)
    _contain()
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print isn't for the keeper

    def tell(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")

    try:
        manifest = import_voice(errand, load_settings(), tell)
    except ApplianceError as error:
        tell({"error": error.code, "message": error.message})
        return 1
    except OSError as error:
        tell(
            {
                "error": VoiceNotWrittenError.code,
                "message": f"The voice couldn't be written: {error.strerror}",
            }
        )
        return 1
    tell({"voice": manifest.id, "variant": manifest.variant, "reasons": manifest.reasons})
    return 0


def import_voice(errand: Errand, settings: Settings, tell: Tell) -> VoiceManifest:
    """Fetch the model if it is one of Coqui's list, and put the voice into the store; blocks for minutes.

    Raises:
        VoiceImportError: The class says what is wrong.
        EngineFailedError: torch or Coqui isn't installed.
        OSError: The disk is full or can't be written.
    """
    if not errand.is_model:
        return _make(Download(Path(errand.source), None), settings, errand, tell)
    tell({"stage": "download", "fraction": 0.0})
    entry = look_up(errand.source, accept_terms=settings.coqui.accept_terms)
    with VoiceStore(settings.data.dir).making() as workspace:
        with _measured(workspace, tell):
            came = download(errand.source, entry, workspace)
        return _make(came, settings, errand, tell, entry)


def _make(
    came: Download, settings: Settings, errand: Errand, tell: Tell, entry: ModelEntry = NO_ENTRY
) -> VoiceManifest:
    """Make a voice that speaks without torch where that can be, else one that Coqui speaks."""
    gate = settings.importer
    store, limits = VoiceStore(settings.data.dir), Limits(gate.forms, gate.min_snr_db, gate.max_log_mel_db)
    wanted = Wanted(
        errand.id,
        errand.name,
        license=errand.license or entry.license,
        attribution=errand.attribution or entry.attribution,
        languages=errand.languages,
        **({"model": errand.source} if errand.is_model else {}),
    )

    def on_progress(stage: str, fraction: float) -> None:
        tell({"stage": stage, "fraction": fraction})

    try:
        return make_voice(came.model, store, wanted, limits, on_progress)
    except (CheckpointForeignError, ModelUnsupportedError) as error:
        if isinstance(error, CheckpointForeignError) and _is_vits(came.model):
            raise
        reasons = (f"{error.message.rstrip('.')}, so only Coqui itself can speak it.",)
    from appliance.engines.vits.making.with_coqui import make_coqui_voice

    return make_coqui_voice(came.model, store, wanted, on_progress, reasons=reasons, vocoder=came.vocoder)


def _is_vits(folder: Path) -> bool:
    return str(read_object(folder / CONFIG_FILE).get("model", "")).lower() == VITS


@contextmanager
def _measured(folder: Path, tell: Tell) -> Iterator[None]:
    """Say again and again how much has come into a folder, until the block ends."""
    ended = threading.Event()

    def measure() -> None:
        while not ended.wait(MEASURE_S):
            tell({"stage": "download", "fraction": 0.0, "bytes": _size_bytes(folder)})

    thread = threading.Thread(target=measure, name="download-size", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _size_bytes(folder: Path) -> int:
    total_bytes = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # gone since the listing
            total_bytes += path.lstat().st_size
    return total_bytes


def _contain() -> None:
    """Be the last to compute and the first to be killed, and leave no core file."""
    os.nice(NICE)
    with suppress(OSError):  # a container may forbid it, and nothing depends on it
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJ), "ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


if __name__ == "__main__":
    sys.exit(main())
