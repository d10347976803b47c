"""Makes a voice that Coqui itself speaks, of a model's folder: copied, loaded once, heard once, put away.

Owns: which files of a model belong to such a voice, what is refused before Coqui sees it, the manifest.
Refuses to know: where a model comes from, and why it can't be a voice of engine vits (the caller says so).

It is the way for every model that isn't VITS, and for VITS whose text can't be prepared without torch.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from appliance.engines.coqui.config_paths import named_files, settle_paths
from appliance.engines.coqui.statistics import copy_statistics
from appliance.engines.coqui.voice import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    VOCODER_CONFIG_FILE,
    VOCODER_FILE,
    CoquiVoice,
    Manner,
)
from appliance.engines.vits.making.config import read_object
from appliance.engines.vits.making.description import language_tag, speakers, versions
from appliance.engines.vits.making.load import find_checkpoint
from appliance.engines.vits.making.make import OnProgress, Wanted
from appliance.engines.vits.making.refusals import config_error
from appliance.errors import (
    CheckpointBrokenError,
    CheckpointMismatchError,
    CheckpointUnsafeError,
    EngineFailedError,
    ModelTooLargeError,
    ModelUnsupportedError,
    VoiceConfigError,
    VoiceQualityError,
)
from appliance.voice_store import FileRecord, VoiceManifest, VoiceStore

XTTS = "xtts"
XTTS_FILES = ("vocab.json", "speakers_xtts.pth")
"""What XTTS takes from its folder without naming it. Source: Xtts.load_checkpoint."""
XTTS_LICENSE, XTTS_TERMS = "Coqui Public Model License 1.0.0", "https://tts-hub.github.io/cpml"
"""Source: ModelManager.ask_tos in TTS/utils/manage.py."""
FETCHING_MODELS = ("bark", "tortoise")
"""Kinds of models that fetch parts of themselves from the network whenever they are loaded."""
MAX_FILE_BYTES = 8_589_934_592
"""A larger file isn't copied; the largest of XTTS has 1.9 GB."""
LACKING = re.compile(r"(?:ImportError|ModuleNotFoundError): (.+)|ValueError: (No phonemizer found .+)")
"""What Coqui says of a package that it has no use for but with some languages: pypinyin, fugashi, gruut.

Source: get_phonemizer_by_name, get_default_phonemizer in TTS/tts/utils/text/phonemizers."""
STAGES = {"copy": 0.0, "load": 0.3, "judge": 0.6, "store": 0.95}
"""Stage → the part of the time that has passed when it begins."""
TEST_TEXT = "This is a test: one, two, three."


def make_coqui_voice(
    source: Path,
    store: VoiceStore,
    wanted: Wanted,
    on_progress: OnProgress,
    *,
    reasons: tuple[str, ...] = (),
    vocoder: Path | None = None,
) -> VoiceManifest:
    """Make a voice for the engine coqui and put it into the store; one of the same id is replaced.

    Blocks for seconds. Killed or failed, it leaves nothing but a folder that the next one removes.

    Args:
        source: A folder with `config.json`, a checkpoint and what the config names, by its bare name.
        store: Where the voice goes.
        wanted: What can't be read in the model.
        on_progress: Called at the beginning of every stage, from this thread. What it raises ends the making.
        reasons: Why the voice needs Coqui, a sentence each.
        vocoder: Folder of a vocoder; None takes `vocoder.pth` and `vocoder_config.json` of `source`, if any.

    Raises:
        VoiceImportError: The class says what is wrong with the model.
        EngineFailedError: torch or Coqui can't be imported.
        OSError: The disk is full or can't be written.
    """
    with store.making() as folder:
        on_progress("copy", STAGES["copy"])
        _copy_model(source, folder)
        _copy_vocoder(source, vocoder, folder)
        on_progress("load", STAGES["load"])
        voice = _load(folder)
        languages = _languages(voice, wanted)
        on_progress("judge", STAGES["judge"])
        _hear(voice, languages[next(iter(languages))])
        manifest = _manifest(voice, folder, wanted, languages, reasons)
        on_progress("store", STAGES["store"])
        store.put(folder, manifest)
    on_progress("store", 1.0)
    return manifest


def _copy_model(source: Path, folder: Path) -> None:
    config = _read_config(source / CONFIG_FILE)
    kind = str(config.get("model", "")).lower()
    if kind in FETCHING_MODELS:
        raise ModelUnsupportedError(f"Models of the kind {kind} fetch parts of themselves when loaded")
    _copy(find_checkpoint(source), folder / CHECKPOINT_FILE)
    unnamed = [source / name for name in XTTS_FILES if kind == XTTS]
    for path in {*named_files(config, source), *(path for path in unnamed if path.is_file())}:
        _copy(path, folder / path.name)
    _write_config(config, folder, CONFIG_FILE)


def _copy_vocoder(source: Path, vocoder: Path | None, folder: Path) -> None:
    if vocoder is not None:
        checkpoint, config_path = find_checkpoint(vocoder), vocoder / CONFIG_FILE
    elif (source / VOCODER_FILE).exists():
        checkpoint, config_path = source / VOCODER_FILE, source / VOCODER_CONFIG_FILE
    else:
        return
    config = _read_config(config_path)
    _copy(checkpoint, folder / VOCODER_FILE)
    for path in named_files(config, config_path.parent):
        _copy(path, folder / path.name)
    _write_config(config, folder, VOCODER_CONFIG_FILE)


def _copy(path: Path, target: Path) -> None:
    """Copy one file; two of one name can't be kept."""
    if target.exists():
        raise VoiceConfigError(f"The model has two files called {path.name}")
    if path.suffix == ".npy":
        copy_statistics(path, target)
        return
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise ModelTooLargeError(f"{path.name} is larger than {MAX_FILE_BYTES} bytes")
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise CheckpointBrokenError(f"{path.name} can't be read: {error.strerror}") from None
    shutil.copyfile(path, target)


def _read_config(path: Path) -> dict[str, Any]:
    """Read a config as JSON. Coqui would import whatever class its vocabulary names: only its own may be."""
    config = read_object(path)
    characters = config.get("characters")
    named = characters.get("characters_class") if isinstance(characters, dict) else None
    if named and not (isinstance(named, str) and re.fullmatch(r"TTS\.tts(?:\.\w+)+", named)):
        raise VoiceConfigError(f"{path.name}: no vocabulary of Coqui is called {str(named)[:80]!r}")
    return config


def _write_config(config: dict[str, Any], folder: Path, name: str) -> None:
    text = json.dumps(settle_paths(config, folder, absolute=False), indent=1, ensure_ascii=False)
    (folder / name).write_text(text + "\n", "utf-8")


def _load(folder: Path) -> CoquiVoice:
    try:
        return CoquiVoice(folder)
    except EngineFailedError as error:
        if "UnpicklingError" in error.message:
            message = "The model holds pickled code or classes, which are never loaded, or is damaged"
            raise CheckpointUnsafeError(message) from None
        if lacking := LACKING.search(error.message):
            said = (lacking[1] or lacking[2]).partition(" Install with")[0].rstrip(".")
            message = f"The model's text needs a package that isn't installed. Coqui says: {said}"
            raise ModelUnsupportedError(message) from None
        raise CheckpointMismatchError(error.message) from None


def _languages(voice: CoquiVoice, wanted: Wanted) -> dict[str, str]:
    """Return BCP 47 tag → Coqui's name, the main language first."""
    names = [name for name in voice.languages if voice.speaks_language(name)]
    if not names:
        raise ModelUnsupportedError("The model's languages need packages that aren't installed")
    if len(names) == 1 and wanted.languages:
        return {wanted.languages[0]: names[0]}
    tags = {language_tag(name): name for name in reversed(names)}
    first = [tag for tag in wanted.languages if tag in tags]
    return {tag: tags[tag] for tag in (*first, *reversed(tags))}


def _hear(voice: CoquiVoice, language: str) -> None:
    """Refuse a voice that can't speak a simple text audibly."""
    speaker = next(iter(voice.speakers), None)
    manner = Manner(speaker=speaker, language=language if voice.takes_language else None)
    try:
        with closing(voice.speak(TEST_TEXT, manner)) as pieces:
            peak = max((float(abs(piece).max()) for piece in pieces if piece.size), default=0.0)
    except EngineFailedError as error:
        raise VoiceQualityError(f"A test sentence failed: {error.message}") from None
    if not peak:
        raise VoiceQualityError("A test sentence came out silent")


def _manifest(
    voice: CoquiVoice, folder: Path, wanted: Wanted, languages: dict[str, str], reasons: tuple[str, ...]
) -> VoiceManifest:
    is_xtts = voice.architecture == XTTS
    left_out = sorted(set(voice.languages) - set(languages.values()))
    lacking = (f"Languages that are left out: {', '.join(left_out)}.",) if left_out else ()
    try:
        return VoiceManifest(
            id=wanted.id,
            name=wanted.name,
            engine="coqui",
            model=wanted.model,
            languages=tuple(languages),
            model_languages=languages if voice.takes_language else {},
            speakers=speakers(voice.speakers),
            license=wanted.license or (XTTS_LICENSE if is_xtts else ""),
            attribution=wanted.attribution,
            terms=XTTS_TERMS if is_xtts else "",
            has_speed=voice.has_speed,
            sample_rate_hz=voice.sample_rate_hz,
            variant=voice.architecture,
            reasons=reasons + lacking,
            versions=versions(),
            files={path.name: FileRecord.of(path) for path in sorted(folder.iterdir())},
        )
    except ValueError as error:
        raise config_error(error) from None
