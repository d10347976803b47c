"""Starts the process that makes a voice, hears what it tells, and ends it when it is time.

Owns: that process's life: its limits of time and memory, its end with this one, what is left of it.
Refuses to know: how a voice is made (`maker`), and who is told.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from loguru import logger

from appliance.errors import ApplianceError, error_classes
from appliance.import_errors import ImporterFailedError
from appliance.machine import resident_bytes
from appliance.packages import thread_variables
from appliance.settings import ROOT, Settings
from appliance.voice_store import VoiceStore
from processes.importer.errand import Errand

TICK_S = 0.25
"""Seconds between two looks at the limits."""
MAX_LINE_BYTES = 65_536
"""Longer than anything that a maker tells."""
KEPT_OUTPUT_BYTES = 2_000
"""Of what the libraries said, for the log, when the process died."""

OnMessage = Callable[[dict[str, Any]], None]
"""Takes {"stage", "fraction"}, with "bytes" while the model is downloaded."""


@dataclass(frozen=True, slots=True)
class Made:
    """A voice that is in the store now."""

    voice: str
    variant: str
    reasons: tuple[str, ...]


class TimeLimit:
    """How long the making of a voice may take; its download may take as long as something comes."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to count, in seconds of the clock."""
        self._limit_s = limit_s
        self._clock = clock
        self._heard: object = None
        self._ends_at_s = clock() + limit_s

    def hear(self, message: dict[str, Any]) -> None:
        """Begin anew when more of the model has come, and when its making begins."""
        is_download = message["stage"] == "download"
        heard = message.get("bytes", 0) if is_download else "making"
        if heard != self._heard:
            self._heard = heard
            self._ends_at_s = self._clock() + self._limit_s

    @property
    def is_over(self) -> bool:
        """Whether it has taken longer."""
        return self._clock() > self._ends_at_s


class Keeper:
    """One process that makes one voice."""

    def __init__(self, errand: Errand, settings: Settings) -> None:
        """Start it.

        Args:
            errand: The voice.
            settings: Limits, and the data folder by way of the environment.
        """
        self._limits = settings.importer
        self._store = VoiceStore(settings.data.dir)
        self._time_limit = TimeLimit(self._limits.limit_s)
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "processes.importer.maker", errand.as_json(), str(os.getpid())],
            cwd=ROOT,
            env=os.environ | thread_variables(self._limits.threads),
            stdin=subprocess.DEVNULL,  # so that no library can ask anything
            stdout=subprocess.PIPE,
            stderr=self._output,
            process_group=0,  # Ctrl-C is this process's, which ends that one
        )
        self._waiting = b""
        self._last: dict[str, Any] = {}

    def run(self, on_message: OnMessage) -> Made:
        """Hear it to its end; blocks. Whatever ends this, the process is gone then and has left nothing.

        Raises:
            VoiceImportError: It said so, took too much, or died.
            EngineFailedError: torch or Coqui isn't installed.
        """
        try:
            while self._hear(on_message):
                self._hold_to_limits()
            status = self._process.wait()
            return self._result(status)
        finally:
            self._end()

    def _hear(self, on_message: OnMessage) -> bool:
        """Pass on what came within `TICK_S`; return whether more can come."""
        pipe = self._process.stdout
        assert pipe is not None
        if not select.select([pipe], [], [], TICK_S)[0]:
            return True
        data = os.read(pipe.fileno(), MAX_LINE_BYTES)
        *lines, self._waiting = (self._waiting + data).split(b"\n")
        if len(self._waiting) > MAX_LINE_BYTES:
            raise ImporterFailedError("The importer's process tells too much")
        for line in lines:
            self._last = json.loads(line)
            if "stage" in self._last:
                self._time_limit.hear(self._last)
                on_message(self._last)
        return bool(data)

    def _hold_to_limits(self) -> None:
        if self._time_limit.is_over:
            raise ImporterFailedError(
                f"The import took more than {self._limits.limit_s:g} s (importer.limit_s)"
            )
        limit_bytes = self._limits.memory_bytes
        if limit_bytes and resident_bytes(self._process.pid) > limit_bytes:
            raise ImporterFailedError(
                f"The import took more than {limit_bytes} bytes of memory (importer.memory_bytes)"
            )

    def _result(self, status: int) -> Made:
        last = self._last
        if "voice" in last and status == 0:
            return Made(last["voice"], last["variant"], tuple(last["reasons"]))
        if "error" in last:
            raise _error(last["error"], last["message"])
        self._output.seek(max(0, self._output.seek(0, os.SEEK_END) - KEPT_OUTPUT_BYTES))
        output = self._output.read().decode("utf-8", "replace").strip()
        logger.error("importer_died", status=status, output=output)
        if status < 0:
            why = ", as when memory runs out" if status == -signal.SIGKILL else ""
            raise ImporterFailedError(
                f"The importer's process was killed by {signal.Signals(-status).name}{why}"
            )
        raise ImporterFailedError(f"The importer's process failed: {output.rpartition(chr(10))[2][:200]}")

    def _end(self) -> None:
        """Kill the process with all that it started, and take away what it was making."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._output.close()
        self._store.sweep()


def _error(code: str, message: str) -> ApplianceError:
    """Rebuild the error that a maker has named."""
    classes = {error_class.code: error_class for error_class in error_classes()}
    return classes.get(code, ImporterFailedError)(message)
