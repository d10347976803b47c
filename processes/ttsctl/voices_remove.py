"""`ttsctl voices remove`: takes an imported voice away.

Owns: the question before it, and the way without a running appliance.
Refuses to know: what workers make of it.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from appliance.settings import load_settings
from appliance.voice_store import REPLACED_PREFIX, VOICE_ID, VoiceStore
from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.process_table import adopt_environment

YES = ("y", "yes")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Remove the voice when somebody has said yes; one that speaks just now ends its utterance.

    Raises:
        CommandError: There is none, nobody was asked, or it can't be removed.
    """
    voice_id = arguments.voice
    run_dir = find_run_dir(arguments.run_dir)
    if not (re.fullmatch(VOICE_ID, voice_id) and _is_there(run_dir, voice_id)):
        raise _not_found(voice_id)
    if not (arguments.yes or _is_agreed(voice_id)):
        raise CommandError(f"{voice_id} stays", code="not_agreed")
    try:
        ask_json(run_dir, "DELETE", f"/admin/voices/{voice_id}")
    except CommandError as error:
        if error.exit_code != ExitCode.DOWN:
            raise
        adopt_environment(run_dir)
        _remove(voice_id)
    if arguments.json:
        print_json({"removed": voice_id})
    else:
        print(f"{voice_id} is removed")
    return ExitCode.OK


def _is_there(run_dir: Path, voice_id: str) -> bool:
    """Return whether there is something to remove: a voice that the gateway lists, or what is left of one."""
    try:
        listed = ask_json(run_dir, "GET", "/admin/voices")["voices"]
    except CommandError as error:
        if error.exit_code != ExitCode.DOWN:
            raise
        listed = []
    if any(voice["id"] == voice_id for voice in listed):
        return True
    adopt_environment(run_dir)
    store = VoiceStore(load_settings().data.dir)
    return any(
        path.exists() for path in (store.path(voice_id), store.folder / f"{REPLACED_PREFIX}{voice_id}")
    )


def _is_agreed(voice_id: str) -> bool:
    if not sys.stdin.isatty():
        raise CommandError("nobody can be asked here; say --yes", code="usage", exit_code=ExitCode.USAGE)
    return input(f"Remove the voice {voice_id} for good? [y/N] ").strip().lower() in YES


def _remove(voice_id: str) -> None:
    try:
        was_there = VoiceStore(load_settings().data.dir).remove(voice_id)
    except OSError as error:
        raise CommandError(f"{voice_id} can't be removed: {error.strerror}", code="not_removed") from None
    if not was_there:
        raise _not_found(voice_id)


def _not_found(voice_id: str) -> CommandError:
    return CommandError(f"no imported voice is called {voice_id[:80]!r}", code="voice_not_found")
