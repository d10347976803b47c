"""`ttsctl cache`: what answers are kept, and what is to be kept or forgotten.

Owns: the questions and how their answers look. Refuses to know: how answers are kept.
"""

from __future__ import annotations

import argparse
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

from processes.ttsctl.gateway_socket import ask_json
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.table import format_size, format_table

PATH = "/admin/cache"
COLUMNS = ("PLACE", "ANSWERS", "SIZE", "MOST")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Do what was asked for and say how it stands."""
    run_dir = find_run_dir(arguments.run_dir)
    match arguments.action:
        case "stats":
            values = ask_json(run_dir, "GET", PATH)
            said = _stats(values)
        case "purge":
            values = ask_json(run_dir, "DELETE", PATH)
            said = f"{values['removed']} answers forgotten; pinned ones stay"
        case "warm":
            body = {"requests": _read_list(arguments.file)}
            values = ask_json(run_dir, "POST", f"{PATH}/warm", body, statuses=(HTTPStatus.ACCEPTED,))
            said = f"{values['taken']} will be spoken, one after the other"
        case action:
            values = ask_json(run_dir, "POST", f"{PATH}/{action}", _request(arguments))
            said = _pin_said(values)
    if arguments.json:
        print_json(values)
    else:
        print(said)
    return ExitCode.OK


def _request(arguments: argparse.Namespace) -> dict[str, Any]:
    values = {"input": arguments.text, "response_format": arguments.format, "speed": arguments.speed}
    return values if arguments.voice is None else {**values, "voice": arguments.voice}


def _pin_said(values: dict[str, Any]) -> str:
    if values["pinned"]:
        return "pinned" if values["kept"] else "pinned; it will be spoken soon"
    return "no longer pinned" if values["was_pinned"] else "wasn't pinned"


def _stats(values: dict[str, Any]) -> str:
    memory, files, warming = values["memory"], values["files"], values["warming"]
    rows = [
        (place, part["answers"], format_size(part["bytes"]), format_size(part["max_bytes"]))
        for place, part in (("memory", memory), ("files", files))
    ]
    asked = values["hits"] + values["misses"] + values["shared"]
    share = f" ({values['hits'] / asked:.0%} hits)" if asked else ""
    lines = [
        format_table(COLUMNS, rows),
        "",
        f"asked     {values['hits']} hits, {values['shared']} shared, {values['misses']} misses{share}",
        f"evicted   {values['evictions']}; pinned {files['pinned']}; files {files['state']}",
        f"warming   {warming['waiting']} waiting, {warming['failed']} failed",
    ]
    return "\n".join(lines) + ("" if values["speech"] else "\ncache.speech is false: nothing is kept of POST")


def _read_list(path: Path) -> list[dict[str, Any]]:
    """Return the requests of a list, one JSON object a line.

    Raises:
        CommandError: It can't be read, or a line is something else.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: can't be read: {error}", code="unreadable") from None
    wanted = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                values = None
            if not isinstance(values, dict):
                raise CommandError(f"{path}: line {number} isn't a JSON object", code="invalid_value")
            wanted.append(values)
    return wanted
