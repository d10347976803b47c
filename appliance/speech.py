"""The nouns that travel along the path of an utterance.

Owns: `SpeechRequest` → `Utterance` → `PcmChunk`, and the word marks that come with the audio.
Refuses to know: HTTP, wire frames, engines, encoders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

SAMPLE_WIDTH_BYTES = 2
"""PCM inside the appliance is int16 little-endian mono, so a PCM frame is 2 bytes."""

MAX_UTTERANCE_CHARS = 300
"""An utterance is at most this long, so that memory is bounded per request."""
MAX_SSML_ELEMENTS = 10_000
"""Elements of the SSML of a request that somebody waits for."""
MAX_JOB_SSML_ELEMENTS = 50_000
"""Likewise of a job: one for every 100 bytes of 5 MB.

Splitting so many takes 120 MiB and 4 s of CPU, with the times of words up to 300 MiB and 25 s, and lets
nothing else of the process run for 70 ms at most, as 5 MB in one element do.
"""

FIRST_CHUNK_BYTES = 4608
"""PCM bytes of an utterance's first chunk where a first sound waits for it: just enough that every encoder
gives bytes for it (aac needs 2,048 frames, and the joiner holds 5 ms back)."""
MAX_UTTERANCE_PCM_BYTES = 3_000_000
"""More PCM than this from one utterance is refused: 68 s at 22,050 Hz. The splitter aims at half of it, which
all that people write stays under; strings of random letters can take longer."""

MAX_NOISE_SCALE = 1.0
"""Most that a request may ask for: noise as strong as that which models are trained with."""


class AudioFormat(StrEnum):
    """What a client can ask to get."""

    MP3 = "mp3"
    OPUS = "opus"
    AAC = "aac"
    FLAC = "flac"
    WAV = "wav"
    PCM = "pcm"


class JobFormat(StrEnum):
    """What a client can ask a job for: all that is streamed, and files that are no stream."""

    MP3 = "mp3"
    OPUS = "opus"
    AAC = "aac"
    FLAC = "flac"
    WAV = "wav"
    PCM = "pcm"
    M4B = "m4b"

    @property
    def audio_format(self) -> AudioFormat:
        """What the audio in such a file is encoded as."""
        return AudioFormat.AAC if self is JobFormat.M4B else AudioFormat(self.value)


class StreamFormat(StrEnum):
    """How the audio travels: as bytes, or as server-sent events with base64."""

    AUDIO = "audio"
    SSE = "sse"


class Timestamps(StrEnum):
    """Of what the times are told."""

    WORD = "word"


class InputType(StrEnum):
    """What the text is written in."""

    TEXT = "text"
    SSML = "ssml"


class RequestClass(IntEnum):
    """Who is served first; lower is earlier."""

    FIRST = 0
    """The first utterance of an interactive request: somebody waits for a sound."""
    REST = 1
    """The rest of an interactive request."""
    BACKGROUND = 2
    """Jobs that nobody listens to yet."""


@dataclass(frozen=True, slots=True)
class Randomness:
    """What is asked of an engine that draws lots; None leaves a thing to the engine and the voice."""

    seed: int | None = None
    """What the lots are drawn from, 0 ≤ seed < 2^64: the same one gives the same audio."""
    noise_scale: float | None = None
    """How much the colour of the sound varies, 0 (not at all) to `MAX_NOISE_SCALE`."""
    noise_scale_w: float | None = None
    """How much the durations of the sounds vary, likewise."""

    def given(self) -> dict[str, float]:
        """Return what isn't left to the engine, by name; nothing where nothing was asked for."""
        values = {"seed": self.seed, "noise_scale": self.noise_scale, "noise_scale_w": self.noise_scale_w}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Pronunciations:
    """How words are respelled for a voice; each object is itself only, so that what is made of it is kept."""

    version: str = ""
    """Another one for other words; empty where there are none."""
    words: Mapping[str, str] = field(default_factory=dict)
    """A word, or several with a space between them → what is spoken for it."""


NO_PRONUNCIATIONS = Pronunciations()


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """What a client asked to hear, checked, before the voice is known."""

    text: str
    """What to speak, as written by the client; not empty."""
    voice_id: str
    """The voice as the client named it."""
    speed: float = 1.0
    """Factor of the voice's normal speed; 0.25 to 4.0."""
    pitch: float = 1.0
    """Factor of the voice's normal pitch; 0.5 to 2.0."""
    volume: float = 1.0
    """Factor of the voice's normal loudness; 0.0 to 2.0."""
    randomness: Randomness = Randomness()
    format: AudioFormat = AudioFormat.MP3
    stream_format: StreamFormat = StreamFormat.AUDIO
    input_type: InputType = InputType.TEXT
    make_speakable: bool = True
    """Whether markdown and emoji are turned into words first."""
    spell_out: bool = True
    """Whether units, dates, abbreviations and signs are."""
    pronunciations: Pronunciations = NO_PRONUNCIATIONS
    """The dictionary's words for its voice, once that is known."""
    wants_word_times: bool = False
    """Whether it is to be known when each word sounds."""
    max_elements: int = MAX_SSML_ELEMENTS
    """That its text may have where it is SSML."""


@dataclass(frozen=True, slots=True)
class SpokenText:
    """Text as the engine gets it, with the way back to the original."""

    text: str
    """What the engine speaks."""
    origins: tuple[tuple[int, int], ...] = ()
    """Pairs (offset in `text`, offset in the original request text), in characters, ascending in both.

    Between two pairs both run on in step until the next pair; see `original_offset`. Several pairs may have
    the same first offset: what lies between their second ones isn't spoken.
    """

    def original_offset(self, offset_chars: int) -> int:
        """Return the offset in the original text that a spoken offset stems from.

        Args:
            offset_chars: Offset in `text`, in characters, 0 ≤ offset ≤ len(text).
        """
        low, high = 0, len(self.origins)
        while low < high:
            middle = (low + high) // 2
            if self.origins[middle][0] <= offset_chars:
                low = middle + 1
            else:
                high = middle
        if low == 0:
            return offset_chars
        spoken, original = self.origins[low - 1]
        moved = original + offset_chars - spoken
        return min(moved, self.origins[low][1]) if low < len(self.origins) else moved


@dataclass(frozen=True, slots=True)
class WrittenWord:
    """A word of the original text, as a reader sees it: without mark-up, with the signs around it."""

    text: str
    """Neither empty nor with white space in it."""
    start_char: int
    """Where its first character stands in the original text, in characters."""
    end_char: int
    """Where its last one ends there, exclusive; mark-up may stand in between."""
    spoken_char: int
    """Where what is spoken for it begins in the utterance's spoken text, in characters."""
    is_apart: bool = True
    """Whether white space stands before it; between Chinese characters there is none."""


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word of the original text, and when it sounds in a client's audio."""

    text: str
    start_char: int
    """As in `WrittenWord`, like all fields of the same name."""
    end_char: int
    is_apart: bool
    start_s: float
    """Seconds from the beginning of the audio."""
    end_s: float
    """Seconds; where the next word of its utterance begins, or the utterance's sound ends."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a worker speaks in one go: one span of the original text."""

    index: int
    """Place within its request, from 0."""
    start_char: int
    """Where the span begins in the original text, in characters."""
    end_char: int
    """Where the span ends in the original text, exclusive."""
    spoken: SpokenText
    """The span made speakable; `spoken.text` is empty when the span holds nothing to speak."""
    engine: str
    """Name of the engine that must speak it."""
    engine_voice: str
    """The voice's name inside that engine."""
    speed: float = 1.0
    pitch: float = 1.0
    volume: float = 1.0
    is_ssml: bool = False
    pause_after_s: float = 0.0
    """Seconds of silence that the gateway puts behind this utterance."""
    wants_early_sound: bool = True
    """Whether the first chunk is small, so that a first sound can leave; each further chunk costs work."""
    waited_s: float = 0.0
    """Seconds that it waited for its first run grant, as others computed; only its worker knows."""
    wants_word_marks: bool = False
    """Whether the engine says when each word sounds: work for nothing where somebody only listens."""
    randomness: Randomness = Randomness()
    words: tuple[WrittenWord, ...] = ()
    """The words of the span, where word marks are wanted; the gateway keeps them to itself."""


@dataclass(frozen=True, slots=True)
class WordMark:
    """When a word sounds."""

    start_char: int
    """Where the word begins in the utterance's spoken text, in characters."""
    end_char: int
    """Where the word ends there, exclusive."""
    time_s: float
    """Seconds from the utterance's first PCM frame to the word's beginning."""


@dataclass(frozen=True, slots=True)
class PcmChunk:
    """A run of whole PCM frames of one utterance: int16 little-endian mono."""

    pcm: bytes
    """Whole frames; may be empty in the last chunk."""
    sample_rate_hz: int
    word_marks: tuple[WordMark, ...] = field(default=())
    """Words that begin in this chunk or before it; none unless the utterance wants them."""
    utterance_index: int = 0
    """Which utterance of its request this is audio of."""
    is_last: bool = False
    """Whether the utterance ends with this chunk."""
    ends_window: bool = False
    """Whether the engine needs a new run grant before its next chunk."""

    @property
    def audio_s(self) -> float:
        """Duration of the audio in seconds."""
        return len(self.pcm) / (SAMPLE_WIDTH_BYTES * self.sample_rate_hz)
