"""The voices that were imported: one folder each, and what `voice.json` says of it.

Owns: the layout below `data/voices`, the shape of `voice.json`, putting a finished voice in its place and
taking one away, the `Voice` entries that come of it.
Refuses to know: how a voice is made (`engines.vits.making`) and how it is spoken.

    data/voices/<id>/voice.json      VoiceManifest
                     text.onnx …     what the manifest's `files` name
    data/voices/.making-<random>/    a voice under way; renamed when it is whole, removed by the next import
    data/voices/.replaced-<id>/      the voice that <id> was before; its name again if there is no <id>

A folder with a name that begins with a dot is no voice. No name of a file or folder comes from the network:
ids are checked against `VOICE_ID`, file names against `FILE_NAME`.

An utterance's `engine_voice` is `<id>/<speaker's index>`, and `/<language>` where there are several.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Any, Literal

from loguru import logger
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from appliance.errors import ConfigurationError
from appliance.voice_folders import locked, replace_folder, restore_replaced, sync, sync_folder, take_away
from appliance.voices import Gender, Voice

VOICES_FOLDER = "voices"
MANIFEST_FILE = "voice.json"
MAKING_PREFIX = ".making-"
REPLACED_PREFIX = ".replaced-"
CHANGE_FILE = "voices.changed"
"""Beside the folder; written anew whenever a voice has come or gone."""
VOICE_ID = r"[a-z0-9][a-z0-9_.-]{0,79}"
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}"
MAX_MANIFEST_BYTES = 4_194_304
"""A larger `voice.json` isn't read: 4,000 speakers take 0.4 MB."""
MAX_SPEAKERS = 10_000
MAX_SPEAKER_NAME_CHARS = 200
MAX_FILES = 1000
MAX_ENTRIES = 4000
"""Catalogue entries of one voice: with more speakers times languages, the speakers have the main one only."""
MIN_SPEED, MAX_SPEED = 0.5, 2.0
"""Factors of normal speed that are spoken well; the gateway stretches what is asked for beyond them."""
FOLDER_MODE = 0o755
FORMAT = 2
"""Counts up when an older appliance could no longer speak the voice rightly."""
OLDEST_FORMATS = {"vits": 2}
"""By engine: voices of older ones can't be spoken any more. Since 2 the decoder takes `trim`."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Speaker(_Part):
    """One of the people a voice can sound like."""

    id: str = Field(pattern=rf"^{VOICE_ID}$")
    """Stands behind the voice's id: `<voice id>-<speaker id>`."""
    name: str = Field(min_length=1, max_length=MAX_SPEAKER_NAME_CHARS)
    """For a person to read."""
    model_name: str | None = Field(None, max_length=10_000)
    """Coqui's own name of the speaker, to the letter, where it isn't `name`: some end with a line's end."""
    index: int = Field(ge=0, lt=MAX_SPEAKERS)
    """The speaker's number in the model."""
    gender: Gender = Gender.UNKNOWN


class FrontEnd(_Part):
    """How text becomes token ids; the fields are Coqui's. Source: TTS.tts.utils.text.tokenizer."""

    vocabulary: tuple[str, ...] = Field(max_length=10_000)
    """Every symbol; its place is its id."""
    pad: str | None = None
    blank: str | None = None
    bos: str | None = None
    eos: str | None = None
    add_blank: bool = False
    use_eos_bos: bool = False
    cleaner: str | None = None
    """Name of a function in TTS.tts.utils.text.cleaners."""
    phonemizer: Literal["espeak", "multi_phonemizer"] | None = None
    """None for a voice that speaks letters."""
    phoneme_language: str | None = None
    phonemizers: dict[str, str] = {}
    """Language as Coqui names it → its phonemizer, for `multi_phonemizer`."""
    language: str | None = None
    """Coqui's name of the only language of a voice with one; cleaners and numbers go by it."""


class FileRecord(_Part):
    """What a file must be."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @classmethod
    def of(cls, path: Path) -> FileRecord:
        """Return the record of a file as it is now; reads it whole, piece by piece.

        Raises:
            OSError: It can't be read.
        """
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(bytes=file.tell(), sha256=digest)


class VitsModel(_Part, extra="ignore"):
    """What `engines.vits` needs to speak a voice with its three graphs; other fields are left out."""

    hop_length: int = Field(gt=0, le=4096)
    """PCM frames that one model frame becomes."""
    hidden_channels: int = Field(gt=0, le=4096)
    """Channels of the model's frames."""
    noise_scale: float = Field(ge=0, le=4)
    duration_noise_scale: float = Field(ge=0, le=4)
    length_scale: float = Field(gt=0, le=10)
    flow_overlap_frames: int = Field(ge=0, le=1024)
    """Model frames of context that the flow graph needs on either side of a window."""
    decoder_overlap_frames: int = Field(ge=0, le=1024)
    """The same for the decoder graph."""


class VoiceManifest(_Part):
    """What `voice.json` holds."""

    format: int = Field(FORMAT, ge=1)
    id: str = Field(pattern=rf"^{VOICE_ID}$")
    name: str = Field(min_length=1, max_length=200)
    engine: Literal["vits", "coqui"]
    model: str = Field(max_length=300)
    """Coqui's name of the model, or `checkpoint` for a folder that somebody gave."""
    languages: tuple[str, ...] = Field(min_length=1, max_length=200)
    """BCP 47 tags, the main one first."""
    model_languages: dict[str, str] = {}
    """BCP 47 tag → the model's own name of the language; empty for a voice with one language."""
    language_indexes: dict[str, int] = {}
    """BCP 47 tag → the language's number in the model."""
    speakers: tuple[Speaker, ...] = Field((), max_length=MAX_SPEAKERS)
    """In the model's order; empty for a voice with one."""
    has_speed: bool = True
    """Whether the model itself speaks faster and slower; the gateway stretches what doesn't."""
    license: str = ""
    attribution: str = ""
    terms: str = Field("", max_length=300)
    """Address of terms of use that somebody has to accept (`coqui.accept_terms`); empty for none."""
    sample_rate_hz: int = Field(ge=8000, le=192_000)
    front_end: FrontEnd | None = None
    vits: VitsModel | None = None
    variant: str = ""
    """Which form was chosen: `int8`, `int8-conv` or `fp32`; of engine coqui the kind of model, as `xtts`."""
    reasons: tuple[str, ...] = ()
    """Why that one, a sentence each."""
    figures: dict[str, float] = {}
    """What the gate measured: name with unit → value."""
    versions: dict[str, str] = {}
    """What made it: package → version, and `cpu`."""
    files: dict[Annotated[str, StringConstraints(pattern=rf"^{FILE_NAME}$")], FileRecord] = Field(
        {}, max_length=MAX_FILES
    )

    @property
    def size_bytes(self) -> int:
        """What its files hold."""
        return sum(record.bytes for record in self.files.values())

    def voices(self) -> Iterator[Voice]:
        """Yield what the catalogue lists, each with an id of its own.

        The voice itself, then one entry per speaker; where it speaks several languages, behind each of them
        one entry per further language: `<id>-<speaker id>-<language>`.
        """
        first = self.speakers[0] if self.speakers else Speaker(id="0", name="0", index=0)
        entries = [self._entry(self.id, self.name, first)]
        entries += [
            self._entry(f"{self.id}-{speaker.id}", f"{self.name}, {speaker.name}", speaker)
            for speaker in self.speakers
        ]
        has_room = len(entries) * max(1, len(self.model_languages)) <= MAX_ENTRIES
        for entry in entries:
            yield from self._in_languages(entry, is_every=has_room or entry is entries[0])

    def _entry(self, voice_id: str, name: str, speaker: Speaker) -> Voice:
        return Voice(
            id=voice_id,
            name=name,
            engine=self.engine,
            engine_voice=f"{self.id}/{speaker.index}",
            languages=self.languages,
            gender=speaker.gender,
            sample_rate_hz=self.sample_rate_hz,
            min_speed=MIN_SPEED if self.has_speed else 1.0,
            max_speed=MAX_SPEED if self.has_speed else 1.0,
        )

    def _in_languages(self, entry: Voice, *, is_every: bool) -> Iterator[Voice]:
        """Yield a speaker's entry, then one for each further language of the model."""
        main = self.languages[0]
        if main not in self.model_languages:
            yield entry
            return
        yield replace(entry, engine_voice=f"{entry.engine_voice}/{main}", languages=(main,))
        for language in self.model_languages if is_every else ():
            if language != main:
                yield replace(
                    entry,
                    id=f"{entry.id}-{language.lower()}",
                    name=f"{entry.name}, {language}",
                    engine_voice=f"{entry.engine_voice}/{language}",
                    languages=(language,),
                )


class VoiceStore:
    """The folder of imported voices. Every method blocks on the disk; several processes may use it."""

    def __init__(self, data_dir: Path) -> None:
        """Take the appliance's data folder; nothing is created before something is put there."""
        self.folder = data_dir / VOICES_FOLDER

    def manifests(self) -> list[VoiceManifest]:
        """Return every voice that can be read, sorted by id; what can't is named in the log and left out."""
        found = []
        for path in sorted(self.folder.glob(f"[!.]*/{MANIFEST_FILE}")):
            try:
                found.append(self.read(path.parent.name))
            except ConfigurationError as error:
                logger.warning("voice_unreadable", voice=path.parent.name, message=error.message)
        return found

    def path(self, voice_id: str) -> Path:
        """Return a voice's folder, whether there is one or not.

        Raises:
            ConfigurationError: No voice can have this id.
        """
        if not re.fullmatch(VOICE_ID, voice_id):
            raise ConfigurationError(f"{voice_id[:80]!r} can't be the id of a voice")
        return self.folder / voice_id

    def read(self, voice_id: str) -> VoiceManifest:
        """Return what a voice's `voice.json` says.

        Raises:
            ConfigurationError: There is none, or it is too large, broken, another's, of a newer format, or of
                one that is too old.
        """
        path = self.path(voice_id) / MANIFEST_FILE
        values = _read_json(path)
        made_in = values.get("format") if isinstance(values, dict) else None
        if isinstance(made_in, int) and made_in > FORMAT:
            raise ConfigurationError(f"{path}: made by a newer appliance (format {made_in})")
        try:
            manifest = VoiceManifest.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ConfigurationError(f"{path}: {place}: {first['msg']}") from None
        if manifest.id != voice_id:
            raise ConfigurationError(f"{path}: is the voice {manifest.id!r}")
        if manifest.format < OLDEST_FORMATS.get(manifest.engine, 1):
            raise ConfigurationError(
                f"{path}: made by an older appliance (format {made_in}); import it again"
            )
        return manifest

    def verify(self, manifest: VoiceManifest) -> None:
        """See that every file of a voice is there and is what it was when the voice was made.

        Reads all of them, at about 1 GB/s where they are in memory.

        Raises:
            ConfigurationError: A file is missing, can't be read or isn't the one that was recorded.
        """
        _verify(self.path(manifest.id), manifest)

    def sweep(self) -> None:
        """Take away what killed imports have left, and put back the voice that one was about to replace.

        A folder whose maker lives is locked, and stays.
        """
        if restore_replaced(self.folder, REPLACED_PREFIX):
            self._note_change()
        for left in self.folder.glob(f"{MAKING_PREFIX}*"):
            with locked(left) as is_ours:
                if is_ours:
                    shutil.rmtree(left, ignore_errors=True)

    def change_mark(self) -> str:
        """Return what is another text after each change of the store, by whatever process; empty at first."""
        try:
            return (self.folder.parent / CHANGE_FILE).read_text("ascii", "replace")
        except OSError:
            return ""

    def _note_change(self) -> None:
        new = self.folder.parent / f"{CHANGE_FILE}.{os.getpid()}"
        new.write_text(f"{time.time_ns()} {os.getpid()}\n", "ascii")
        new.replace(self.folder.parent / CHANGE_FILE)

    @contextmanager
    def making(self) -> Iterator[Path]:
        """Give an empty folder in which a voice is made, and take away what is left of it at the end.

        What a killed one has left is taken away first (`sweep`).

        Yields:
            The folder; `put` gives it its place.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sweep()
        made = Path(mkdtemp(prefix=MAKING_PREFIX, dir=self.folder))
        made.chmod(FOLDER_MODE)
        with locked(made):
            try:
                yield made
            finally:
                shutil.rmtree(made, ignore_errors=True)

    def put(self, made: Path, manifest: VoiceManifest) -> None:
        """Put a finished voice in its place, whole or not at all; one of the same id is replaced.

        Killed between the two renames that this takes, it leaves the old one for `sweep` to put back.

        Args:
            made: A folder inside `self.folder` that holds what `manifest.files` names; it is renamed.
            manifest: Written into it as `voice.json`.

        Raises:
            ConfigurationError: The folder doesn't hold what the manifest says.
        """
        _verify(made, manifest)
        text = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False)
        (made / MANIFEST_FILE).write_text(text + "\n", "utf-8")
        sync_folder(made)
        place = self.path(manifest.id)
        old = self.folder / f"{REPLACED_PREFIX}{manifest.id}"
        replace_folder(made, place, old)
        self._note_change()
        sync(self.folder)
        shutil.rmtree(old, ignore_errors=True)

    def remove(self, voice_id: str) -> bool:
        """Take a voice away; return whether there was one. Who speaks it keeps its open files.

        With it goes what a killed import has left of the voice that it was before.
        """
        old = self.folder / f"{REPLACED_PREFIX}{voice_id}"
        taken = take_away(self.path(voice_id), old, f"{MAKING_PREFIX}gone-")
        if taken:
            self._note_change()
        for gone in taken:
            shutil.rmtree(gone)
        return bool(taken)


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ConfigurationError(f"{path}: larger than {MAX_MANIFEST_BYTES} bytes")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{path}: isn't JSON") from None


def _verify(folder: Path, manifest: VoiceManifest) -> None:
    for name, record in manifest.files.items():
        path = folder / name
        try:
            is_same = path.stat().st_size == record.bytes and FileRecord.of(path) == record
        except OSError as error:
            raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from None
        if not is_same:
            raise ConfigurationError(f"{path}: isn't the file that belongs to the voice; import it again")
