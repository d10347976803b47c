"""`ttsctl dictionary …`: the words that are respelled.

Owns: what is asked of the gateway, and how the entries look to a person and in a file.
Refuses to know: what an entry may hold, and how words are found in a text; the gateway says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from processes.ttsctl.gateway_socket import ANSWER_S, File, ask, ask_json, pieces
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.say import read_text, save
from processes.ttsctl.table import format_table

PATH = "/admin/dictionary"
COLUMNS = ("WORD", "SPOKEN", "LANGUAGE", "VOICE")
MAX_FILE_BYTES = 8_388_608
"""The gateway takes no more. Source: docs/operate/dictionary.md."""
STANDARD_INPUT = "-"

Values = dict[str, Any]


class Answer(NamedTuple):
    """What an action has come to."""

    values: Values
    """For a program."""
    said: str
    """For a person."""


def run(arguments: argparse.Namespace) -> ExitCode:
    """Do what is asked, the list if nothing else is.

    Raises:
        CommandError: The gateway doesn't answer or refuses, a file can't be read or written, or there is no
            such entry.
    """
    actions: dict[str | None, Callable[[Path, argparse.Namespace], Answer]] = {
        None: _list,
        "list": _list,
        "set": _set,
        "remove": _remove,
        "import": _import,
        "export": _export,
        "try": _try,
    }
    answer = actions[arguments.action](find_run_dir(arguments.run_dir), arguments)
    if arguments.json:
        print_json(answer.values)
    else:
        print(answer.said)
    return ExitCode.OK


def _list(run_dir: Path, _arguments: argparse.Namespace) -> Answer:
    values = ask_json(run_dir, "GET", PATH)
    rows = [
        (each["word"], each["spoken"], each["language"] or None, each["voice"] or None)
        for each in values["entries"]
    ]
    return Answer(values, format_table(COLUMNS, rows))


def _set(run_dir: Path, arguments: argparse.Namespace) -> Answer:
    entry = {name: getattr(arguments, name) for name in ("word", "spoken", "language", "voice")}
    ask_json(run_dir, "POST", PATH, {"entries": [entry]})
    return Answer(entry, f"{arguments.word} is spoken as {arguments.spoken} from now on")


def _remove(run_dir: Path, arguments: argparse.Namespace) -> Answer:
    query = urlencode({name: getattr(arguments, name) for name in ("word", "language", "voice")})
    values = ask_json(run_dir, "DELETE", f"{PATH}?{query}")
    if not values["removed"]:
        message = "there is no such entry; ttsctl dictionary lists them, with language and voice"
        raise CommandError(message, code="not_found")
    return Answer(values, f"{arguments.word} is left to the engines")


def _import(run_dir: Path, arguments: argparse.Namespace) -> Answer:
    content = _read(arguments.file)
    sent = File("application/json", len(content), [content])
    method = "POST" if arguments.add else "PUT"
    with ask(run_dir, method, PATH, sent, timeout_s=ANSWER_S, statuses=(HTTPStatus.OK,)) as answer:
        values: Values = json.loads(b"".join(pieces(answer)))
    count = len(values["entries"])
    return Answer(values, f"the dictionary has {count} {'entry' if count == 1 else 'entries'} now")


def _export(run_dir: Path, arguments: argparse.Namespace) -> Answer:
    values = ask_json(run_dir, "GET", PATH)
    text = json.dumps(values, indent=2, ensure_ascii=False)
    if arguments.output is None:
        return Answer(values, text)
    size_bytes = save([f"{text}\n".encode()], arguments.output)
    return Answer({"file": str(arguments.output), "bytes": size_bytes}, str(arguments.output))


def _try(run_dir: Path, arguments: argparse.Namespace) -> Answer:
    body = {"input": read_text(arguments.text)}
    if arguments.voice is not None:
        body["voice"] = arguments.voice
    values = ask_json(run_dir, "POST", f"{PATH}/try", body)
    return Answer(values, "\n".join(values["spoken"]))


def _read(name: str) -> bytes:
    """Return the content of a file that may be a dictionary.

    Raises:
        CommandError: It can't be read, or is too large.
    """
    try:
        if name == STANDARD_INPUT:
            content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{name}: can't be read: {error.strerror}", code="unreadable") from None
    if len(content) > MAX_FILE_BYTES:
        raise CommandError(f"{name}: is larger than {MAX_FILE_BYTES} bytes", code="body_too_large")
    return content
