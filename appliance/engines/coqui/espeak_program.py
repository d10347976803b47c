"""A program `espeak-ng` over the appliance's own library, for Coqui, which starts it for each piece of text.

Owns: those options of espeak-ng's own program that Coqui gives it, its output, a file that starts this one.
Refuses to know: when it is needed (`library`).

The library writes the phonemes while it speaks the whole text, as it does for espeak-ng's own program.
Source: espeak-ng 1.52, src/espeak-ng.c; espeak_wrapper.py of coqui-tts 0.28.0.
"""

from __future__ import annotations

import argparse
import ctypes
import shlex
import sys
from pathlib import Path

from espeakng_loader import get_library_path

from appliance.engines.espeak_library import IPA_SEPARATED, EspeakLibrary
from appliance.errors import EngineFailedError

NAME = "espeak-ng"
MODULE = "appliance.engines.coqui.espeak_program"
ROOT = Path(__file__).resolve().parents[3]
"""Where the package lies."""
EXIT_FAILED = 1
STDOUT = 1


def write_program(folder: Path) -> None:
    """Put an executable `espeak-ng` into a folder.

    Raises:
        OSError: The folder can't be written.
    """
    program = folder / NAME
    start = f'cd {shlex.quote(str(ROOT))} && exec {shlex.quote(sys.executable)} -m {MODULE} "$@"'
    program.write_text(f"#!/bin/sh\n{start}\n", "utf-8")
    program.chmod(0o700)


def main() -> int:
    """Do what the command line asks for; return the exit code."""
    options = _parse_options()
    try:
        library = EspeakLibrary()
        if options.version:
            sys.stdout.write(f"eSpeak NG text-to-speech: {library.version}\n")
        elif options.voices:
            _print_voices(library)
        elif options.file is not None:
            library.find_voice(options.voice)
            _print_phonemes(library, options.file.read_text("utf-8", "replace"))
    except (EngineFailedError, OSError) as error:
        sys.stderr.write(f"{getattr(error, 'message', error)}\n")
        return EXIT_FAILED
    return 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=NAME, description="Print the phonemes of a text.")
    parser.add_argument("--version", action="store_true", help="print the library's version")
    parser.add_argument("--voices", action="store_true", help="list the voices")
    parser.add_argument("-q", action="store_true", help="make no sound, as always")
    parser.add_argument("-b", choices=["1"], help="the text is UTF-8, as always")
    parser.add_argument("-v", dest="voice", default="en", help="voice or language (default: %(default)s)")
    parser.add_argument("--ipa", choices=["1"], help="IPA with _ between phonemes, as always")
    parser.add_argument("-f", dest="file", type=Path, help="file with the text")
    return parser.parse_args()


def _print_voices(library: EspeakLibrary) -> None:
    sys.stdout.write("Pty Language       Age/Gender VoiceName          File\n")
    for voice in library.list_voices():
        name = voice.name.replace(" ", "_")
        sys.stdout.write(f" 5  {voice.languages[0]} --/M {name} {voice.identifier}\n")


def _print_phonemes(library: EspeakLibrary, text: str) -> None:
    """Speak the whole text to nobody; the library prints its phonemes, a line for each clause."""
    same = ctypes.CDLL(get_library_path())  # the library that is loaded already
    same.espeak_SetPhonemeTrace.argtypes = (ctypes.c_int, ctypes.c_void_p)
    same.espeak_SetPhonemeTrace.restype = None
    libc = ctypes.CDLL(None)
    libc.fdopen.argtypes, libc.fdopen.restype = (ctypes.c_int, ctypes.c_char_p), ctypes.c_void_p
    libc.fflush.argtypes = (ctypes.c_void_p,)
    output = libc.fdopen(STDOUT, b"w")
    same.espeak_SetPhonemeTrace(IPA_SEPARATED, output)
    library.speak(text.replace("\0", " "), lambda _pcm, _words: True)
    libc.fflush(output)


if __name__ == "__main__":
    sys.exit(main())
