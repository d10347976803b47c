"""The coqui engine: whatever Coqui's own code loads, as it ships; heavy, and the only way for many models.

Owns: which voices are loaded, the way from an utterance to a voice's speaker and language, PCM in chunks.
Refuses to know: sockets, wire frames, scheduling, how a model works (`voice`).

A model that doesn't stream takes one grant for the whole utterance. XTTS takes one for each piece of 0.9 s.
With a GPU none of them is one of the cores' own.
There are no word marks: Coqui doesn't say when a word sounds. Pitch has no effect, and noise scales have one
where the model has such (`voice.NOISE_SCALES`).
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from importlib.metadata import version

import numpy as np
import torch
from loguru import logger

from appliance.engine_settings import CoquiSettings
from appliance.engine_voice import read_engine_voice
from appliance.engines.base import NEXT_CHUNK_BYTES, chunk_spans
from appliance.engines.coqui.voice import CoquiVoice, Manner, Samples
from appliance.engines.seeds import seed_of
from appliance.engines.ssml_pieces import Pause, Piece, cut_document, whole
from appliance.errors import ConfigurationError, EngineFailedError, UnspeakableTextError
from appliance.speech import FIRST_CHUNK_BYTES, PcmChunk, SpokenText, Utterance
from appliance.voice_store import VoiceManifest, VoiceStore
from appliance.voices import Variant, Voice

WARM_UP_TEXT = "A first word."
FULL_SCALE = 32767


class CoquiEngine:
    """Coqui's models. Its version and its voices are known once it is warm."""

    name = "coqui"
    version = ""

    def __init__(self, settings: CoquiSettings, store: VoiceStore) -> None:
        self.is_on_cpu = settings.device == "cpu"
        self._settings = settings
        self._store = store
        self._manifests: dict[str, VoiceManifest] = {}
        self._loaded: OrderedDict[str, CoquiVoice] = OrderedDict()
        """The voice that was used last stands at the end."""

    def warm_up(self) -> None:
        """Load Coqui and as many voices as fit, and speak a few words with each; blocks for seconds.

        What is loaded later takes its time from a request. A voice that can't be loaded is left out and named
        in the log, like one whose terms of use nobody has accepted. Without any voice the engine is warm and
        has none.

        Raises:
            EngineFailedError: Coqui, torch or the GPU is missing.
        """
        torch.set_num_threads(self._settings.threads)
        if not self.is_on_cpu and not torch.cuda.is_available():
            raise EngineFailedError("coqui.device is cuda, and torch finds no GPU that it can use")
        self.version = version("coqui-tts")
        for manifest in self._store.manifests():
            if manifest.engine == self.name and self._is_allowed(manifest):
                self._manifests[manifest.id] = manifest
        for manifest in list(self._manifests.values()):
            is_fitting = self._used_bytes() + manifest.size_bytes <= self._settings.memory_bytes
            if (is_fitting or not self._loaded) and not self._can_speak(manifest):
                self._loaded.pop(manifest.id, None)
                del self._manifests[manifest.id]
        if not self._manifests:
            logger.warning("no_voices", engine=self.name)

    def voices(self) -> Sequence[Voice]:
        """Return every imported voice of this engine that may be spoken; those that fitted were tried."""
        return [voice for manifest in self._manifests.values() for voice in manifest.voices()]

    def variants(self) -> Sequence[Variant]:
        """Return nothing: a model has no colouring."""
        return ()

    def synthesize(self, utterance: Utterance) -> Generator[PcmChunk, None, None]:
        """Speak one utterance; see `Engine.synthesize`.

        Loads its voice first where that isn't in memory, which takes seconds.

        Args:
            utterance: Without word marks whatever it wants. Of SSML only `break` and `sub` are heeded.

        Yields:
            Whole frames, int16 little-endian mono at the voice's sample rate. Where the model streams or SSML
            has breaks, every piece ends a window, and the last chunk is empty.

        Raises:
            EngineFailedError: There is no such voice, it can't be loaded, or it failed on the text.
            UnspeakableTextError: The voice has no sound for anything in the text.
        """
        choice = read_engine_voice(utterance.engine_voice)
        manifest = self._manifests.get(choice.voice_id)
        if manifest is None:
            raise EngineFailedError("No imported voice is called so")
        text, randomness = utterance.spoken.text, utterance.randomness
        manner = Manner(
            speaker=_speaker_name(manifest, choice.speaker),
            language=_language_name(manifest, choice.language),
            speed=utterance.speed,
            seed=seed_of(text, utterance.engine_voice) if randomness.seed is None else randomness.seed,
            noise_scale=randomness.noise_scale,
            noise_scale_w=randomness.noise_scale_w,
        )
        voice = self._voice(manifest)
        parts = cut_document(text) if utterance.is_ssml else [whole(text)]
        with closing(_recite(voice, parts, manner)) as pieces:
            is_one = len(parts) == 1 and not voice.is_streaming
            yield from _chunks(pieces, utterance, voice.sample_rate_hz, is_one=is_one)

    def close(self) -> None:
        """Drop every voice."""
        self._loaded.clear()
        self._free_memory()

    def _is_allowed(self, manifest: VoiceManifest) -> bool:
        is_allowed = not manifest.terms or self._settings.accept_terms
        if not is_allowed:
            logger.warning("terms_not_accepted", voice=manifest.id, terms=manifest.terms)
        return is_allowed

    def _can_speak(self, manifest: VoiceManifest) -> bool:
        """Try a voice by speaking a few words."""
        first = next(manifest.voices())
        text = SpokenText(WARM_UP_TEXT)
        try:
            for _ in self.synthesize(Utterance(0, 0, len(WARM_UP_TEXT), text, self.name, first.engine_voice)):
                pass
        except UnspeakableTextError:
            return True  # its language has other letters, and it could be loaded
        except EngineFailedError as error:
            logger.error("voice_unusable", voice=manifest.id, message=error.message)
            return False
        return True

    def _voice(self, manifest: VoiceManifest) -> CoquiVoice:
        """Return a voice ready to speak; those that were used longest ago make room for it."""
        if manifest.id not in self._loaded:
            self._make_room(manifest.size_bytes)
            try:
                self._store.verify(manifest)
            except ConfigurationError as error:
                raise EngineFailedError(error.message) from None
            voice = CoquiVoice(self._store.path(manifest.id), is_on_gpu=not self.is_on_cpu)
            if voice.sample_rate_hz != manifest.sample_rate_hz:
                raise EngineFailedError("The voice's sample rate isn't what its voice.json says")
            self._loaded[manifest.id] = voice
        self._loaded.move_to_end(manifest.id)
        return self._loaded[manifest.id]

    def _make_room(self, wanted_bytes: int) -> None:
        while self._loaded and self._used_bytes() + wanted_bytes > self._settings.memory_bytes:
            voice_id, _ = self._loaded.popitem(last=False)
            logger.info("voice_dropped", voice=voice_id)
        self._free_memory()

    def _used_bytes(self) -> int:
        """Return about what the voices take in memory: weights are as large as their files."""
        return sum(self._manifests[voice_id].size_bytes for voice_id in self._loaded)

    def _free_memory(self) -> None:
        """Have what nobody refers to freed at once; models hold themselves in circles."""
        gc.collect()
        if not self.is_on_cpu:
            torch.cuda.empty_cache()


def _speaker_name(manifest: VoiceManifest, index: int) -> str | None:
    """Return Coqui's name of a speaker, to the letter; None where the voice has one."""
    speakers = {speaker.index: speaker for speaker in manifest.speakers}
    if index not in speakers and (speakers or index):
        raise EngineFailedError("The voice has no such speaker")
    if index not in speakers:
        return None
    own_name = speakers[index].model_name
    return speakers[index].name if own_name is None else own_name


def _language_name(manifest: VoiceManifest, language: str | None) -> str | None:
    """Return Coqui's name of a language, by default of the main one; None where the model takes none."""
    if not manifest.model_languages:
        return None
    name = manifest.model_languages.get(language or manifest.languages[0])
    if name is None:
        raise EngineFailedError("The voice has no such language")
    return name


def _recite(
    voice: CoquiVoice, parts: Sequence[Piece | Pause], manner: Manner
) -> Generator[Samples, None, None]:
    """Yield the audio of a document's parts, one after the other."""
    for part in parts:
        if isinstance(part, Pause):
            yield np.zeros(round(part.pause_s * voice.sample_rate_hz), np.float32)
        else:
            with closing(voice.speak(part.text, manner)) as pieces:
                yield from pieces


def _chunks(
    pieces: Iterator[Samples], utterance: Utterance, rate_hz: int, *, is_one: bool
) -> Iterator[PcmChunk]:
    """Yield the chunks of pieces of audio; unless there is one, only behind the last is it known as such."""
    first_bytes = FIRST_CHUNK_BYTES if utterance.wants_early_sound else NEXT_CHUNK_BYTES
    for piece in pieces:
        pcm = _pcm(piece, utterance.volume)
        for start, end in chunk_spans(len(pcm), first_bytes):
            is_end = end == len(pcm)
            yield PcmChunk(
                pcm[start:end], rate_hz, is_last=is_end and is_one, ends_window=is_end and not is_one
            )
        first_bytes = NEXT_CHUNK_BYTES
    if not is_one:
        yield PcmChunk(b"", rate_hz, is_last=True)


def _pcm(samples: Samples, volume: float) -> bytes:
    """Return samples of −1 to 1 as int16 little-endian; louder ones are clipped."""
    scaled = np.clip(samples * (FULL_SCALE * volume), -FULL_SCALE - 1, FULL_SCALE)
    return bytes(scaled.round().astype("<i2").tobytes())
