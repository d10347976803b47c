"""The voices that a worker holds in memory: loaded when asked for, dropped when they are too many.

Owns: when a voice is loaded, checked, loaded anew and dropped.
Refuses to know: what is spoken.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from loguru import logger

from appliance.engines.vits.front_end import EspeakPhonemizer, Tokenizer
from appliance.engines.vits.voice import VitsVoice
from appliance.errors import ConfigurationError, EngineFailedError, VoiceImportError
from appliance.voice_store import MANIFEST_FILE, VoiceManifest, VoiceStore

_Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class LoadedVoice:
    """All that it takes to speak with a voice."""

    manifest: VoiceManifest
    tokenizer: Tokenizer
    voice: VitsVoice
    speakers: frozenset[int]
    """The indexes that an utterance may name."""


class LoadedVoices:
    """Voices by id. One thread at a time."""

    def __init__(self, store: VoiceStore, memory_bytes: int, threads: int) -> None:
        """Load nothing yet.

        Args:
            store: Where voices lie.
            memory_bytes: How much their files may hold together; one voice is kept in any case.
            threads: How many compute a graph.
        """
        self._store = store
        self._memory_bytes = memory_bytes
        self._threads = threads
        self._phonemizer = EspeakPhonemizer()
        self._loaded: OrderedDict[str, tuple[_Stamp, LoadedVoice]] = OrderedDict()

    def get(self, voice_id: str) -> LoadedVoice:
        """Return a voice, loaded.

        Blocks for some 0.4 s where a full-size voice isn't in memory, or was imported anew since.

        Raises:
            EngineFailedError: There is no such voice, or it is broken; the others aren't touched.
        """
        try:
            stamp = self._stamp(voice_id)
            known_stamp, voice = self._loaded.pop(voice_id, (None, None))
            if voice is None or known_stamp != stamp:
                del voice  # one of before goes first
                voice = self._load(voice_id)
        except ConfigurationError as error:
            logger.warning("voice_broken", voice=voice_id, message=error.message)
            raise EngineFailedError(f"The voice {voice_id!r} can't be spoken with") from None
        self._loaded[voice_id] = (stamp, voice)
        return voice

    def _stamp(self, voice_id: str) -> _Stamp:
        """Return what changes when a voice is imported anew."""
        path = self._store.path(voice_id) / MANIFEST_FILE
        try:
            status = path.stat()
        except OSError as error:
            self._loaded.pop(voice_id, None)
            raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from None
        return status.st_ino, status.st_mtime_ns

    def _load(self, voice_id: str) -> LoadedVoice:
        manifest = self._store.read(voice_id)
        if manifest.engine != "vits" or manifest.vits is None or manifest.front_end is None:
            raise ConfigurationError(f"{voice_id}: isn't a voice of the vits engine")
        self._store.verify(manifest)
        self._make_room(manifest.size_bytes)
        try:
            tokenizer = Tokenizer(manifest.front_end, self._phonemizer, manifest.languages[0])
            voice = VitsVoice(self._store.path(voice_id), manifest.vits, self._threads)
        except (EngineFailedError, VoiceImportError) as error:
            raise ConfigurationError(f"{voice_id}: {error.message}") from None
        speakers = frozenset(speaker.index for speaker in manifest.speakers) or frozenset({0})
        return LoadedVoice(manifest, tokenizer, voice, speakers)

    def _make_room(self, wanted_bytes: int) -> None:
        """Drop the voices that weren't used for longest, before another one takes memory."""
        held_bytes = sum(voice.manifest.size_bytes for _, voice in self._loaded.values())
        while self._loaded and held_bytes + wanted_bytes > self._memory_bytes:
            _, (_, voice) = self._loaded.popitem(last=False)
            held_bytes -= voice.manifest.size_bytes
