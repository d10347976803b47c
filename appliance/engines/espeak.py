"""The espeak engine: espeak-ng in this process, every language it has, milliseconds per sentence.

Owns: the engine's one thread, the hand-over of audio from the library's callback, the list of voices that
really speak.
Refuses to know: sockets, wire frames, scheduling, C declarations (`espeak_library`).

    caller's thread     synthesize ---- job ---->  +---------------+
          ^                                        | engine thread |  espeak_Synth
          +------- PcmChunk, PcmChunk, … None -----+---------------+  --> callback every 200 ms of audio

The library has global state, so one thread makes all its calls for the engine's whole life. Closing the
iterator makes the callback stop the library and waits until the library has returned. What is handed over is
bounded by `MAX_UTTERANCE_PCM_BYTES`.

No pause is put behind the text: about 7 ms of silence follow the last sound.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

from appliance.engines.espeak_library import (
    VARIANT_PREFIX,
    EspeakLibrary,
    LibraryVoice,
    Parameter,
    WordEvent,
)
from appliance.engines.espeak_onsets import WordOnsets
from appliance.engines.espeak_words import WordTimer
from appliance.errors import EngineFailedError
from appliance.speech import (
    FIRST_CHUNK_BYTES,
    MAX_UTTERANCE_PCM_BYTES,
    SAMPLE_WIDTH_BYTES,
    PcmChunk,
    SpokenText,
    Utterance,
    WordMark,
)
from appliance.voices import Gender, Variant, Voice

NORMAL_WPM = 175
"""Source: speak_lib.h, espeakRATE_NORMAL."""
MIN_SPEED = 0.48
"""Slowest factor that is really reached: every lower rate gives the same audio as 84 words a minute."""
MAX_SPEED = 4.0
"""The library goes on past its documented 450 words a minute: 700 give 3.8 times the normal speed."""
NORMAL_PITCH, MAX_PITCH = 50, 100
NORMAL_VOLUME, MAX_VOLUME = 100, 200
NEXT_CHUNK_BYTES = 196_608
"""PCM bytes of every chunk that no first sound waits for: 4.5 s of audio, made in some 4 ms.

Each chunk costs all processes together about 0.2 ms, and this much still fits the socket's buffer at once.
"""
WARM_UP_VOICE = "gmw/en-US"
WARM_UP_TEXT = "warm"

_GENDERS = {1: Gender.MALE, 2: Gender.FEMALE}


class EspeakEngine:
    """espeak-ng. Its version and its lists are known once it is warm."""

    name = "espeak"
    is_on_cpu = True
    version = ""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "espeak")
        self._library: EspeakLibrary | None = None
        self._current_voice: str | None = None
        """What the library speaks with now; None where that isn't sure."""
        self._voices: tuple[Voice, ...] = ()
        self._variants: tuple[Variant, ...] = ()

    def warm_up(self) -> None:
        """Load the library, list its voices and speak a word; blocks for some 10 ms.

        Raises:
            EngineFailedError: The library or its data is missing or broken.
        """
        self._thread.submit(self._load).result()
        text = Utterance(0, 0, len(WARM_UP_TEXT), SpokenText(WARM_UP_TEXT), self.name, WARM_UP_VOICE)
        if not any(chunk.pcm for chunk in self.synthesize(text)):
            message = "espeak-ng gave no audio"
            raise EngineFailedError(message)

    def voices(self) -> Sequence[Voice]:
        """Return a voice for every language that espeak-ng has rules and a dictionary for."""
        return self._voices

    def variants(self) -> Sequence[Variant]:
        """Return every variant; its id follows a voice's `engine_voice` behind a plus sign."""
        return self._variants

    def synthesize(self, utterance: Utterance) -> Generator[PcmChunk, None, None]:
        """Speak one utterance; see `Engine.synthesize`.

        Speed, pitch and volume outside of what espeak-ng reaches are clipped.

        Args:
            utterance: `engine_voice` is a voice file as `gmw/en-US`, or with a variant `gmw/en-US+f3`.

        Yields:
            Whole frames, int16 little-endian mono at 22050 Hz; the last chunk has `is_last`.

        Raises:
            EngineFailedError: espeak-ng refused the voice or the text, or gave too much audio.
        """
        assert self._library is not None, "warm_up comes first"
        chunks: SimpleQueue[PcmChunk | None] = SimpleQueue()
        speech = _Speech(utterance, self._library.sample_rate_hz, chunks.put)
        job = self._thread.submit(self._speak, self._library, speech, chunks)
        try:
            while (chunk := chunks.get()) is not None:
                yield chunk
        finally:
            speech.is_cancelled = True
            error = job.exception()  # once the library has returned
        if error is not None:
            raise error

    def close(self) -> None:
        """End the library and the engine's thread."""
        if self._library is not None:
            self._thread.submit(self._library.close).result()
            self._library = None
        self._thread.shutdown()

    def _load(self) -> None:
        library = EspeakLibrary()
        spoken = [voice for voice in library.list_voices() if _has_dictionary(library.data_dir, voice)]
        self.version = library.version
        self._voices = tuple(name_voices(spoken, library.sample_rate_hz))
        self._variants = tuple(
            Variant(
                voice.identifier.removeprefix(VARIANT_PREFIX),
                voice.name,
                self.name,
                _GENDERS.get(voice.gender, Gender.UNKNOWN),
            )
            for voice in library.list_voices("variant")
        )
        self._library = library

    def _speak(self, library: EspeakLibrary, speech: _Speech, chunks: SimpleQueue[PcmChunk | None]) -> None:
        """Speak in the engine's thread; a final None says that no chunk will come any more."""
        utterance = speech.utterance
        try:
            if self._current_voice != utterance.engine_voice:
                self._current_voice = None
                library.select_voice(utterance.engine_voice)
            # SSML may change the voice, and a stop may leave it so.
            self._current_voice = None if utterance.is_ssml else utterance.engine_voice
            speed = min(max(utterance.speed, MIN_SPEED), MAX_SPEED)
            library.set_parameter(Parameter.RATE_WPM, round(NORMAL_WPM * speed))
            library.set_parameter(Parameter.PITCH, _scaled(NORMAL_PITCH, utterance.pitch, MAX_PITCH))
            library.set_parameter(Parameter.VOLUME, _scaled(NORMAL_VOLUME, utterance.volume, MAX_VOLUME))
            library.speak(
                utterance.spoken.text,
                speech.take,
                is_ssml=utterance.is_ssml,
                reads_words=utterance.wants_word_marks,
            )
            speech.finish()
        finally:
            chunks.put(None)


class _Speech:
    """The audio of one utterance on its way from the library's callback to the caller."""

    def __init__(self, utterance: Utterance, rate_hz: int, hand_over: Callable[[PcmChunk], None]) -> None:
        self.utterance = utterance
        self.is_cancelled = False
        """Set by the caller's thread; the callback looks at it."""
        self._rate_hz = rate_hz
        self._hand_over = hand_over
        self._words: WordTimer | None = None
        if utterance.wants_word_marks:
            self._words = WordTimer(utterance.spoken.text, is_ssml=utterance.is_ssml)
        self._onsets = WordOnsets(rate_hz)
        self._marks: list[WordMark] = []
        self._parts: list[bytes] = []
        """What isn't handed over yet."""
        self._total_bytes = 0
        self._is_first_due = utterance.wants_early_sound
        self._pass_on_at_bytes = FIRST_CHUNK_BYTES if self._is_first_due else NEXT_CHUNK_BYTES

    def take(self, pcm: bytes, events: list[WordEvent]) -> bool:
        """Take in what the library gives; return whether it shall go on."""
        if self.is_cancelled:
            return False
        self._parts.append(pcm)
        self._total_bytes += len(pcm)
        if self._words is not None:
            self._marks += self._words.take(self._onsets.take(pcm, events))
        if self._total_bytes >= self._pass_on_at_bytes:
            self._pass_on(is_last=False)
            self._pass_on_at_bytes = self._total_bytes + NEXT_CHUNK_BYTES
        return True

    def finish(self) -> None:
        """Hand over what is left as the last chunk."""
        if self._words is not None:
            self._marks += self._words.take(self._onsets.finish())
            self._marks += self._words.finish(self._seconds(self._total_bytes))
        self._pass_on(is_last=True)

    def _pass_on(self, *, is_last: bool) -> None:
        """Hand over what there is (of a first chunk, what it needs) and the words that begin in it."""
        if self._total_bytes > MAX_UTTERANCE_PCM_BYTES:
            message = "espeak-ng gave more audio than an utterance may hold"
            raise EngineFailedError(message)
        pcm, marks = b"".join(self._parts), self._marks
        self._parts, self._marks = [], []
        if self._is_first_due and not is_last:
            self._parts = [pcm[FIRST_CHUNK_BYTES:]]
            pcm = pcm[:FIRST_CHUNK_BYTES]
            self._marks = [mark for mark in marks if mark.time_s >= self._seconds(FIRST_CHUNK_BYTES)]
            marks = marks[: len(marks) - len(self._marks)]
            self._is_first_due = False
        self._hand_over(PcmChunk(pcm, self._rate_hz, tuple(marks), is_last=is_last))

    def _seconds(self, pcm_bytes: int) -> float:
        return pcm_bytes / (SAMPLE_WIDTH_BYTES * self._rate_hz)


def voice_ids() -> frozenset[str]:
    """Return the ids of espeak-ng's voices, for a process without an engine of its own; blocks some 10 ms.

    Raises:
        EngineFailedError: The library or its data is missing or broken.
    """
    with closing(EspeakEngine()) as engine:
        engine.warm_up()
        return frozenset(voice.id for voice in engine.voices())


def name_voices(listed: Sequence[LibraryVoice], rate_hz: int) -> list[Voice]:
    """Return the appliance's voices for the library's, sorted by id.

    A voice's id is its main language's tag in lower case. Where two voices have the same one, the later by
    identifier is called by its file's name instead, which is unique.

    Args:
        listed: Voices as the library lists them.
        rate_hz: Their sample rate.
    """
    named: dict[str, Voice] = {}
    for voice in sorted(listed, key=lambda voice: voice.identifier):
        languages = tuple(tag.lower() for tag in voice.languages)
        file_name = voice.identifier.rpartition("/")[2].lower()
        voice_id = languages[0] if languages[0] not in named else file_name
        named[voice_id] = Voice(
            voice_id,
            voice.name,
            EspeakEngine.name,
            voice.identifier,
            languages,
            _GENDERS.get(voice.gender, Gender.UNKNOWN),
            rate_hz,
            MIN_SPEED,
            MAX_SPEED,
        )
    return [named[voice_id] for voice_id in sorted(named)]


def _has_dictionary(data_dir: Path, voice: LibraryVoice) -> bool:
    """Return whether a voice's dictionary exists; without it the library speaks near silence, with code 0.

    Source: espeak-ng 1.52, LoadVoice in voices.c: the file's `dictionary` line, else the first part of its
    first language.
    """
    dictionary = voice.languages[0].partition("-")[0]
    for line in (data_dir / "lang" / voice.identifier).read_text("utf-8").splitlines():
        keyword, _, value = line.partition("//")[0].partition(" ")
        if keyword == "dictionary":
            dictionary = value.strip()
    return (data_dir / f"{dictionary}_dict").exists()


def _scaled(normal: int, factor: float, maximum: int) -> int:
    return min(max(round(normal * factor), 0), maximum)
