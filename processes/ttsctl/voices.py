"""`ttsctl voices …`: what can be said in `say --voice`, and everything about imported voices.

Owns: the choice of the action, and the list.
Refuses to know: what the other actions do; each is a module with a `run`, imported only when asked for.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.table import format_table

COLUMNS = ("VOICE", "LANGUAGES", "GENDER", "ENGINE", "NAME")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Do what is asked, the list if nothing else is."""
    if arguments.action in {None, "list"}:
        return list_voices(arguments)
    module = importlib.import_module(f"processes.ttsctl.voices_{arguments.action}")
    code: ExitCode = module.run(arguments)
    return code


def list_voices(arguments: argparse.Namespace) -> ExitCode:
    """Print the voices that match, sorted by language; no match is no error."""
    answer = ask_json(find_run_dir(arguments.run_dir), "GET", "/v1/audio/voices")
    voices = choose(answer["voices"], language=arguments.language, engine=arguments.engine)
    variants = [
        variant for variant in answer.get("variants", []) if arguments.engine in {None, variant["engine"]}
    ]
    if arguments.json:
        print_json({"default": answer.get("default"), "voices": voices, "variants": variants})
        return ExitCode.OK
    rows = [
        (voice["id"], " ".join(voice["languages"]), voice["gender"], voice["engine"], voice["name"])
        for voice in voices
    ]
    print(format_table(COLUMNS, rows))
    if variants:
        is_wanted = arguments.variants
        names = ", ".join(each["id"] for each in variants) if is_wanted else "--variants lists them"
        print(f"\n{len(variants)} variants, as in {answer.get('default')}+{variants[0]['id']}: {names}")
    return ExitCode.OK


def choose(voices: list[dict[str, Any]], *, language: str | None, engine: str | None) -> list[dict[str, Any]]:
    """Return the voices of a language and an engine, sorted by main language, then id.

    Args:
        voices: As the gateway lists them.
        language: A BCP 47 tag or its beginning: `en` finds `en-us`, but `e` doesn't; None finds all.
        engine: None finds all.
    """
    chosen = [
        voice
        for voice in voices
        if (language is None or any(_is_part(language.lower(), tag.lower()) for tag in voice["languages"]))
        and engine in {None, voice["engine"]}
    ]
    return sorted(chosen, key=lambda voice: (voice["languages"][:1], voice["id"]))


def _is_part(language: str, tag: str) -> bool:
    return tag == language or tag.startswith(f"{language}-")
