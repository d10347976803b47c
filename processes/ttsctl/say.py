"""`ttsctl say`: speak a text into a file or to the loudspeaker.

Owns: the text's source, the file's format and its atomic writing, the choice of a player.
Refuses to know: how speech is made.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from processes.ttsctl.gateway_socket import FALLBACK_HEADER, ask_for_speech, ask_json, fallback_note, pieces
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.table import format_size

SUFFIXES = {
    ".mp3": "mp3",
    ".opus": "opus",
    ".ogg": "opus",
    ".aac": "aac",
    ".flac": "flac",
    ".wav": "wav",
    ".pcm": "pcm",
}
PLAYERS = (
    ("pw-play", "-"),
    ("paplay",),
    ("aplay", "-q", "-"),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error", "-i", "-"),
)
"""Commands that play WAV from their standard input, the nearest to the desktop first."""
MAX_COMPLAINTS_BYTES = 65_536
"""Of what a player says."""
SILENT_WORDS = b"Failed to open file"
"""What ffplay says when it has no sound device; it ends with code 0 all the same. Source: ffplay.c."""


def run(arguments: argparse.Namespace) -> ExitCode:
    """Speak; blocks until the file is whole or the player has ended.

    Raises:
        CommandError: The text can't be read, the gateway refuses or breaks off, the file can't be written,
            or there is no player.
    """
    if arguments.play and arguments.format:
        message = "--format is for -o: a player gets wav"
        raise CommandError(message, code="usage", exit_code=ExitCode.USAGE)
    text = read_text(arguments.text)
    run_dir = find_run_dir(arguments.run_dir)
    player = find_player() if arguments.play else None
    audio_format = "wav" if player else arguments.format or format_of(arguments.output)
    body = {
        "model": "tts-1",
        "input": text,
        "voice": arguments.voice or _default_voice(run_dir),
        "response_format": audio_format,
        "speed": arguments.speed,
    }
    with ask_for_speech(run_dir, body) as answer:
        audio = pieces(answer)
        if note := fallback_note(answer, str(body["voice"])):
            print(f"ttsctl: {note}", file=sys.stderr)
        fallback = answer.getheader(FALLBACK_HEADER)
        if player:
            size_bytes = play(audio, player)
            result: dict[str, Any] = {"player": player[0]}
        else:
            size_bytes = save(_shown(audio), arguments.output)
            result = {"file": os.fspath(arguments.output), "format": audio_format}
    if arguments.json:
        print_json({**result, "voice": body["voice"], "fallback": fallback, "bytes": size_bytes})
    return ExitCode.OK


def read_text(text: str) -> str:
    """Return the text itself, or standard input's for `-`.

    Raises:
        CommandError: Standard input isn't UTF-8.
    """
    if text != "-":
        return text
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"standard input isn't UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
        raise CommandError(message, code="bad_text", exit_code=ExitCode.USAGE) from None


def format_of(path: Path) -> str:
    """Return the format that a file's suffix asks for.

    Raises:
        CommandError: No format has this suffix.
    """
    try:
        return SUFFIXES[path.suffix.lower()]
    except KeyError:
        message = f"{path}: the suffix names no format; use one of {' '.join(SUFFIXES)} or --format"
        raise CommandError(message, code="unsupported_format", exit_code=ExitCode.USAGE) from None


def find_player() -> tuple[str, ...]:
    """Return the command of the first player on the PATH.

    Raises:
        CommandError: There is none.
    """
    for command in PLAYERS:
        if shutil.which(command[0]):
            return command
    names = ", ".join(command[0] for command in PLAYERS)
    raise CommandError(f"nothing plays sound here: install one of {names}, or use -o FILE", code="no_player")


def play(audio: Iterable[bytes], command: tuple[str, ...]) -> int:
    """Pipe audio into a player as it comes; return its size in bytes once the player has ended.

    Raises:
        CommandError: The player failed or ended before the audio did, or the audio broke off.
    """
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=complaints) as player:
            assert player.stdin is not None
            size_bytes = _feed(audio, player.stdin)
        complaints.seek(0)
        said = complaints.read(MAX_COMPLAINTS_BYTES)
    if player.returncode != 0:
        fault = f"ended with code {player.returncode}"
    elif SILENT_WORDS in said:
        fault = "found no sound device"
    elif size_bytes is None:
        fault = "ended before the sound did"
    else:
        sys.stderr.write(said.decode("utf-8", "replace"))
        return size_bytes
    last_words = "".join(f": {line}" for line in said.decode("utf-8", "replace").strip().splitlines()[-1:])
    raise CommandError(f"{command[0]} {fault}{last_words}", code="player_failed")


def _feed(audio: Iterable[bytes], pipe: IO[bytes]) -> int | None:
    """Write audio into a player and close its end; return the size in bytes, None if it stopped listening."""
    size_bytes = 0
    try:
        with pipe:
            for piece in audio:
                size_bytes += pipe.write(piece)
    except BrokenPipeError:
        return None
    return size_bytes


def save(audio: Iterable[bytes], path: Path) -> int:
    """Write audio into a file that appears only when it is whole; return its size in bytes.

    Something that isn't a plain file (a device, a pipe) is written to as it is.

    Raises:
        CommandError: The file can't be written, or the audio broke off.
    """
    is_plain = path.is_file() or not path.exists()
    part = path.with_name(f".{path.name}.{os.getpid()}.part") if is_plain else path
    try:
        with part.open("xb" if is_plain else "wb") as file:
            size_bytes = _write(audio, file)
        if is_plain:
            part.replace(path)
    except OSError as error:
        message = f"{path}: can't be written: {error.strerror}"
        raise CommandError(message, code="not_written") from None
    finally:
        if is_plain:
            part.unlink(missing_ok=True)
    return size_bytes


def _write(audio: Iterable[bytes], file: BinaryIO) -> int:
    return sum(file.write(piece) for piece in audio)


def _shown(audio: Iterable[bytes]) -> Iterator[bytes]:
    """Pass audio on, and show a person how much has come."""
    if not sys.stderr.isatty():
        yield from audio
        return
    size_bytes = 0
    for piece in audio:
        size_bytes += len(piece)
        print(f"\r{format_size(size_bytes)} ", end="", file=sys.stderr, flush=True)
        yield piece
    print(file=sys.stderr)


def _default_voice(run_dir: Path) -> str:
    """Return the voice that the appliance is set to speak with when nobody names one."""
    answer = ask_json(run_dir, "GET", "/v1/audio/voices")
    return str(answer["default"])
