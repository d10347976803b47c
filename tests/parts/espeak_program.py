"""A program `espeak-ng` over the appliance's own library, for Coqui, which starts it for each piece of text.

It does what espeak-ng's own program does with the options that Coqui gives it: the library writes the
phonemes while it speaks the whole text. Source: espeak-ng 1.52, src/espeak-ng.c.
"""

import argparse
import ctypes
import sys
from pathlib import Path
from typing import Final

from appliance.engines.espeak_library import EspeakLibrary

IPA_SEPARATED: Final = 0x02 | ord("_") << 8
UTF8, PHONEME_CODES, END_PAUSE = 0x1, 0x100, 0x1000
ROOT: Final = Path(__file__).parents[2]


def write_program(folder: Path) -> None:
    """Put an executable `espeak-ng` into a folder."""
    program = folder / "espeak-ng"
    start = f'cd "{ROOT}" && exec "{sys.executable}" -B -m tests.parts.espeak_program "$@"'
    program.write_text(f"#!/bin/sh\n{start}\n", "utf-8")
    program.chmod(0o755)


def print_phonemes(library: EspeakLibrary, text: bytes) -> None:
    """Speak the whole text to nobody; the library prints its phonemes."""
    c = library._library
    libc = ctypes.CDLL(None)
    libc.fdopen.restype = ctypes.c_void_p
    libc.fflush.argtypes = (ctypes.c_void_p,)
    output = ctypes.c_void_p(libc.fdopen(1, b"w"))
    c.espeak_SetPhonemeTrace(IPA_SEPARATED, output)
    library._on_audio = lambda _pcm, _words: True
    c.espeak_Synth(text, len(text) + 1, 0, 1, 0, UTF8 | PHONEME_CODES | END_PAUSE, None, None)
    libc.fflush(output)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--voices", action="store_true")
    parser.add_argument("-q", action="store_true")
    parser.add_argument("-b", choices=["1"])
    parser.add_argument("-v", dest="voice", default="en")
    parser.add_argument("--ipa", choices=["1"])
    parser.add_argument("-f", dest="file", type=Path)
    options = parser.parse_args()
    library = EspeakLibrary()
    if options.version:
        print(f"eSpeak NG text-to-speech: {library.version}")
    elif options.voices:
        print("Pty Language       Age/Gender VoiceName          File")
        for voice in library.list_voices():
            print(f" 5  {voice.languages[0]} --/M {voice.name.replace(' ', '_')} {voice.identifier}")
    else:
        library.find_voice(options.voice)
        print_phonemes(library, options.file.read_bytes())


if __name__ == "__main__":
    main()
