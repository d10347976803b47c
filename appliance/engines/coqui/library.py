"""The one place that makes `import TTS` work, also on a machine without a GPU or a program of espeak.

Owns: what Coqui demands at import and never uses to speak, what it forgets to declare, the program that it
starts for phonemes, and that it writes no texts to the log.
Refuses to know: models, voices, audio.

What is in the way of `import TTS` (coqui-tts 0.28.0, torch 2.13.0 for the CPU):

1. It wants `torchaudio`. The wheels of PyPI are built for CUDA; without its libraries the import fails.
2. With torch 2.9 and later it looks for `torchcodec`, which needs ffmpeg's libraries.
3. It imports `six`, which its metadata doesn't name: our extra `coqui` does.
4. For phonemes it starts `espeak-ng` or `espeak`, which it looks for on PATH when its models are imported.
   Where neither is, a folder with a program over the appliance's own library (`espeak_program`) is put in
   front of PATH, for this process and what it starts; it goes when the process ends, or, where that was
   killed, when the next one begins.

Speaking needs neither 1 nor 2: they read and write audio files and resample for training. So each becomes
an empty module where the real one can't be imported. Whatever does need it then says so. XTTS builds a part
of torchaudio into its model and never speaks with it: `stand_ins` has the shape of that.
Source: measurements C1; TTS/__init__.py, TTS/utils/import_utils.py, espeak_wrapper.py.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import shutil
import sys
import tempfile
import warnings
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from appliance.engines.coqui.espeak_program import write_program
from appliance.engines.coqui.left_folders import own_prefix
from appliance.errors import EngineFailedError
from appliance.packages import HOW_TO_INSTALL

UNUSED_MODULES = ("torchaudio", "torchcodec")
"""What Coqui looks for and doesn't need to speak."""
STAND_INS = {("torchaudio", "transforms"): "appliance.engines.coqui.stand_ins"}
"""Parts of those that models are built with: module and attribute → what stands for it."""
ESPEAK_PROGRAMS = ("espeak-ng", "espeak")
"""Those that Coqui looks for. Source: TTS/tts/utils/text/phonemizers/espeak_wrapper.py."""
FOLDER = "tts-espeak-"
"""Begins the name of the folder, before the process's number."""


class AbsentModule(ModuleType):
    """An empty module in the place of one that can't be imported here."""

    def __init__(self, name: str) -> None:
        """Take the name; the module has the `__spec__` that `importlib.util.find_spec` asks for."""
        super().__init__(name, "Stands for a module that can't be imported on this machine.")
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> object:
        if (self.__name__, name) in STAND_INS:
            return importlib.import_module(STAND_INS[self.__name__, name])
        message = f"module {self.__name__!r} can't be imported on this machine, so there is no {name!r}"
        raise AttributeError(message)


def import_coqui() -> ModuleType:
    """Import Coqui's package `TTS`; the first call takes 2 s of CPU and 230 MB, each further one nothing.

    Blocks. Call it before any other module imports something of `TTS`.

    Raises:
        EngineFailedError: torch or Coqui isn't installed, or can't be imported here.
    """
    logging.getLogger("TTS").setLevel(logging.CRITICAL)  # it would log the texts that are spoken
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "critical")  # it writes past the log, to stderr
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside other people's packages
        for name in UNUSED_MODULES:
            _import_or_stand_in(name)
        with suppress(OSError):  # no place for it; then the model that needs it says that there is none
            offer_espeak()
        try:
            return importlib.import_module("TTS")
        except ImportError as error:
            message = f"Coqui TTS can't be imported: {_first_line(error)}; {HOW_TO_INSTALL}"
            raise EngineFailedError(message) from None


def offer_espeak() -> None:
    """See that a program of espeak is on this process's PATH; only the first call does something.

    Raises:
        OSError: Temporary files can't be written.
    """
    if any(shutil.which(name) for name in ESPEAK_PROGRAMS):
        return
    folder = Path(tempfile.mkdtemp(prefix=own_prefix(FOLDER)))  # nobody else can read or write it
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_program(folder)
    path = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{folder}{os.pathsep}{path}" if path else str(folder)


def _import_or_stand_in(name: str) -> None:
    if name in sys.modules:
        return
    try:
        importlib.import_module(name)
    except (ImportError, OSError, RuntimeError):
        # Each way in which a shared library that isn't there shows itself: 3 exceptions for one fact.
        for part in [part for part in sys.modules if part == name or part.startswith(f"{name}.")]:
            del sys.modules[part]
        sys.modules[name] = AbsentModule(name)


def _first_line(error: ImportError) -> str:
    return str(error).strip().split("\n", 1)[0]
