"""Fetches a model of Coqui's own list, through Coqui's own code, into one flat folder.

Owns: the question whether the list has the name and asks for terms, the download, which of its files are the
model's.
Refuses to know: what a model is and what becomes of it.

Nothing is asked on the terminal: terms that aren't accepted are an error before anything is downloaded.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.engines.coqui.library import import_coqui
from appliance.errors import ModelUnsupportedError, VoiceImportError
from appliance.import_errors import ModelUnknownError, TermsNotAcceptedError, VoiceDownloadError
from appliance.voice_settings import is_model_name
from appliance.voice_store import FILE_NAME

MODEL_FILE = "model.pth"
CONFIG_FILE = "config.json"
ACCEPTED = "COQUI_TOS_AGREED"
"""Tells Coqui that somebody has accepted the terms. Source: TTS.utils.manage."""
TRAINING_PARTS = re.compile(r"\.wav$|\.md$|\.zip$|\.txt$|^\.|optimizer", re.IGNORECASE)
"""Files beside a model that nobody needs to speak it."""
MAX_FILES = 64
UNWRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
"""What the disk says, not the network."""
CAME_BROKEN = (OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile, tarfile.TarError)
NETWORK_PACKAGES = {"hf_xet", "httpcore", "httpx", "httpx2", "huggingface_hub", "requests", "urllib3"}
FAIRSEQ = re.compile(r"tts_models/[^/]+/fairseq/[^/]+")
"""Names that Coqui takes beside its list. Source: ModelManager in TTS/utils/manage.py."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """What Coqui's list says of a model."""

    license: str
    attribution: str
    needs_terms: bool
    vocoder: str
    """The list's name of the vocoder that belongs to it; empty for none."""


@dataclass(frozen=True, slots=True)
class Download:
    """A model that has come: folders with `model.pth`, `config.json` and what belongs to them, no links."""

    model: Path
    vocoder: Path | None


def look_up(name: str, *, accept_terms: bool) -> ModelEntry:
    """Return what Coqui's list says of a model; no network is needed. The first call takes 2 s of CPU.

    Args:
        name: For example `tts_models/en/ljspeech/vits`.
        accept_terms: Whether the operator has accepted terms of use.

    Raises:
        ModelUnknownError: The list has no such name.
        ModelUnsupportedError: It is one of fairseq's names, which the list hasn't got.
        TermsNotAcceptedError: The model has terms, and nobody has accepted them.
        EngineFailedError: Coqui isn't installed.
    """
    if FAIRSEQ.fullmatch(name):
        raise ModelUnsupportedError(
            f"{name} is one of fairseq's models (MMS), which come in another form, without a {CONFIG_FILE}; "
            "they can't be imported"
        )
    item = _item(_manager(Path.cwd()), name) if is_model_name(name) else None
    if item is None:
        raise ModelUnknownError(f"Coqui's list has no model called {name[:80]!r}")
    entry = ModelEntry(
        license=str(item.get("license") or ""),
        attribution=", ".join(filter(None, (str(item.get(key) or "") for key in ("author", "contact")))),
        needs_terms=bool(item.get("tos_required")),
        vocoder=str(item.get("default_vocoder") or ""),
    )
    if entry.needs_terms and not accept_terms:
        raise TermsNotAcceptedError(
            f"{name} has terms of use ({entry.license}); if you accept them, set coqui.accept_terms"
        )
    return entry


def download(name: str, entry: ModelEntry, workspace: Path) -> Download:
    """Fetch a model and its vocoder; blocks for as long as the network takes, with no limit of its own.

    Args:
        name: As `look_up` has taken it.
        entry: As `look_up` has returned it, which means that its terms are accepted.
        workspace: An empty folder for everything that comes; it needs twice the model's size.

    Raises:
        VoiceDownloadError: There is no network, or what came is no model.
        OSError: The disk is full or can't be written.
    """
    os.environ["HF_HOME"] = os.fspath(workspace / "hub")  # read when huggingface_hub is imported
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if entry.needs_terms:
        os.environ[ACCEPTED] = "1"
    manager = _manager(workspace)
    model = _gather(_fetch(manager, name), workspace / "model")
    vocoder = _gather(_fetch(manager, entry.vocoder), workspace / "vocoder") if entry.vocoder else None
    return Download(model, vocoder)


def _manager(folder: Path) -> Any:
    import_coqui()
    from TTS.utils.manage import ModelManager

    return ModelManager(output_prefix=folder, progress_bar=False)


def _item(manager: Any, name: str) -> dict[str, Any] | None:
    found = manager.models_dict
    for part in name.split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _fetch(manager: Any, name: str) -> tuple[Path, Path]:
    """Return where Coqui has put a model's checkpoint, or its folder, and its config.

    Raises:
        VoiceDownloadError: There is no network, or what came is no model.
        OSError: It can't be written.
    """
    try:
        checkpoint, config, _ = manager.download_model(name)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITTEN:
            raise
        if not (isinstance(error, CAME_BROKEN) or _is_of_network(error)):
            raise
        raise VoiceDownloadError(f"{name} couldn't be downloaded: {_reason(error)}") from None
    if config is None:
        raise VoiceDownloadError(f"{name} came without a {CONFIG_FILE}")
    return Path(checkpoint), Path(config)


def _is_of_network(error: Exception) -> bool:
    """Return whether one of the libraries that Coqui downloads with has raised it.

    Their errors have no root in common: requests' are of `OSError`, httpx's and those of Hugging Face's own
    protocol aren't.
    """
    return any(kind.__module__.partition(".")[0] in NETWORK_PACKAGES for kind in type(error).__mro__)


def _gather(found: tuple[Path, Path], made: Path) -> Path:
    """Move a model's files into a new folder, links as what they point at."""
    checkpoint, config = found
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    names = {config: CONFIG_FILE} | ({} if checkpoint.is_dir() else {checkpoint: MODEL_FILE})
    others = {path: path.name for path in sorted(folder.iterdir()) if _is_part(path)}
    files = others | names
    if len(files) > MAX_FILES:
        raise VoiceImportError(f"The model consists of more than {MAX_FILES} files")
    made.mkdir()
    for path, name in files.items():
        shutil.move(path.resolve(), made / name)
    return made


def _is_part(path: Path) -> bool:
    has_fine_name = re.fullmatch(FILE_NAME, path.name) and not TRAINING_PARTS.search(path.name)
    return bool(has_fine_name) and path.is_file()


def _reason(error: Exception) -> str:
    """Return what went wrong without the address that libraries write into their messages."""
    kind = type(error).__name__
    if kind in {"ConnectionError", "ConnectTimeout", "LocalEntryNotFoundError", "OfflineModeIsEnabled"}:
        return "the network or the server can't be reached"
    return f"{kind}: {str(error).strip().splitlines()[0][:160]}" if str(error).strip() else kind
