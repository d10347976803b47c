"""How an import is told: to a person at a terminal, to a program, to the log.

Owns: the bar, the lines, the events.
Refuses to know: `run/import.json`, and what is told.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Protocol, TextIO

from loguru import logger

from appliance.engines.vits.making.verdict import INEXACT, NOT_ITS_OWN
from appliance.import_errors import ImportStoppedError
from appliance.progress_bar import ProgressBar
from appliance.voice_imports import ImportState, VoiceImport
from processes.importer.keeper import Made

MIB_BYTES = 1024 * 1024
PROGRESS_S = 10.0
"""Seconds between two lines of the log about one state of an import, which may last for minutes."""


class Teller(Protocol):
    """Takes every change of an import."""

    def changed(self, entry: VoiceImport, downloaded_bytes: int = 0) -> None:
        """An import has come further, has ended, or waits again."""

    def made(self, made: Made) -> None:
        """A voice is there; told before its import is `done`."""


class TerminalBar:
    """A bar that grows in place, for a person."""

    def __init__(self, stream: TextIO) -> None:
        """Take the terminal."""
        self._stream = stream
        self._bar = ProgressBar(stream)

    def changed(self, entry: VoiceImport, downloaded_bytes: int = 0) -> None:
        """Draw the bar anew; a failure is left to the command's last line."""
        amount = f"{downloaded_bytes / MIB_BYTES:.0f} MiB" if downloaded_bytes else f"{entry.fraction:.0%}"
        state = "cancelled" if entry.code == ImportStoppedError.code else entry.state.value
        self._bar.draw(state, entry.fraction, amount, is_last=not entry.is_under_way)
        if entry.state is ImportState.DONE:
            self._stream.write(f"{entry.model} is the voice {entry.voice}\n")

    def made(self, made: Made) -> None:
        """Say which form of the voice was chosen, and why."""
        for reason in made.reasons:
            self._bar.say(reason)


class JsonLines:
    """A line for each change of state, for a program."""

    def __init__(self, stream: TextIO) -> None:
        """Take the stream."""
        self._stream = stream
        self._told: ImportState | None = None

    def changed(self, entry: VoiceImport, downloaded_bytes: int = 0) -> None:  # noqa: ARG002 (a bar's)
        """Write a line if the state is a new one."""
        if entry.state is not self._told:
            self._told = entry.state
            self._stream.write(json.dumps(entry.as_dict(), ensure_ascii=False) + "\n")
            self._stream.flush()

    def made(self, made: Made) -> None:
        """Say nothing: `voice.json` has it."""


class ImportLog:
    """Events, for the log of the appliance."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing told, and count seconds of the clock."""
        self._clock = clock
        self._told: tuple[str, ImportState] | None = None
        self._told_at_s = 0.0

    def changed(self, entry: VoiceImport, downloaded_bytes: int = 0) -> None:
        """Log a state that is a new one, and again and again how far it is, `PROGRESS_S` apart."""
        if (entry.model, entry.state) == self._told:
            self._tell_progress(entry, downloaded_bytes)
            return
        self._told, self._told_at_s = (entry.model, entry.state), self._clock()
        fields = {"model": entry.model, "state": entry.state.value}
        if entry.state is ImportState.FAILED:
            logger.error("voice_import_failed", **fields, code=entry.code, message=entry.reason)
        elif entry.reason:
            logger.warning("voice_import_waits", **fields, message=entry.reason)
        else:
            logger.info("voice_import", **fields, voice=entry.voice)

    def _tell_progress(self, entry: VoiceImport, downloaded_bytes: int) -> None:
        if self._clock() - self._told_at_s < PROGRESS_S:
            return
        self._told_at_s = self._clock()
        fields = {"model": entry.model, "state": entry.state.value, "fraction": round(entry.fraction, 3)}
        logger.info("voice_import_progress", **fields, downloaded_bytes=downloaded_bytes)

    def made(self, made: Made) -> None:
        """Log which form of the voice was chosen, and why.

        A warning where its windows aren't exact, or a language wasn't judged by sentences of its own.
        """
        own = f"{made.variant}: "
        is_odd = any(
            NOT_ITS_OWN in reason or (reason.startswith(own) and INEXACT in reason) for reason in made.reasons
        )
        level = "WARNING" if is_odd else "INFO"
        logger.log(level, "voice_made", voice=made.voice, variant=made.variant, reasons=list(made.reasons))


def command_teller(*, as_json: bool) -> Teller:
    """Return the teller for a command line: a bar where somebody looks, unless JSON is wanted; else lines."""
    return TerminalBar(sys.stdout) if sys.stdout.isatty() and not as_json else JsonLines(sys.stdout)
