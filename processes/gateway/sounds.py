"""What decides how a text sounds, as a name: of a kept answer, of a job's utterance.

Owns: the one list of what a sound depends on that no request says: versions of the appliance, of packages,
engines and imported voices, the appliance's sources, and settings.
Refuses to know: what is kept under such a name, and where.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections import OrderedDict
from pathlib import Path

import appliance
from appliance.settings import Settings
from appliance.sound_sources import sound_sources, sources_hash
from appliance.speech import SpeechRequest, Utterance
from appliance.text.early import deciding_text
from appliance.voices import Voice
from processes.gateway.imports import Imports
from processes.gateway.pool import WorkerPool

PACKAGES = (
    "av",
    "coqui-tts",
    "emoji",
    "espeakng-loader",
    "lameenc",
    "num2words",
    "numpy",
    "onnxruntime",
    "sentencex",
    "torch",
)
"""Other versions of these may make another sound of the same text."""
SECTIONS = ("text", "tone", "vits", "coqui")
"""Of the settings."""
GATEWAY_SOURCES = ("encoding.py", "heard_words.py", "planned_speech.py")
"""Modules of the gateway's that decide what is joined, stretched and cut how."""
MAX_SPOKEN_NAMES = 4_096
"""Texts whose names by what is spoken are remembered, some 1.5 MB; the oldest goes first."""


class Sounds:
    """Names sounds: two with one name are the same."""

    def __init__(self, settings: Settings, pool: WorkerPool, imports: Imports) -> None:
        """Look up what stays as it is for as long as the gateway runs.

        Args:
            settings: What they say of text and engines counts.
            pool: Knows the engines' versions.
            imports: Knows the imported voices' versions.
        """
        self._appliance = _appliance(settings)
        self._pool = pool
        self._imports = imports
        self._spoken_names: OrderedDict[str, str] = OrderedDict()
        """The name by what is spoken, by the name by what is written."""

    def answer_name(self, request: SpeechRequest, voice: Voice) -> str:
        """Return the name of all that decides an answer's bytes; empty while nobody knows all of it.

        Texts that are spoken alike have one, however they are written; what is spoken of one is found once.
        The request holds the dictionary's words for the voice already.
        """
        written = self._answer_name(request, voice, request.text)
        if not written:
            return ""
        name = self._spoken_names.get(written)
        if name is None:
            spoken = deciding_text(request, voice)
            name = written if spoken is None else self._answer_name(request, voice, spoken, "spoken")
            self._spoken_names[written] = name
            if len(self._spoken_names) > MAX_SPOKEN_NAMES:
                self._spoken_names.popitem(last=False)
        return name

    def _answer_name(self, request: SpeechRequest, voice: Voice, *text: str) -> str:
        return self._name(
            voice.engine,
            voice.engine_voice,
            (
                *text,
                voice.sample_rate_hz,
                request.speed,
                request.pitch,
                request.volume,
                request.format.value,
                request.input_type.value,
                request.make_speakable,
                request.spell_out,
                request.wants_word_times,
                request.pronunciations.version,
                *request.randomness.given().items(),
            ),
        )

    def utterance_name(self, utterance: Utterance) -> str:
        """Return the name of everything that decides an utterance's audio; empty as `answer_name`."""
        return self._name(
            utterance.engine,
            utterance.engine_voice,
            (
                utterance.spoken.text,
                utterance.speed,
                utterance.pitch,
                utterance.volume,
                utterance.is_ssml,
                utterance.wants_word_marks,
                *utterance.randomness.given().items(),
            ),
        )

    def _name(self, engine: str, engine_voice: str, asked: tuple[object, ...]) -> str:
        """Return the name of what is asked of a voice.

        It is empty while no worker has told its engine's version, and while workers with another version of
        it, or of an imported voice, are being replaced, since nobody knows then which of them would speak.
        """
        engine_version = self._pool.engine_versions.get(engine)
        voice_version = self._imports.voice_version(engine, engine_voice)
        if engine_version is None or voice_version is None:
            return ""
        if any(link.engine_version != engine_version for link in self._pool.links(engine)):
            return ""
        parts = (self._appliance, engine, engine_version, engine_voice, voice_version, *asked)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def _appliance(settings: Settings) -> str:
    """Return a hash of what the sound of every text depends on."""
    gateway_sources = sources_hash(Path(__file__).parent, GATEWAY_SOURCES)
    versions = [appliance.__version__, sound_sources(), gateway_sources]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    chosen = settings.model_dump_json(include=set(SECTIONS))
    return hashlib.sha256(repr((versions, chosen)).encode()).hexdigest()
