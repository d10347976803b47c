"""The floor: what the speech itself costs, with no appliance around it.

Owns: a bare loop around espeak-ng's library, and the same text through the appliance's engine.
Refuses to know: HTTP, processes, formats.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Protocol

from espeakng_loader import get_data_path, get_library_path

from appliance.engines.espeak import EspeakEngine
from appliance.speech import SpokenText, Utterance

BUFFER_MS = 200
"""Audio per callback, as the engine has it."""
SYNCHRONOUS = 2
"""AUDIO_OUTPUT_SYNCHRONOUS. Source: espeak-ng 1.52, speak_lib.h."""
CHARS_UTF8 = 1
VOICE = "gmw/en-US"
VOICE_ID = "en-us"
"""The same voice, as clients name it."""

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class BareEspeak:
    """espeak-ng with a callback that copies the samples and does nothing else."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(get_library_path())
        if self._library.espeak_Initialize(SYNCHRONOUS, BUFFER_MS, get_data_path().encode(), 0) <= 0:
            message = "espeak-ng can't be initialised"
            raise OSError(message)
        self._pcm: list[bytes] = []
        self._callback = _Callback(self._take)  # must live as long as the library may call it
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_SetVoiceByName(VOICE.encode())

    def speak(self, text: str) -> int:
        """Speak a text; return the bytes of its PCM."""
        self._pcm.clear()
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, CHARS_UTF8, None, None)
        return sum(map(len, self._pcm))

    def _take(self, samples: int | None, count: int, _events: int | None) -> int:
        if samples and count:
            self._pcm.append(ctypes.string_at(samples, 2 * count))
        return 0


class OwnEspeak:
    """The same library through the appliance's engine, in this process."""

    def __init__(self) -> None:
        self._engine = EspeakEngine()
        self._engine.warm_up()

    def speak(self, text: str) -> int:
        """Speak a text; return the bytes of its PCM."""
        utterance = Utterance(0, 0, len(text), SpokenText(text), "espeak", VOICE)
        return sum(len(chunk.pcm) for chunk in self._engine.synthesize(utterance))


class Speaker(Protocol):
    """What both have in common."""

    def speak(self, text: str) -> int:
        """Speak a text; return the bytes of its PCM."""


class Floor:
    """One of the two in a process of its own, as the library has one state for its whole process."""

    def __init__(self, kind: type[Speaker]) -> None:
        """Start the process; the engine gets warm with the first speech."""
        self._kind = kind
        self._process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def cpu_s(self, text: str, times: int) -> float:
        """Return the CPU seconds of one speech, over so many in a row; blocks meanwhile."""
        return self._process.submit(_cpu_s, self._kind, text, times).result()

    def close(self) -> None:
        """End the process."""
        self._process.shutdown()


@cache
def _speaker(kind: type[Speaker]) -> Speaker:
    return kind()


def _cpu_s(kind: type[Speaker], text: str, times: int) -> float:
    speaker = _speaker(kind)
    begun_s = time.process_time()
    for _ in range(times):
        speaker.speak(text)
    return (time.process_time() - begun_s) / times
