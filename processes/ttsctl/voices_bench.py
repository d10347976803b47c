"""`ttsctl voices bench`: what a voice costs on this machine, beside what is promised of one.

Owns: what of it can be measured at a running appliance, and why the rest can't; the table and the progress.
Refuses to know: how the appliance schedules; it should have nothing else to do meanwhile.
"""

from __future__ import annotations

import argparse
import itertools
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeVar

from appliance.packages import HOW_TO_INSTALL, missing_packages
from appliance.settings import load_settings
from appliance.voices import FALLBACK_ENGINE
from processes.ttsctl.gateway_socket import ask_for_speech, ask_json, fallback_note, pieces
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.process_table import adopt_environment, appliance_pids
from processes.ttsctl.table import format_table
from processes.ttsctl.voice_bench import course, figures, usage
from processes.ttsctl.voice_bench.coqui_server import CoquiServer, running_coqui_server
from processes.ttsctl.voice_bench.crowds import Heard
from processes.ttsctl.voice_bench.figures import Figure
from processes.ttsctl.voice_bench.playback import Playback
from processes.ttsctl.voice_bench.texts import sentences
from processes.ttsctl.voice_bench.worker_start import hello_s
from processes.ttsctl.voices_sample import find_voice

T = TypeVar("T")
STARTS = 3
STEPS = 20
"""Looks at a worker's memory, evenly spread over its utterances."""
WARM_UP_UTTERANCES = 20
SEED_BITS = 52
NOT_NEURAL = "is a voice of espeak-ng; the bounds are those of neural ones: ttsctl voices list --engine vits"
NOT_YOURS = "another user's processes: run ttsctl as the user that runs the appliance"


class RunningAppliance:
    """The appliance of a run directory, as the course of the measurement sees it."""

    def __init__(self, run_dir: Path, voice: dict[str, Any]) -> None:
        """Take the voice that speaks, as the gateway lists it."""
        self._run_dir = run_dir
        self._voice = voice
        self._seeds = itertools.count(secrets.randbits(SEED_BITS))
        self.refusal = ""
        """What the gateway last said in the place of the voice's audio."""

    def speak(self, place: int, text: str) -> Heard:
        """Have a text spoken for a client by its number; a request that fails is one that isn't whole."""
        return self.speak_as(str(self._voice["id"]), text, place)

    def speak_as(self, voice_id: str, text: str, place: int = 0) -> Heard:
        """Have a text spoken by a voice; one that another voice speaks in its place has failed.

        Each time with another seed: what was spoken before is kept, and would be played again.
        """
        seed = next(self._seeds)
        body = {"input": text, "voice": voice_id, "response_format": "pcm", "seed": seed}
        begun_s = time.monotonic()
        first_s: float | None = None
        playback = Playback()
        is_whole = False
        try:
            with ask_for_speech(self._run_dir, body, f"bench-{place}") as answer:
                for piece in pieces(answer):
                    now_s = time.monotonic()
                    first_s = now_s - begun_s if first_s is None else first_s
                    playback.take(len(piece), now_s)
            another = fallback_note(answer, voice_id)
            self.refusal = another or self.refusal
            is_whole = playback.body_bytes > 0 and not another
        except CommandError as error:
            if error.exit_code == ExitCode.DOWN:
                raise
            self.refusal = error.message
        return Heard(is_whole, first_s, playback.body_bytes, playback.longest_gap_s)

    def cpu_s(self) -> float:
        """Return the CPU seconds that all processes have used."""
        return sum(_of_living(usage.cpu_s, self._pids()))

    def shared_out_bytes(self) -> int:
        """Return the memory of all processes, what several share counted once (PSS)."""
        return sum(each.shared_out_bytes for each in _of_living(usage.memory, self._pids()))

    def workers_own_bytes(self) -> list[int]:
        """Return the memory that each of the engine's workers has for itself (USS)."""
        return [each.own_bytes for each in _of_living(usage.memory, self._worker_pids())]

    def resident_bytes(self) -> int:
        """Return the memory of the engine's workers, with what they share (RSS)."""
        return sum(each.resident_bytes for each in _of_living(usage.memory, self._worker_pids()))

    def _pids(self) -> list[int]:
        if pids := appliance_pids(self._run_dir):
            return pids
        raise PermissionError

    def _worker_pids(self) -> list[int]:
        workers = ask_json(self._run_dir, "GET", "/admin/status")["workers"]
        return [worker["pid"] for worker in workers if worker["engine"] == self._voice["engine"]]


def _of_living(read: Callable[[int], T], pids: list[int]) -> list[T]:
    """Read something of each process; one that has just been replaced is left out.

    Raises:
        PermissionError: A process is another user's.
    """
    found = []
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append(read(pid))
    return found


def run(arguments: argparse.Namespace) -> ExitCode:
    """Measure and print the table; blocks for minutes. A missed bound is `FAILED`.

    Raises:
        CommandError: The voice isn't there or isn't neural, nothing is spoken, or not as this user.
    """
    run_dir = find_run_dir(arguments.run_dir)
    voice = find_voice(run_dir, arguments.voice)
    if voice["engine"] == FALLBACK_ENGINE:
        raise CommandError(f"{voice['id']} {NOT_NEURAL}", code="not_neural")
    adopt_environment(run_dir)
    progress = _Progress()
    subject = RunningAppliance(run_dir, voice)
    try:
        measured = list(_measure(subject, run_dir, voice, arguments, progress))
    except course.NothingHeardError:
        raise CommandError(f"{voice['id']} said nothing itself: {subject.refusal}", code="no_audio") from None
    except PermissionError:
        raise CommandError(NOT_YOURS, code="not_yours") from None
    finally:
        progress.end()
    if arguments.json:
        print_json({"voice": voice["id"], "engine": voice["engine"], "figures": [*map(_values, measured)]})
    else:
        print(format_table([name.upper() for name in figures.HEADER], (each.row() for each in measured)))
    return ExitCode.FAILED if any(each.is_missed for each in measured) else ExitCode.OK


def _measure(
    subject: RunningAppliance,
    run_dir: Path,
    voice: dict[str, Any],
    arguments: argparse.Namespace,
    progress: _Progress,
) -> Iterator[Figure]:
    with ExitStack() as stack:
        progress("Coqui's server" if arguments.checkpoint else "the appliance at rest")
        coqui = _coqui(arguments.checkpoint, stack)
        yield from course.alone(subject, coqui, arguments.count, arguments.count, progress)
    yield from course.together(subject, arguments.listen_s, arguments.count, progress)
    progress("start of a worker")
    yield _worker_start(voice)
    imported = _imported(run_dir, voice)
    yield _windows(imported)
    speakers = _speakers(run_dir, voice, imported)
    yield _growth(subject, speakers, arguments.utterances, progress)


def _coqui(checkpoint: Path | None, stack: ExitStack) -> CoquiServer | str:
    """Start Coqui's own server, or say why there is none."""
    if checkpoint is None:
        return "--checkpoint DIR measures it beside Coqui"
    if not all((checkpoint / name).is_file() for name in ("model.pth", "config.json")):
        return f"{checkpoint} has no model.pth with a config.json"
    try:
        return stack.enter_context(running_coqui_server(checkpoint.absolute()))
    except TimeoutError as error:
        missing = missing_packages("coqui")
        return f"{', '.join(missing)} can't be imported; {HOW_TO_INSTALL}" if missing else str(error)


def _worker_start(voice: dict[str, Any]) -> Figure:
    data_dir = load_settings().data.dir
    try:
        taken_s = [hello_s(data_dir, voice["id"], voice["engine"]) for _ in range(STARTS)]
    except TimeoutError:
        return figures.unmeasured(figures.WORKER_START, "no further worker starts", figures.MOST_START_S)
    return figures.worker_start(taken_s)


def _imported(run_dir: Path, voice: dict[str, Any]) -> dict[str, Any] | None:
    """Return the imported voice that a listed one is, or is a speaker of."""
    stored: list[dict[str, Any]] = ask_json(run_dir, "GET", "/admin/voices")["voices"]
    owners = [each for each in stored if each["engine"] == voice["engine"] and _is_of(voice, each)]
    return max(owners, key=lambda each: len(each["id"]), default=None)


def _is_of(voice: dict[str, Any], imported: dict[str, Any]) -> bool:
    return f"{voice['id']}-".startswith(f"{imported['id']}-")


def _windows(imported: dict[str, Any] | None) -> Figure:
    """Return what the import has measured: a running appliance keeps its graphs to itself."""
    if imported is None or imported["engine"] != "vits":
        return figures.unmeasured(figures.WINDOWS_AT_IMPORT, "only imported VITS voices have windows")
    variant = imported["variant"]
    difference = imported["figures"].get(f"{variant}_window_difference")
    if difference is None:
        return figures.unmeasured(
            f"{figures.WINDOWS_AT_IMPORT}, {variant}", "import the voice again to see it"
        )
    return figures.windows(variant, difference, figures.WINDOWS_AT_IMPORT)


def _speakers(run_dir: Path, voice: dict[str, Any], imported: dict[str, Any] | None) -> list[str]:
    """Return the ids of all speakers of an imported voice; the voice's own where it isn't one."""
    if imported is None:
        return [str(voice["id"])]
    listed = ask_json(run_dir, "GET", f"/v1/audio/voices?engine={voice['engine']}")["voices"]
    return [str(each["id"]) for each in listed if _is_of(each, imported)]


def _growth(subject: RunningAppliance, voices: list[str], count: int, progress: _Progress) -> Figure:
    """Speak many short sentences, by all speakers in turn, and watch the workers' memory."""
    asked = zip(sentences(), cycle(voices), strict=False)
    for text, voice_id in islice(asked, WARM_UP_UTTERANCES):
        subject.speak_as(voice_id, text)
    resident_bytes = []
    for step in range(STEPS):
        progress(f"{count} utterances, part {step + 1} of {STEPS}")
        for text, voice_id in islice(asked, max(1, count // STEPS)):
            if not subject.speak_as(voice_id, text).is_whole:
                raise course.NothingHeardError
        resident_bytes.append(subject.resident_bytes())
    return figures.growth(f"{count:,} utterances over {len(voices)} speakers", resident_bytes)


class _Progress:
    """What is being measured, on standard error: one line on a terminal, else a line for each step."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown_chars = 0

    def __call__(self, what: str) -> None:
        if self._is_terminal:
            print(f"\r{what.ljust(self._shown_chars)}", end="", file=sys.stderr, flush=True)
            self._shown_chars = len(what)
        else:
            print(what, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the terminal's line empty for what comes."""
        if self._is_terminal:
            print(f"\r{' ' * self._shown_chars}\r", end="", file=sys.stderr, flush=True)


def _values(figure: Figure) -> dict[str, Any]:
    """Return a figure JSON-ready."""
    name, _, _, bound, verdict = figure.row()
    value = None if figure.absent else round(figure.value, 4)
    best = None if figure.best is None else round(figure.best, 4)
    return {
        "figure": name,
        "value": value,
        "unit": figure.unit,
        "best": best,
        "bound": bound,
        "verdict": verdict,
    }
