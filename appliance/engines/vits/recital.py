"""One utterance from its text to its chunks.

Owns: the order of an utterance's parts, int16, volume and pitch, which chunk a word mark goes with.
Refuses to know: how voices are loaded, grants, the graphs.

Pitch: a VITS voice has none to set. The utterance is spoken slower or faster by the factor and played faster
or slower by the same, which leaves its duration and moves the formants along.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.audio.pcm import MAX_RATE_HZ, MIN_RATE_HZ
from appliance.engine_settings import VitsSettings
from appliance.engine_voice import VoiceChoice
from appliance.engines.seeds import seed_of
from appliance.engines.ssml_pieces import Pause, Piece, cut_document, whole
from appliance.engines.vits.front_end import Tokens
from appliance.engines.vits.loaded_voices import LoadedVoice
from appliance.engines.vits.noise import FloatArray, Noise
from appliance.engines.vits.voice import Sentence, Speech
from appliance.engines.vits.windows import GROWTH
from appliance.engines.vits.word_marks import mark_words
from appliance.errors import (
    ConfigurationError,
    EngineFailedError,
    NothingToSpeakError,
    TextTooLongError,
    UnspeakableTextError,
    UtteranceTooLongError,
)
from appliance.speech import (
    MAX_UTTERANCE_PCM_BYTES,
    SAMPLE_WIDTH_BYTES,
    PcmChunk,
    Utterance,
    WordMark,
)
from appliance.voice_store import MAX_SPEED, MIN_SPEED

if TYPE_CHECKING:
    from appliance.audio.resample import Resampler

MAX_PCM_FRAMES = MAX_UTTERANCE_PCM_BYTES // SAMPLE_WIDTH_BYTES
BUSY_S, LATE_S = 0.03, 0.6
"""Seconds to the first grant. With less the core was free, since a grant that is free comes with the order.
With more others compute, too; beyond the second the first sound is late enough.
Source: docs/decisions/0031-windows-on-a-busy-core.md, also for the two factors."""
BUSY_FACTOR = 2
"""How much longer a first window is where others compute, too: what it gives has to last until they have had
their turns."""
ALONE_FACTOR = GROWTH
"""How much larger windows grow where nobody else computed: by one step, for less overlap."""
PEAK = 32767
"""int16 for a sample of 1."""


@dataclass(frozen=True, slots=True)
class _Spoken:
    """A piece of text, encoded."""

    piece: Piece
    tokens: Tokens


class Recital:
    """Speaks one utterance."""

    def __init__(
        self, loaded: LoadedVoice, choice: VoiceChoice, utterance: Utterance, settings: VitsSettings
    ) -> None:
        """Check the speaker and the language; nothing is computed yet.

        Args:
            loaded: The voice.
            choice: Which of its speakers, in which language.
            utterance: What to speak, and how.
            settings: How large windows are.

        Raises:
            EngineFailedError: The voice has no such speaker or language.
        """
        manifest = loaded.manifest
        language = choice.language or manifest.languages[0]
        if choice.language is not None and language not in manifest.model_languages:
            raise EngineFailedError(f"The voice {manifest.id!r} doesn't speak this language")
        if choice.speaker not in loaded.speakers:
            raise EngineFailedError(f"The voice {manifest.id!r} has no such speaker")
        self._loaded = loaded
        self._choice = choice
        self._utterance = utterance
        self._settings = settings
        self._rate_hz = manifest.sample_rate_hz
        self._language = manifest.model_languages.get(language)
        self._language_index = manifest.language_indexes.get(language, 0)
        self._played_hz = _played_hz(self._rate_hz, utterance.pitch)
        """The rate at which the voice's samples are played, to be heard at the wanted pitch."""
        self._sent_frames = 0
        self._kept_frames = 0
        """PCM frames that the parts behind the one under way take at least."""
        self._marks: list[WordMark] = []
        """Those that haven't gone out yet."""

    def chunks(self) -> Generator[PcmChunk, None, None]:
        """Compute the audio, a chunk for each window; blocks for each.

        Raises:
            UnspeakableTextError: The voice has no sound for anything in the text.
            UtteranceTooLongError: The text gives the voice more tokens than it takes, or would take too long
                even at the highest speed; before any audio.
            EngineFailedError: A graph failed.
        """
        parts = self._encoded()
        self._kept_frames = sum(self._least_frames(part) for part in parts)
        if self._kept_frames > MAX_PCM_FRAMES:
            raise UtteranceTooLongError
        for index, part in enumerate(parts):
            self._kept_frames -= self._least_frames(part)
            is_last = index == len(parts) - 1
            if isinstance(part, Pause):
                yield from self._silence(part.pause_s, is_last=is_last)
            else:
                yield from self._spoken(part, index, is_last=is_last)

    def _encoded(self) -> list[_Spoken | Pause]:
        """Return what is to be heard; what the voice can't say is left out."""
        text = self._utterance.spoken.text
        parts: list[_Spoken | Pause] = []
        for part in cut_document(text) if self._utterance.is_ssml else [whole(text)]:
            if isinstance(part, Pause):
                parts.append(part)
            elif (tokens := self._tokens(part.text)) is not None:
                parts.append(_Spoken(part, tokens))
        if not any(isinstance(part, _Spoken) for part in parts):
            raise UnspeakableTextError
        return parts

    def _least_frames(self, part: _Spoken | Pause) -> int:
        """Return how many PCM frames a part takes at least; a pause can be cut.

        Every token has a model frame, and one more makes up for what is rounded on the way.
        """
        if isinstance(part, Pause):
            return 0
        model_frames = (len(part.tokens.ids) + 1) * self._loaded.voice.model.hop_length
        return -(-model_frames * self._rate_hz // self._played_hz)

    def _room_frames(self) -> int:
        """Return how many PCM frames the part under way may have."""
        return MAX_PCM_FRAMES - self._sent_frames - self._kept_frames

    def _tokens(self, text: str) -> Tokens | None:
        try:
            return self._loaded.tokenizer.encode(
                text, self._language, wants_words=self._utterance.wants_word_marks
            )
        except NothingToSpeakError:
            return None
        except TextTooLongError as error:
            raise UtteranceTooLongError(error.message) from None
        except ConfigurationError as error:
            raise EngineFailedError(error.message) from None

    def _spoken(self, part: _Spoken, index: int, *, is_last: bool) -> Iterator[PcmChunk]:
        speech = self._begin(part, index)
        starts_s = [
            (self._sent_frames / self._rate_hz) + frames / self._played_hz for frames in speech.token_starts()
        ]
        self._marks += mark_words(part.tokens.words, part.piece.places, starts_s)
        resampler = self._resampler()
        left = speech.total_frames * self._loaded.voice.model.hop_length
        for samples in speech.windows(self._first_window_frames(), self._max_window_frames()):
            left -= len(samples)
            pcm = self._to_pcm(samples)
            if resampler is not None:
                pcm = resampler.feed(pcm) + (b"" if left else resampler.finish())
            if pcm or (is_last and not left):
                yield self._chunk(pcm, is_last=is_last and not left, ends_window=bool(left) or not is_last)

    def _first_window_frames(self) -> int:
        """Return how many model frames the first window of the part under way has."""
        if self._sent_frames or not self._utterance.wants_early_sound:
            return self._settings.max_window_frames
        is_busy = BUSY_S < self._utterance.waited_s <= LATE_S
        return self._settings.first_window_frames * (BUSY_FACTOR if is_busy else 1)

    def _max_window_frames(self) -> int:
        """Return to how many model frames windows grow; a job's, which others may wait for, no further."""
        is_alone = self._utterance.wants_early_sound and self._utterance.waited_s <= BUSY_S
        return int(self._settings.max_window_frames * (ALONE_FACTOR if is_alone else 1))

    def _begin(self, part: _Spoken, index: int) -> Speech:
        utterance = self._utterance
        speed = min(max(utterance.speed, MIN_SPEED), MAX_SPEED)
        stretch = self._played_hz / self._rate_hz
        seed = utterance.randomness.seed
        if seed is None:
            seed = seed_of(utterance.spoken.text, utterance.engine_voice)
        sentence = Sentence(
            part.tokens.ids,
            self._choice.speaker,
            self._language_index,
            stretch / speed,
            noise_scale=utterance.randomness.noise_scale,
            duration_noise_scale=utterance.randomness.noise_scale_w,
        )
        room = int(self._room_frames() * stretch) // self._loaded.voice.model.hop_length
        return self._loaded.voice.begin(sentence, Noise(seed, index), room)

    def _resampler(self) -> Resampler | None:
        if self._played_hz == self._rate_hz:
            return None
        # Only here, since the library that it brings along takes memory.
        from appliance.audio.resample import Resampler

        return Resampler(self._played_hz, self._rate_hz)

    def _silence(self, pause_s: float, *, is_last: bool) -> Iterator[PcmChunk]:
        frames = min(round(pause_s * self._rate_hz), self._room_frames())
        if frames or is_last:
            yield self._chunk(bytes(frames * SAMPLE_WIDTH_BYTES), is_last=is_last, ends_window=False)

    def _to_pcm(self, samples: FloatArray) -> bytes:
        if not np.isfinite(samples).all():
            raise EngineFailedError("The voice gave samples that are no numbers")
        loud = np.rint(samples * np.float32(PEAK * self._utterance.volume))
        return bytes(np.clip(loud, -PEAK, PEAK).astype("<i2").tobytes())

    def _chunk(self, pcm: bytes, *, is_last: bool, ends_window: bool) -> PcmChunk:
        """Return a chunk with the words that begin in it; those behind the end go with the last."""
        self._sent_frames += len(pcm) // SAMPLE_WIDTH_BYTES
        end_s = self._sent_frames / self._rate_hz
        due = [mark for mark in self._marks if is_last or mark.time_s < end_s]
        self._marks = self._marks[len(due) :]
        return PcmChunk(pcm, self._rate_hz, tuple(due), is_last=is_last, ends_window=ends_window)


def _played_hz(rate_hz: int, pitch: float) -> int:
    """Return the rate at which samples are played for a pitch, within what can be resampled."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        return rate_hz
    return min(max(round(rate_hz * pitch), MIN_RATE_HZ), MAX_RATE_HZ)
