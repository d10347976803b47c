"""`ttsctl jobs …`: long texts that are spoken in the background.

Owns: what is asked of the gateway, the table, the bars of `submit` and `watch`.
Refuses to know: how a job is done.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode

from appliance.progress_bar import ProgressBar
from processes.ttsctl.gateway_socket import PIECE_BYTES, SPEECH_S, File, ask, ask_json, pieces
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.say import save
from processes.ttsctl.table import format_size, format_span, format_table

COLUMNS = ("JOB", "STATE", "DONE", "VOICE", "FORMAT", "AUDIO", "SIZE", "CREATED", "REASON", "TITLE")
MAX_TITLE_CHARS = 100
"""Of a title that is a file's name; the gateway takes twice as many."""
JOB_ID = re.compile(r"[0-9a-f]{32}")
ENDED = ("completed", "failed", "cancelled")
AWAY_S = 30.0
"""Seconds for which `watch` and `submit` wait for a gateway that is being restarted."""
AWAY_LOOK_S = 0.5
ACCEPTED_S = 330.0
"""Seconds that may pass until a job is accepted: its text is read after those of others."""
MAX_FILE_BYTES = 32_000_003
"""No appliance takes a larger one: a text of the most that can be set, in UTF-16 with its mark."""
MAX_EVENT_CHARS = 65_536
TEXT_TYPE = "text/plain"
MEDIA_TYPES = {".md": "text/markdown", ".epub": "application/epub+zip"}
"""Of files that are no plain text, by their suffixes."""


def run(arguments: argparse.Namespace) -> ExitCode:
    """Do what is asked, the list if nothing else is.

    Raises:
        CommandError: The gateway doesn't answer or refuses, or a file can't be read or written.
    """
    run_dir, action = find_run_dir(arguments.run_dir), arguments.action
    if action in (None, "list"):
        return _list(run_dir, arguments)
    if action == "submit":
        return _submit(run_dir, arguments)
    if not JOB_ID.fullmatch(arguments.job):
        message = "a job's id is 32 hexadecimal digits; ttsctl jobs lists them"
        raise CommandError(message, code="usage", exit_code=ExitCode.USAGE)
    path = f"/v1/jobs/{arguments.job}"
    if action == "watch":
        return _watch(run_dir, path, as_json=arguments.json)
    if action == "audio":
        return _audio(run_dir, path, arguments)
    asked = {"show": ("GET", path), "delete": ("DELETE", path)}
    method, path = asked.get(action, ("POST", f"{path}/{action}"))
    try:
        job = ask_json(run_dir, method, path)
    except CommandError as error:
        if (action, error.code) != ("cancel", "job_state"):
            raise
        hint = f"ttsctl jobs delete {arguments.job} deletes it, with its audio"
        raise CommandError(f"{error.message}; {hint}", code=error.code) from None
    return _show(job, as_json=arguments.json)


def _list(run_dir: Path, arguments: argparse.Namespace) -> ExitCode:
    query = f"&state={arguments.state}" if arguments.state else ""
    jobs = ask_json(run_dir, "GET", f"/v1/jobs?limit={arguments.limit}{query}")["data"]
    if arguments.json:
        print_json({"jobs": jobs})
    else:
        print(format_table(COLUMNS, map(_cells, jobs)))
    return ExitCode.OK


def _cells(job: dict[str, Any]) -> tuple[object, ...]:
    size = format_size(job["bytes"] or None)
    created = job["created_at"].partition(".")[0].replace("T", " ")
    audio = format_span(job["audio_s"])
    share = f"{job['progress']:.0%}"
    return (
        job["id"],
        job["state"],
        share,
        job["voice"],
        job["format"],
        audio,
        size,
        created,
        job["reason"] or None,
        job["title"] or None,
    )


def _submit(run_dir: Path, arguments: argparse.Namespace) -> ExitCode:
    fields = {
        "voice": arguments.voice or "",
        "response_format": arguments.format,
        "speed": arguments.speed,
        "title": arguments.title or _title(arguments.file),
        "captions": arguments.captions,
        "chapters": arguments.chapters,
    }
    with _opened(arguments.file) as (file, media_type):
        job = _handed_in(run_dir, f"/v1/jobs?{urlencode(fields)}", file, media_type)
    if arguments.watch:
        if sys.stdout.isatty() and not arguments.json:
            print(job["id"])
        return _watch(run_dir, f"/v1/jobs/{job['id']}", as_json=arguments.json)
    if arguments.json:
        print_json(job)
    else:
        print(job["id"])
    return ExitCode.OK


def _title(file: str) -> str:
    """Return what a person would call a file's job; nothing for standard input."""
    if file == "-":
        return ""
    return "".join(each if each.isprintable() else " " for each in Path(file).stem)[:MAX_TITLE_CHARS]


def _handed_in(run_dir: Path, path: str, file: BinaryIO, media_type: str) -> dict[str, Any]:
    """Hand a file in and return the job; where the connection breaks, again, which makes no other job.

    Raises:
        CommandError: The gateway refuses, nobody listens, or it stays away.
    """
    key = str(uuid.uuid4())
    accepted = (HTTPStatus.ACCEPTED,)
    lost_s: float | None = None
    while True:
        upload = File(media_type, _size_bytes(file), _shown(file), key)
        asked = ask(run_dir, "POST", path, upload, timeout_s=ACCEPTED_S, statuses=accepted)
        try:
            with asked as answer:
                job: dict[str, Any] = json.loads(b"".join(pieces(answer)))
                return job
        except CommandError as error:
            now_s, was_heard = time.monotonic(), file.tell() > 0
            lost_s = now_s if lost_s is None and was_heard else lost_s
            is_broken = error.exit_code is ExitCode.DOWN or error.code == "broken_off"
            if not is_broken or lost_s is None or now_s - lost_s > AWAY_S:
                raise
        time.sleep(AWAY_LOOK_S)


@contextmanager
def _opened(name: str) -> Iterator[tuple[BinaryIO, str]]:
    """Open the file, or what standard input holds for `-`; what it is, its name says."""
    if name == "-":
        yield _in_memory(sys.stdin.buffer), TEXT_TYPE
        return
    path = Path(name)
    try:
        file = path.open("rb")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", code="bad_text", exit_code=ExitCode.USAGE) from None
    with file:
        yield file if file.seekable() else _in_memory(file), MEDIA_TYPES.get(path.suffix.lower(), TEXT_TYPE)


def _in_memory(file: BinaryIO) -> BinaryIO:
    """Return what comes through a pipe; of what is too large for any gateway, as much as it refuses."""
    return io.BytesIO(file.read(MAX_FILE_BYTES + 1))


def _size_bytes(file: BinaryIO) -> int:
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size_bytes


def _shown(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file in pieces, and show a person how much has been sent."""
    bar, size_bytes = ProgressBar(sys.stderr), _size_bytes(file)
    while piece := file.read(PIECE_BYTES):
        yield piece
        sent_bytes = file.tell()
        if sys.stderr.isatty():
            share = sent_bytes / max(1, size_bytes)
            bar.draw("sending", share, format_size(sent_bytes), is_last=sent_bytes >= size_bytes)


def _show(job: dict[str, Any], *, as_json: bool) -> ExitCode:
    if as_json:
        print_json(job)
    else:
        print(format_table(COLUMNS, [_cells(job)]))
    return ExitCode.OK


def _audio(run_dir: Path, path: str, arguments: argparse.Namespace) -> ExitCode:
    with ask(run_dir, "GET", f"{path}/audio", timeout_s=SPEECH_S) as answer:
        size_bytes = save(pieces(answer), arguments.output)
    if arguments.json:
        print_json({"file": os.fspath(arguments.output), "bytes": size_bytes})
    else:
        print(arguments.output)
    return ExitCode.OK


def _watch(run_dir: Path, path: str, *, as_json: bool) -> ExitCode:
    """Follow a job to its end, through restarts of the gateway: a bar on a terminal, JSON lines else."""
    is_terminal = sys.stdout.isatty() and not as_json
    bar = ProgressBar(sys.stdout)
    job: dict[str, Any] = {}
    for job in _told(run_dir, path):
        if is_terminal:
            bar.draw(job["state"], job["progress"], _amount(job), is_last=job["state"] in ENDED)
        else:
            print(json.dumps(job, ensure_ascii=False), flush=True)
    if job.get("state") == "completed":
        return ExitCode.OK
    if as_json:
        return ExitCode.FAILED
    raise CommandError(f"the job has {job['state']}: {job['reason']}", code=f"job_{job['state']}")


def _amount(job: dict[str, Any]) -> str:
    left = f", {format_span(job['left_s'])} left" if job["left_s"] is not None else ""
    reason = f", {job['reason']}" if job["reason"] else ""
    step = f", {job['step']}" if job["step"] not in (None, "speaking") else ""
    return f"{job['progress']:.0%}, {format_span(job['audio_s'])} of audio{left}{step}{reason}"


def _told(run_dir: Path, path: str) -> Iterator[dict[str, Any]]:
    """Yield a job whenever it has changed, to its end.

    Raises:
        CommandError: There is no such job, or the gateway stays away.
    """
    away_since_s: float | None = None
    while True:
        try:
            with ask(run_dir, "GET", f"{path}/events", timeout_s=SPEECH_S) as answer:
                away_since_s = None
                for job in _events(pieces(answer)):
                    yield job
                    if job["state"] in ENDED:
                        return
        except CommandError as error:
            now_s = time.monotonic()
            away_since_s = now_s if away_since_s is None else away_since_s
            is_away = error.exit_code is ExitCode.DOWN or error.code in ("broken_off", "storage_failed")
            if not is_away or now_s - away_since_s > AWAY_S:
                raise
        time.sleep(AWAY_LOOK_S)


def _events(parts: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the data of server-sent events."""
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])
        if len(rest) > MAX_EVENT_CHARS:
            raise CommandError("the gateway's events can't be read", code="bad_answer")
