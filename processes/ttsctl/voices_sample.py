"""`ttsctl voices sample`: how a voice sounds.

Owns: what it says in its own language, and where the sound goes.
Refuses to know: how speech is made.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from processes.ttsctl.gateway_socket import ask_for_speech, ask_json, fallback_note, pieces
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.say import save

TEXTS = {
    "de": "Guten Tag. Heute scheint die Sonne, und der Zug nach Köln fährt pünktlich von Gleis sieben ab.",
    "en": "Good morning. The sun is out today, and the train to Bristol leaves on time from platform seven.",
    "es": "Buenos días. Hoy hace sol, y el tren a Sevilla sale puntual del andén siete.",
    "fr": "Bonjour. Il fait beau aujourd'hui, et le train pour Lyon part à l'heure du quai numéro sept.",
    "pl": "Dzień dobry. Dziś świeci słońce, a pociąg do Krakowa odjeżdża punktualnie z toru siódmego.",
}
"""What a voice says in its language; another language's voice says the English one."""
STANDARD_OUTPUT = "-"
ANOTHER_VOICE = "another_voice"
NOT_FOUND = "voice_not_found"
"""As `errors.VoiceNotFoundError` has it."""


def run(arguments: argparse.Namespace) -> ExitCode:
    """Speak a few sentences as WAV; blocks until the file is whole.

    Raises:
        CommandError: No voice is called so, another one speaks in its place, the gateway breaks off, or the
            file can't be written.
    """
    run_dir = find_run_dir(arguments.run_dir)
    body = {
        "input": arguments.text or TEXTS.get(_language(run_dir, arguments.voice), TEXTS["en"]),
        "voice": arguments.voice,
        "response_format": "wav",
    }
    target = arguments.output or f"{quote(arguments.voice, safe='+')}.wav"
    with ask_for_speech(run_dir, body) as answer:
        if note := fallback_note(answer, arguments.voice):
            raise CommandError(note, code=ANOTHER_VOICE)
        if target == STANDARD_OUTPUT:
            for piece in pieces(answer):
                sys.stdout.buffer.write(piece)
            return ExitCode.OK
        size_bytes = save(pieces(answer), Path(target))
    if arguments.json:
        print_json({"file": os.fspath(target), "voice": arguments.voice, "bytes": size_bytes})
    else:
        print(target)
    return ExitCode.OK


def find_voice(run_dir: Path, voice_id: str) -> dict[str, Any]:
    """Return a voice as the gateway lists it; an alias or a variant isn't listed.

    Raises:
        CommandError: The gateway doesn't answer, or no voice has this id.
    """
    voices: list[dict[str, Any]] = ask_json(run_dir, "GET", "/v1/audio/voices")["voices"]
    found = next((voice for voice in voices if voice["id"].lower() == voice_id.lower()), None)
    if found is None:
        raise CommandError(f"no voice is called {voice_id!r}: ttsctl voices list", code=NOT_FOUND)
    return found


def _language(run_dir: Path, voice_id: str) -> str:
    """Return the main language's first part; none for a name that isn't listed, such as an alias."""
    try:
        voice = find_voice(run_dir, voice_id.partition("+")[0])
    except CommandError as error:
        if error.code != NOT_FOUND:
            raise
        return ""
    return str(voice["languages"][0]).partition("-")[0].lower()
