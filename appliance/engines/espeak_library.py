"""The binding to espeak-ng's shared library: its C functions as Python methods that check every return code.

Owns: the ctypes declarations, the library's one initialisation in a process, the callback's lifetime.
Refuses to know: utterances, chunks, threads. The library has global state, so all calls must come from one
thread at a time.

Source: espeak-ng 1.52, src/include/espeak-ng/speak_lib.h.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from espeakng_loader import get_data_path, get_library_path

from appliance.errors import EngineFailedError

BUFFER_MS = 200
"""Audio per callback; the first comes after 0.3 ms, longer ones are no cheaper. Source: measurements A2."""
MAX_IDENTIFIER_BYTES = 39
"""Longest voice identifier, variant included: LoadVoice in voices.c copies it into 40 bytes unchecked."""

AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 0x1
SSML = 0x10
IPA_SEPARATED = 0x2 | ord("_") << 8
"""International Phonetic Alphabet with `_` between phonemes, as `espeak-ng --ipa=1` prints them."""
POSITION_CHARACTER = 1
EVENT_LIST_TERMINATED = 0
EVENT_WORD = 1
COMMANDS_TO_SPACES = dict.fromkeys((*range(1, 9), 11, 12, *range(14, 32)), " ")
"""Control characters other than tab and line ends. Behind 0x01 the library takes commands out of the text.

Source: espeak-ng 1.52, readclause.c, CTRL_EMBEDDED.
"""
CRASHING_ALONE = re.compile(r"(?<![^\W_])`+(?![^\W_])|(?<=[\W_])(?<!\s)-(?=[^\W\d_])")
"""espeak-ng 1.52 dies (SIGSEGV) in Vietnamese over a clause of nothing but backticks, and over one that
begins with a sign, a hyphen and a single letter, as `(-a)`; elsewhere both are silent.
"""
CRASHING_SIGNS = {0x0960: "\u090b", 0x0AE0: "\u0a8b"}
"""espeak-ng 1.52 dies (SIGSEGV) of the long vocalic R of Devanagari and of Gujarati in the voices
`vi-vn-x-central` and `vi-vn-x-south`, which SSML can choose too, so all voices get the short one for it.

Nothing else did when U+0020 to U+2BFF and U+3000 to U+33FF were spoken one by one, alone and in words, with
`vi` and `vi-vn-x-south`.
"""
TRANSLATED = COMMANDS_TO_SPACES | CRASHING_SIGNS
VARIANT_PREFIX = "!v/"
"""What the identifier of every variant begins with."""

OnAudio = Callable[[bytes, "list[WordEvent]"], bool]
"""Takes PCM (int16 little-endian mono) and the word events in it; returns whether to go on."""


class Parameter(IntEnum):
    """What can be set with espeak_SetParameter."""

    RATE_WPM = 1
    """Words per minute, 175 is normal."""
    VOLUME = 2
    """0 to 200, 100 is normal."""
    PITCH = 3
    """0 to 100, 50 is normal."""


@dataclass(frozen=True, slots=True)
class WordEvent:
    """The library says that it begins to speak at a place of the text."""

    offset_chars: int
    """From 0; the library counts from 1."""
    time_s: float
    """Seconds from the utterance's first PCM frame."""


@dataclass(frozen=True, slots=True)
class LibraryVoice:
    """A voice or variant as the library lists it."""

    identifier: str
    """File name below `lang` or `voices`, for example `gmw/en-US` or `!v/f3`."""
    name: str
    languages: tuple[str, ...]
    """The main one first."""
    gender: int
    """0 none, 1 male, 2 female. The library says male for every language file."""


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


MAX_EVENTS = BUFFER_MS * 200 // 1000 + 20
"""Length of the library's one event list. Source: espeak-ng 1.52, speech.c, espeak_ng_InitializeOutput."""
EVENT_INTS = 10
"""Size of espeak_EVENT, 40 bytes where a pointer has 8: six ints, a pointer and a union of 8 bytes."""
TEXT_POSITION_INT, AUDIO_POSITION_INT = 2, 4
"""Places of `text_position` and of `audio_position` in milliseconds; `type` is at 0."""

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class EspeakLibrary:
    """espeak-ng, initialised for synchronous synthesis. One per process."""

    def __init__(self) -> None:
        """Load and initialise the library that the `espeakng_loader` wheel brings.

        Raises:
            EngineFailedError: The library or its data is missing, or it can't be initialised.
        """
        self.data_dir = Path(get_data_path())
        try:
            self._library = _declare(ctypes.CDLL(get_library_path()))
            # The library copies its data's path into 160 bytes and appends to it, so it gets a short one.
            self._data_fd = os.open(self.data_dir, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            message = f"espeak-ng can't be loaded: {error}"
            raise EngineFailedError(message) from None
        path = f"/proc/self/fd/{self._data_fd}".encode()
        rate_hz = self._library.espeak_Initialize(
            AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, path, INITIALIZE_DONT_EXIT
        )
        if rate_hz <= 0:
            message = f"espeak-ng can't be initialised: code {rate_hz}"
            raise EngineFailedError(message)
        self.sample_rate_hz: int = rate_hz
        self.version: str = self._library.espeak_Info(None).decode("ascii", "replace").strip()
        self._on_audio: OnAudio | None = None
        self._reads_words = False
        self._error: BaseException | None = None
        self._events_address = 0
        self._events = memoryview(b"")
        self._callback = _Callback(self._take_audio)  # must live as long as the library may call it
        self._library.espeak_SetSynthCallback(self._callback)

    def list_voices(self, language: str | None = None) -> list[LibraryVoice]:
        """Return the voices of every language, or those of one; `variant` lists the variants."""
        wanted = None
        if language is not None:
            text = ctypes.create_string_buffer(language.encode("ascii"))
            wanted = _Voice(languages=ctypes.cast(text, ctypes.c_void_p))
        found = self._library.espeak_ListVoices(ctypes.byref(wanted) if wanted else None)
        voices: list[LibraryVoice] = []
        while found[len(voices)]:
            voice = found[len(voices)].contents
            languages = _read_languages(voice.languages)
            voices.append(
                LibraryVoice(voice.identifier.decode(), voice.name.decode().strip(), languages, voice.gender)
            )
        return voices

    def select_voice(self, identifier: str) -> None:
        """Make a voice the current one.

        Args:
            identifier: As listed, with `+` and a variant's file name behind it where one is wanted.

        Raises:
            EngineFailedError: The library refused it. What it would speak with now is undefined.
        """
        encoded = identifier.encode()
        code = -1
        if len(encoded) <= MAX_IDENTIFIER_BYTES and b"\0" not in encoded:
            code = self._library.espeak_SetVoiceByName(encoded)
        # With some names the library goes on with the previous voice, so it is asked what it has.
        if code == 0 and self._library.espeak_GetCurrentVoice().contents.identifier == encoded:
            return
        message = f"espeak-ng refused the voice: code {code}"
        raise EngineFailedError(message)

    def find_voice(self, language: str) -> str:
        """Make the voice that `espeak-ng -v` takes for a language the current one; return its identifier.

        Args:
            language: The library's name of a voice or language, as `en-us` or `fr-fr`, in any case.

        Raises:
            EngineFailedError: There is none. What the library would speak with now is undefined.

        Source: espeak-ng 1.52, src/espeak-ng.c: by name, then by language.
        """
        encoded = language.encode()
        code = -1
        if 0 < len(encoded) <= MAX_IDENTIFIER_BYTES and b"\0" not in encoded:
            code = self._library.espeak_SetVoiceByName(encoded)
            if code != 0:
                name = ctypes.create_string_buffer(encoded)
                wanted = _Voice(languages=ctypes.cast(name, ctypes.c_void_p))
                code = self._library.espeak_SetVoiceByProperties(ctypes.byref(wanted))
        if code != 0:
            raise EngineFailedError(f"espeak-ng has no voice for the language {language!r}")
        identifier: bytes = self._library.espeak_GetCurrentVoice().contents.identifier
        return identifier.decode()

    def to_phonemes(self, text: str) -> list[str]:
        """Return a plain text's phonemes as the current voice speaks it, one string for each clause.

        IPA with `_` between phonemes, spaces between words and the library's marks of a change of language,
        as `(en)`. Blocks for 0.5 ms for a clause of 80 characters.

        Raises:
            EngineFailedError: The library reported an error, or the text can't be handed to it.

        Stress and tones are only settled when a clause is spoken, so espeak_TextToPhonemes has them wrong; it
        counts the clauses, and the speech is stopped once the last one's phonemes are known.
        """
        clauses = self._count_clauses(text)
        libc = _declare_streams(ctypes.CDLL(None))
        address, length = ctypes.c_void_p(), ctypes.c_size_t()
        stream = libc.open_memstream(ctypes.byref(address), ctypes.byref(length))
        if not stream:
            raise EngineFailedError("No memory for phonemes")

        def goes_on(_pcm: bytes, _words: list[WordEvent]) -> bool:
            libc.fflush(stream)
            return ctypes.string_at(address, length.value).count(b"\n") < clauses

        self._library.espeak_SetPhonemeTrace(IPA_SEPARATED, stream)
        try:
            self.speak(text, goes_on)
        finally:
            self._library.espeak_SetPhonemeTrace(0, None)
            libc.fclose(stream)
            written = ctypes.string_at(address, length.value) if length.value else b""
            libc.free(address)
        return written.decode().splitlines()

    def _count_clauses(self, text: str) -> int:
        rest = ctypes.c_char_p(_encode(text))
        clauses = 0
        while rest.value is not None:
            self._library.espeak_TextToPhonemes(ctypes.byref(rest), CHARS_UTF8, IPA_SEPARATED)
            clauses += 1
        return clauses

    def set_parameter(self, parameter: Parameter, value: int) -> None:
        """Set a parameter for the utterances to come.

        Raises:
            EngineFailedError: The library refused it.
        """
        code = self._library.espeak_SetParameter(parameter, value, 0)
        if code != 0:
            message = f"espeak-ng refused {parameter.name} {value}: code {code}"
            raise EngineFailedError(message)

    def speak(
        self, text: str, on_audio: OnAudio, *, is_ssml: bool = False, reads_words: bool = False
    ) -> None:
        """Speak a text with the current voice and parameters; blocks until it is done or stopped.

        No pause is appended at the end of the text.

        Args:
            text: Plain text, or SSML where `is_ssml`; no NUL and no lone surrogate. Other control characters
                are spoken as spaces.
            on_audio: Called in this thread about every `BUFFER_MS` of audio; may be called with no PCM.
            is_ssml: Whether what stands between < and > is markup.
            reads_words: Whether `on_audio` gets the word events; else it gets none.

        Raises:
            EngineFailedError: The library reported an error, or the text can't be handed to it.
        """
        encoded = _encode(text)
        flags = CHARS_UTF8 | (SSML if is_ssml else 0)
        self._on_audio, self._reads_words, self._error = on_audio, reads_words, None
        try:
            code = self._library.espeak_Synth(
                encoded, len(encoded) + 1, 0, POSITION_CHARACTER, 0, flags, None, None
            )
        finally:
            self._on_audio = None
        if self._error is not None:
            raise self._error
        if code != 0:
            message = f"espeak-ng failed to speak: code {code}"
            raise EngineFailedError(message)

    def close(self) -> None:
        """Free what the library holds; it can't be used again.

        Raises:
            EngineFailedError: The library reported an error.
        """
        code = self._library.espeak_Terminate()
        os.close(self._data_fd)
        if code != 0:
            message = f"espeak-ng failed to end: code {code}"
            raise EngineFailedError(message)

    def _take_audio(self, samples: int | None, count: int, events: int) -> int:
        """Be the library's callback: return 0 to go on, 1 to stop. Nothing may be raised into C."""
        try:
            assert self._on_audio is not None
            pcm = ctypes.string_at(samples, 2 * count) if samples and count else b""
            words = self._read_word_events(events) if self._reads_words else []
            return 0 if self._on_audio(pcm, words) else 1
        except BaseException as error:  # noqa: BLE001 (kept, and raised again by `speak`)
            self._error = error
            return 1

    def _read_word_events(self, address: int) -> list[WordEvent]:
        """Return the word events of the event list, which ends with an event of type 0.

        A view of the list's integers, kept between the calls, is several times as fast as a ctypes structure.
        """
        if address != self._events_address:
            integers = (ctypes.c_int * (MAX_EVENTS * EVENT_INTS)).from_address(address)
            self._events_address, self._events = address, memoryview(integers).cast("B").cast("i")
        events = self._events
        found: list[WordEvent] = []
        at = 0
        while (kind := events[at]) != EVENT_LIST_TERMINATED:
            if kind == EVENT_WORD:
                text_position, audio_ms = events[at + TEXT_POSITION_INT], events[at + AUDIO_POSITION_INT]
                found.append(WordEvent(text_position - 1, audio_ms / 1000))
            at += EVENT_INTS
        return found


def _encode(text: str) -> bytes:
    """Return a text as the library takes it."""
    try:
        spaced = CRASHING_ALONE.sub(lambda found: " " * len(found[0]), text)
        encoded = spaced.translate(TRANSLATED).encode()
    except UnicodeEncodeError:
        raise EngineFailedError("The text holds a lone surrogate") from None
    if b"\0" in encoded:
        raise EngineFailedError("The text holds a NUL character")
    return encoded


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """Declare the functions that are used."""
    library.espeak_Initialize.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
    library.espeak_Info.argtypes = (ctypes.c_void_p,)
    library.espeak_Info.restype = ctypes.c_char_p
    library.espeak_ListVoices.argtypes = (ctypes.c_void_p,)
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    library.espeak_SetVoiceByName.argtypes = (ctypes.c_char_p,)
    library.espeak_SetVoiceByProperties.argtypes = (ctypes.POINTER(_Voice),)
    library.espeak_GetCurrentVoice.restype = ctypes.POINTER(_Voice)
    library.espeak_SetPhonemeTrace.argtypes = (ctypes.c_int, ctypes.c_void_p)
    library.espeak_SetPhonemeTrace.restype = None
    library.espeak_TextToPhonemes.argtypes = (ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int)
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_SetParameter.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int)
    library.espeak_SetSynthCallback.argtypes = (_Callback,)
    library.espeak_SetSynthCallback.restype = None
    library.espeak_Synth.argtypes = (
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    )
    return library


def _declare_streams(libc: ctypes.CDLL) -> ctypes.CDLL:
    """Declare what writes into memory. Source: POSIX, open_memstream."""
    libc.open_memstream.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_size_t))
    libc.open_memstream.restype = ctypes.c_void_p
    libc.fflush.argtypes = libc.fclose.argtypes = libc.free.argtypes = (ctypes.c_void_p,)
    return libc


def _read_languages(address: int) -> tuple[str, ...]:
    """Return language tags in the voice file's order, from pairs of a priority byte and a C string.

    Source: speak_lib.h, espeak_VOICE.languages.
    """
    languages: list[str] = []
    while ctypes.string_at(address, 1) != b"\0":
        tag = ctypes.string_at(address + 1)
        languages.append(tag.decode("ascii"))
        address += len(tag) + 2
    return tuple(languages)
