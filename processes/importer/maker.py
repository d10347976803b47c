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
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from appliance.engines.coqui.downloads import CONFIG_FILE, Download, ModelEntry, download, look_up
from appliance.engines.vits.making.config import read_object
from appliance.engines.vits.making.make import Wanted, make_voice, require_packages
from appliance.engines.vits.making.refusals import config_error
from appliance.engines.vits.making.verdict import Limits
from appliance.errors import ApplianceError, CheckpointForeignError, ModelUnsupportedError
from appliance.import_errors import MemoryShortError, VoiceNotWrittenError
from appliance.lifecycle import be_first_to_go, die_with_parent
from appliance.machine import free_memory_bytes
from appliance.settings import Settings, load_settings
from appliance.voice_store import VoiceManifest, VoiceStore
from processes.importer.errand import Errand

MIB_BYTES = 1024 * 1024
MAX_FILE_BYTES = 8 * 1024**3
"""No file that an import writes may be larger; XTTS has 1.9 GB."""
VITS = "vits"
"""What a VITS model's config calls its kind."""
MEASURE_S = 1.0
"""Seconds between two looks at how much has been downloaded."""

READING = ("copy", "load")
"""Stages in which nothing is done but reading what a stranger has written."""

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

    last: dict[str, Any] = {}

    def tell(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        last.update(message)

    try:
        manifest = import_voice(errand, load_settings(), tell)
    except Exception as error:
        failure = failure_of(error, is_reading=last.get("stage") in READING)
        if failure is None:
            raise
        tell({"error": failure.code, "message": failure.message})
        return 1
    tell({"voice": manifest.id, "variant": manifest.variant, "reasons": manifest.reasons})
    return 0


def failure_of(error: Exception, *, is_reading: bool) -> ApplianceError | None:
    """Return what a keeper is told of an exception; None of one that is this program's own fault.

    Args:
        error: Whatever came.
        is_reading: Whether the model was being read: what no check of ours has foreseen there, and Coqui or
            torch stumble over, is a model that says what can't be. Its traceback goes to standard error.
    """
    if isinstance(error, ApplianceError):
        return error
    if isinstance(error, OSError):
        return VoiceNotWrittenError.of(error)
    if not is_reading or isinstance(error, MemoryError):
        return None
    traceback.print_exception(error)
    return config_error(error)


def import_voice(errand: Errand, settings: Settings, tell: Tell) -> VoiceManifest:
    """Fetch the model if it is one of Coqui's list, and put the voice into the store; blocks for minutes.

    Raises:
        VoiceImportError: The class says what is wrong.
        EngineFailedError: torch, Coqui or another package isn't installed.
        OSError: The disk is full or can't be written.
    """
    require_memory(settings.importer.needed_bytes, free_memory_bytes())
    require_packages()  # first: nobody should wait for a download that nothing can be made of
    if not errand.is_model:
        return _make(Download(Path(errand.source), None), settings, errand, tell)
    tell({"stage": "download", "fraction": 0.0})
    entry = look_up(errand.source, accept_terms=settings.coqui.accept_terms)
    with VoiceStore(settings.data.dir).making() as workspace:
        with _measured(workspace, tell):
            came = download(errand.source, entry, workspace)
        return _make(came, settings, errand, tell, entry)


def require_memory(needed_bytes: int, free_bytes: int | None) -> None:
    """See that there is enough memory, where anybody says how much there is.

    Raises:
        MemoryShortError: There isn't; the kernel would kill this process half-way.
    """
    if free_bytes is not None and free_bytes < needed_bytes:
        needed, free = (f"{size_bytes / MIB_BYTES:,.0f} MiB" for size_bytes in (needed_bytes, free_bytes))
        raise MemoryShortError(
            f"An import needs {needed} of free memory (importer.needed_bytes), and here are {free}; make the "
            'voice where there is more: docs/operate/voices.md, "Where memory is short"'
        )


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
    """Be the first to go, and write no file that is larger than any model."""
    be_first_to_go()
    _, hard_bytes = resource.getrlimit(resource.RLIMIT_FSIZE)
    is_unlimited = hard_bytes == resource.RLIM_INFINITY
    size_bytes = MAX_FILE_BYTES if is_unlimited else min(MAX_FILE_BYTES, hard_bytes)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard_bytes))


if __name__ == "__main__":
    sys.exit(main())
