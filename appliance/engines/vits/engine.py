"""The vits engine: imported VITS voices, spoken window by window.

Owns: which voices there are, and getting warm.
Refuses to know: sockets, wire frames, scheduling; how an utterance is spoken (`recital`) and how voices are
kept (`loaded_voices`).

A window is what one run grant allows. Closing the iterator between two windows ends the utterance, and the
memory that its windows took goes back to the system. The same text in the same voice gives the same audio,
unless a seed says otherwise (docs/decisions/0020-the-same-text-sounds-the-same.md).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import onnxruntime
from loguru import logger

from appliance.engine_settings import VitsSettings
from appliance.engine_voice import read_engine_voice
from appliance.engines.vits.free_memory import give_memory_back
from appliance.engines.vits.loaded_voices import LoadedVoices
from appliance.engines.vits.noise import Noise
from appliance.engines.vits.recital import Recital
from appliance.engines.vits.voice import Sentence
from appliance.errors import EngineFailedError
from appliance.speech import PcmChunk, Utterance
from appliance.voice_store import VoiceManifest, VoiceStore
from appliance.voices import Variant, Voice

WARM_UP_TOKENS = 12
"""Enough for a first window of a usual voice; every graph runs once."""
WARM_UP_FRAMES = 4000


class VitsEngine:
    """Imported VITS voices. Which there are is known once it is warm."""

    name = "vits"
    is_on_cpu = True

    def __init__(self, settings: VitsSettings, store: VoiceStore, default_voice: str) -> None:
        """Load nothing yet.

        Args:
            settings: Threads, memory, windows.
            store: Where voices lie.
            default_voice: Id of the voice to have warm, where it is one of this engine's.
        """
        self.version = onnxruntime.__version__
        self._settings = settings
        self._store = store
        self._default_voice = default_voice
        self._loaded = LoadedVoices(store, settings.memory_bytes, settings.threads)
        self._manifests: tuple[VoiceManifest, ...] = ()

    def warm_up(self) -> None:
        """List the voices, load one and speak with it; blocks for about half a second of CPU.

        Where none has been imported yet the engine is warm with none, so that the appliance is whole while
        the first import runs.

        Raises:
            EngineFailedError: None of the imported voices can be spoken with.
        """
        self._manifests = tuple(
            manifest for manifest in self._store.manifests() if manifest.engine == self.name
        )
        by_wish = sorted(self._manifests, key=lambda manifest: not self._is_default(manifest))
        if not by_wish:
            logger.warning("no_voices", engine=self.name)
        elif not any(self._is_warm(manifest) for manifest in by_wish):
            raise EngineFailedError("There is no imported voice that the vits engine can speak with")

    def voices(self) -> Sequence[Voice]:
        """Return what the imported voices offer: each speaker in each language."""
        return [voice for manifest in self._manifests for voice in manifest.voices()]

    def variants(self) -> Sequence[Variant]:
        """Return nothing: speakers are voices of their own."""
        return ()

    def synthesize(self, utterance: Utterance) -> Generator[PcmChunk, None, None]:
        """Speak one utterance; see `Engine.synthesize`.

        Blocks for a window at a time, and before the first one for loading a voice that isn't in memory.
        What would take longer than an utterance may is spoken faster.

        Args:
            utterance: Of SSML only `break` and `sub` are heeded. Without a seed one follows from its text
                and voice; noise scales that it doesn't name are the voice's own.

        Yields:
            A chunk for each window; each but the last has `ends_window`, where nothing but a pause comes in
            between.

        Raises:
            EngineFailedError: The voice is unknown or broken.
            UtteranceTooLongError: The text gives the voice more tokens than it takes, or would take too long
                even at the highest speed.
            UnspeakableTextError: The voice has no sound for anything in the text.
        """
        choice = read_engine_voice(utterance.engine_voice)
        recital = Recital(self._loaded.get(choice.voice_id), choice, utterance, self._settings)
        try:
            for chunk in recital.chunks():
                give_memory_back()  # it may wait for its next grant as long as others compute
                yield chunk
        finally:
            give_memory_back()

    def close(self) -> None:
        """Forget the voices."""
        self._loaded = LoadedVoices(self._store, self._settings.memory_bytes, self._settings.threads)

    def _is_default(self, manifest: VoiceManifest) -> bool:
        return any(voice.id == self._default_voice for voice in manifest.voices())

    def _is_warm(self, manifest: VoiceManifest) -> bool:
        """Load a voice and run its graphs; return whether it can be spoken with."""
        try:
            voice = self._loaded.get(manifest.id).voice
            speech = voice.begin(Sentence((0,) * WARM_UP_TOKENS), Noise(0), WARM_UP_FRAMES)
            next(speech.windows(self._settings.first_window_frames, self._settings.max_window_frames))
        except EngineFailedError as error:
            logger.warning("voice_broken", voice=manifest.id, message=error.message)
            return False
        give_memory_back()
        return True
