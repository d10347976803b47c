"""The tone engine: every character a short sine, the same text always the same bytes.

Owns: the rule from text to PCM (`expected_pcm`), mapping a large file as weights are, and misbehaving on
purpose: delays, failing, hanging with and without the interpreter's lock, exiting, crashing, leaking, leaving
a child behind.
Refuses to know: sockets, wire frames, scheduling.

It is the demo, the load target and the only stand-in for a real engine in tests. A test that wants to know
whose audio it holds compares it with `expected_pcm(utterance)`: each character takes `CHARACTER_S` ÷ speed
seconds, white space is silent, and any other character sounds at

    (voice's base + 20 Hz × (code point mod 128)) × pitch.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import re
import tempfile
import threading
import time
from array import array
from collections.abc import Generator
from functools import lru_cache
from itertools import count

from appliance.engine_settings import ToneSettings
from appliance.engines.base import NEXT_CHUNK_BYTES, chunk_spans
from appliance.errors import EngineFailedError, UnspeakableTextError
from appliance.speech import FIRST_CHUNK_BYTES, PcmChunk, Utterance, WordMark
from appliance.voices import Gender, Variant, Voice

SAMPLE_RATE_HZ = 22050
CHARACTER_S = 0.025
"""Seconds of a character at normal speed."""
STEP_HZ = 20
PITCHES = 128
AMPLITUDE = 9000
"""Peak of a sine at volume 1; twice that still fits int16."""
FADE_FRAMES = 22
"""PCM frames over which a character's sine rises and falls (1 ms), so that it doesn't click."""
EXIT_CODE = 3
"""What a worker exits with when it was asked to exit."""

_BASES_HZ = {"low": 150, "high": 600, "middle": 300}
_VOICES = (
    Voice("tone-low", "Tone, low", "tone", "low", ("en",), Gender.MALE, SAMPLE_RATE_HZ),
    Voice("tone-high", "Tone, high", "tone", "high", ("en",), Gender.FEMALE, SAMPLE_RATE_HZ),
    Voice("tone-middle", "Tone, middle", "tone", "middle", ("pl", "de"), Gender.UNKNOWN, SAMPLE_RATE_HZ),
)
_TAG = re.compile(r"<[^>]*>")
_WORD = re.compile(r"\S+")
LEAK_BYTES = 8 * 1024 * 1024
"""What `__LEAK__` in a text leaks."""
_LEAK_HOOK = "__LEAK__"
_HOOK = re.compile(r"__(EXIT|SEGV|HANG|SPIN|BLOCK|FORK|DAEMON|FAIL|MUTE)(?:_([0-9]{1,3}))?__")


class ToneEngine:
    """Deterministic tones, with faults on demand."""

    name = "tone"
    version = "1"

    def __init__(self, settings: ToneSettings) -> None:
        self.is_on_cpu = settings.on_cpu
        self._settings = settings
        self._leaked: list[bytes] = []
        self._weights: mmap.mmap | None = None

    def warm_up(self) -> None:
        """Load nothing; take long, fail, or see to it that the worker's life is short, where asked for.

        Raises:
            EngineFailedError: A failure was asked for.
        """
        time.sleep(self._settings.warm_up_s)
        if self._settings.fail_warm_up:
            message = "The tone engine was asked to fail"
            raise EngineFailedError(message)
        if self._settings.life_s:
            end = threading.Timer(self._settings.life_s, os._exit, [EXIT_CODE])
            end.daemon = True
            end.start()

    def voices(self) -> tuple[Voice, ...]:
        """Return the three tone voices."""
        return _VOICES

    def variants(self) -> tuple[Variant, ...]:
        """Return nothing: a tone has no colouring."""
        return ()

    def synthesize(self, utterance: Utterance) -> Generator[PcmChunk, None, None]:
        """Speak one utterance in tones; see `Engine.synthesize`.

        Blocks for the delays of the settings. A fault that is due after more chunks than the utterance has
        doesn't happen.

        Args:
            utterance: With hooks switched on, `__FAIL__` in its text is a fault before the first chunk,
                `__FAIL_2__` after the second; likewise MUTE (has no sound for it), EXIT, SEGV, HANG (asleep),
                SPIN (busy in Python), BLOCK (asleep in C with the interpreter's lock held), FORK (speaks on
                beside a child) and DAEMON (beside one in a session of its own).
                `__LEAK__` leaks `LEAK_BYTES`, once for an utterance.

        Yields:
            Whole frames, int16 little-endian mono at 22050 Hz; the last chunk has `is_last`.

        Raises:
            EngineFailedError: The voice is unknown, or a failure was asked for.
            UnspeakableTextError: That was asked for.
        """
        pcm = expected_pcm(utterance)
        first_bytes = FIRST_CHUNK_BYTES if utterance.wants_early_sound else NEXT_CHUNK_BYTES
        marks = _word_marks(utterance) if utterance.wants_word_marks else []
        faults = self._faults(utterance.spoken.text)
        self._leak(utterance.spoken.text)
        if self._settings.weights_bytes and self._weights is None:
            self._weights = _mapped_file(self._settings.weights_bytes)
        for index, (start, end) in enumerate(chunk_spans(len(pcm), first_bytes)):
            time.sleep(self._settings.chunk_delay_s if index else self._settings.delay_s)
            _misbehave(faults.get(index))
            is_last = end == len(pcm)
            yield PcmChunk(
                pcm[start:end],
                SAMPLE_RATE_HZ,
                tuple(mark for mark in marks if start <= _byte_at(mark.time_s) < end),
                is_last=is_last,
                ends_window=not is_last and self._is_window_end(index + 1),
            )
            if is_last:
                _misbehave(faults.get(index + 1))

    def close(self) -> None:
        """Forget what was leaked and mapped."""
        self._leaked.clear()
        if self._weights is not None:
            self._weights.close()

    def _is_window_end(self, chunks: int) -> bool:
        size = self._settings.window_chunks
        return bool(size) and chunks % size == 0

    def _leak(self, text: str) -> None:
        is_asked_for = self._settings.hooks and _LEAK_HOOK in text
        leak_bytes = self._settings.leak_bytes + LEAK_BYTES * is_asked_for
        if leak_bytes:
            self._leaked.append(b"\x01" * leak_bytes)

    def _faults(self, text: str) -> dict[int, str]:
        """Return which fault is due after how many chunks."""
        settings = self._settings
        faults = {
            settings.fail_after_chunks: "FAIL",
            settings.hang_after_chunks: "HANG",
            settings.exit_after_chunks: "EXIT",
        }
        if settings.hooks:
            faults |= {int(chunks or 0): fault for fault, chunks in _HOOK.findall(text)}
        return faults


def expected_pcm(utterance: Utterance) -> bytes:
    """Return the PCM of an utterance in a tone voice: int16 little-endian mono at 22050 Hz.

    Depends on the utterance's text, voice, speed, pitch and volume, and on nothing else. The tags of SSML are
    as silent as white space.

    Raises:
        EngineFailedError: The tone engine has no such voice.
    """
    base_hz = _BASES_HZ.get(utterance.engine_voice)
    if base_hz is None:
        message = "The tone engine has no such voice"
        raise EngineFailedError(message)
    frames = _character_frames(utterance)
    amplitude = round(AMPLITUDE * max(0.0, min(utterance.volume, 2.0)))
    return b"".join(
        bytes(2 * frames)
        if character.isspace()
        else _sine(
            round((base_hz + STEP_HZ * (ord(character) % PITCHES)) * utterance.pitch), frames, amplitude
        )
        for character in _audible_text(utterance)
    )


def _mapped_file(size_bytes: int) -> mmap.mmap:
    """Return a file of zeros, mapped as weights are and with every page of it resident; it has no name."""
    with tempfile.TemporaryFile() as file:
        file.truncate(size_bytes)
        mapped = mmap.mmap(file.fileno(), size_bytes, access=mmap.ACCESS_READ)
    for page in range(0, size_bytes, mmap.PAGESIZE):
        mapped[page]
    return mapped


def _audible_text(utterance: Utterance) -> str:
    """Return the text with every SSML tag as white space of its length, so that offsets stay."""
    text = utterance.spoken.text
    return _TAG.sub(lambda tag: " " * len(tag[0]), text) if utterance.is_ssml else text


def _character_frames(utterance: Utterance) -> int:
    return max(1, round(SAMPLE_RATE_HZ * CHARACTER_S / utterance.speed))


def _word_marks(utterance: Utterance) -> list[WordMark]:
    character_s = _character_frames(utterance) / SAMPLE_RATE_HZ
    words = _WORD.finditer(_audible_text(utterance))
    return [WordMark(word.start(), word.end(), word.start() * character_s) for word in words]


def _byte_at(time_s: float) -> int:
    return 2 * round(time_s * SAMPLE_RATE_HZ)


@lru_cache(maxsize=1024)
def _sine(frequency_hz: int, frames: int, amplitude: int) -> bytes:
    """Return one character's sine, int16 little-endian, with a short fade at both ends."""
    step = 2 * math.pi * frequency_hz / SAMPLE_RATE_HZ
    fade = max(1, min(FADE_FRAMES, frames // 2))
    samples = array("h", [0]) * frames
    for index in range(frames):
        gain = min(1.0, index / fade, (frames - 1 - index) / fade)
        samples[index] = round(amplitude * gain * math.sin(step * index))
    return samples.tobytes()


def _misbehave(fault: str | None) -> None:
    """Do what was asked for; returns where nothing was, and beside a child."""
    if fault is not None:
        _FAULTS[fault]()


def _fail() -> None:
    message = "The tone engine was asked to fail"
    raise EngineFailedError(message)


def _be_mute() -> None:
    raise UnspeakableTextError


def _exit() -> None:
    os._exit(EXIT_CODE)


def _crash() -> None:
    ctypes.string_at(0)


def _hang() -> None:
    for _ in count():
        time.sleep(3600)


def _spin() -> None:
    for _ in count():
        pass


def _block() -> None:
    library = ctypes.PyDLL(None)  # unlike CDLL it keeps the lock
    for _ in count():
        library.sleep(3600)


def _fork() -> None:
    if os.fork() == 0:
        _hang()


def _daemon() -> None:
    if os.fork() == 0:
        os.setsid()
        _hang()


_FAULTS = {
    "FAIL": _fail,
    "MUTE": _be_mute,
    "EXIT": _exit,
    "SEGV": _crash,
    "HANG": _hang,
    "SPIN": _spin,
    "BLOCK": _block,
    "FORK": _fork,
    "DAEMON": _daemon,
}
